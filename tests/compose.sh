#!/usr/bin/env bash
# Tries the way that the README shows, with real containers: `make up`, the contract, a replica that
# dies, `make down`, `make clean`. Says one line per check and ends with "N passed, M failed".
#
# Builds nothing: run `make image` before. Ends with `make clean`; the images stay.
# It refuses to begin where something of ours is there already: that may be in use.
# Needs docker, docker-compose or its plugin, curl, make, and port 5000 of this host.

set -euo pipefail
cd "$(dirname "$0")/.."

readonly BALANCER=http://127.0.0.1:5000
readonly OWNER=evenkeel-compose
# What a wait may take at most, in seconds: starts, replacements and stops.
readonly WAIT_MAX=60
# What a request may take at most: /add answers when its replicas serve.
readonly REQUEST_MAX=40
readonly MAKE_MAX=180

log=$(mktemp)
passed=0
failed=0

finish() {
    local code=$?
    if [[ ${began:-no} == yes ]]; then
        timeout "$MAKE_MAX" make --no-print-directory clean >> "$log" 2>&1 || true
    fi
    if ((code != 0)) && [[ -s $log ]]; then
        echo "--- what the commands said:"
        tail -n 60 "$log"
    fi
    rm -f "$log"
    # The count is the last line, whatever happened before it.
    if [[ ${began:-no} == yes ]]; then echo "$passed passed, $failed failed"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

stop() {
    echo "tests/compose.sh: $1" >&2
    exit 1
}

# check CLAIM COMMAND…: the claim holds if the command succeeds.
check() {
    local claim=$1
    shift
    if "$@" >> "$log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $claim"
    else
        failed=$((failed + 1))
        echo "FAILED  $claim"
        echo "failed: $claim ($*)" >> "$log"
    fi
}

same() { [[ $1 == "$2" ]] || { echo "got '$1', expected '$2'"; return 1; }; }
matches() { [[ $1 =~ ^$2$ ]] || { echo "got '$1', expected '$2'"; return 1; }; }

# wait_until COMMAND…: until it succeeds, for at most WAIT_MAX.
wait_until() {
    local deadline=$((SECONDS + WAIT_MAX))
    until "$@"; do
        ((SECONDS < deadline)) || { echo "waited $WAIT_MAX s in vain: $*"; return 1; }
        sleep 0.1
    done
}

# The answer's body, then its status.
ask() {
    local path=$1
    shift
    curl --silent --max-time "$REQUEST_MAX" --write-out ' %{http_code}' "$@" "$BALANCER$path" || true
}

containers() { docker ps --all --format '{{.Names}}' --filter "label=evenkeel.owner=$OWNER" | sort; }
# The replicas whose containers run. A container is called by its owner and its replica.
running() { docker ps --format '{{.Names}}' --filter "label=evenkeel.owner=$OWNER" | sed -n "s/^${OWNER}_//p" | sort; }
balancer() { docker ps --all --quiet --filter label=com.docker.compose.project=evenkeel; }
ours() {
    balancer
    containers
    docker network ls --quiet --filter "label=evenkeel.owner=$OWNER"
    docker network ls --quiet --filter name='^evenkeel$'
    docker volume ls --quiet --filter "label=evenkeel.owner=$OWNER"
}

# The names that an answer in the shape of /rep lists, one per line, sorted.
names_of() { sed -E 's/.*"replicas":\[([^]]*)\].*/\1/; s/"//g' <<< "$1" | tr ',' '\n' | sort; }
count_of() { sed -nE 's/.*"N":([0-9]+).*/\1/p' <<< "$1"; }

answers() { [[ $(ask /rep) == *' 200' ]]; }
# Whether /rep and the containers that run agree on N names.
agree_on() {
    local rep
    rep=$(ask /rep)
    [[ $(count_of "$rep") == "$1" && $(names_of "$rep") == "$(running)" ]]
}
# The same, and one certain name is not among them.
agree_on_without() { agree_on "$1" && ! names_of "$(ask /rep)" | grep -qxF "$2"; }
is_healthy() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$(balancer)") == healthy ]]; }

shape() { echo "\\{\"message\":\\{\"N\":$1,\"replicas\":\\[$2\\]\\},\"status\":\"successful\"\\} 200"; }
failure() { echo "{\"message\":\"<Error> $1\",\"status\":\"failure\"} 400"; }

# Before anything is touched: is this the place to try it?
docker info > /dev/null 2>&1 || stop "the Docker daemon does not answer"
for image in evenkeel:latest evenkeel-replica:latest; do
    docker image inspect "$image" > /dev/null 2>&1 || stop "there is no image $image: run 'make image'"
done
[[ -z $(ours) ]] || stop "something of ours is running or left: run 'make clean', then 'make image'"
if (exec 3<> /dev/tcp/127.0.0.1/5000) 2> /dev/null; then stop "port 5000 is in use"; fi
began=yes

check "make up succeeds" timeout "$MAKE_MAX" make --no-print-directory up
check "the contract answers on 127.0.0.1:5000" wait_until answers

first='{"message":{"N":3,"replicas":["server_1","server_2","server_3"]},"status":"successful"} 200'
check "/rep shows three replicas" same "$(ask /rep)" "$first"
check "/get gives the same answer" same "$(ask /get)" "$first"
check "they are waited for by a command inside" docker exec "$(balancer)" /evenkeel status --wait
check "the same three run as containers with our label" same "$(running)" $'server_1\nserver_2\nserver_3'
check "/home is answered by one of them" matches "$(ask /home)" \
    '\{"message":"Hello from Server: server_[123]","status":"successful"\} 200'
check "a path that replicas do not know is refused in the contract's words" same "$(ask /other)" \
    "$(failure "'/other' endpoint does not exist in server replicas")"
check "the balancer's container becomes healthy" wait_until is_healthy
check "nothing but port 5000 is published" same \
    "$(docker inspect --format '{{range $port, $_ := .HostConfig.PortBindings}}{{$port}} {{end}}' "$(balancer)")" '5000/tcp '

random='"server_[a-z0-9]+"'
added=$(ask /add --request POST --data '{"n":4,"hostnames":["S5","S4","S10"]}')
check "/add adds the named and draws names for the rest" matches "$added" \
    "$(shape 7 "\"server_1\",\"server_2\",\"server_3\",\"S5\",\"S4\",\"S10\",$random")"
check "they run as containers" agree_on 7
check "/add with more names than replicas is refused" same \
    "$(ask /add --request POST --data '{"n":1,"hostnames":["S6","S7"]}')" \
    "$(failure 'Length of hostname list is more than newly added instances')"
check "/rm with more names than replicas is refused" same \
    "$(ask /rm --request DELETE --data '{"n":1,"hostnames":["S5","S4"]}')" \
    "$(failure 'Length of hostname list is more than removable instances')"
check "what was refused changed nothing" agree_on 7

removed=$(ask /rm --request DELETE --data '{"n":3,"hostnames":["S5","S4"]}')
check "/rm removes as many as asked" matches "$removed" "$(shape 4 '("[^"]+",?){4}')"
check "/rm removes the named" matches "$(names_of "$removed" | grep -cxE 'S4|S5' || true)" 0
check "their containers end" wait_until agree_on 4

victim=$(running | head -n 1)
check "a replica is killed: $victim" docker rm --force "${OWNER}_$victim"
check "it is replaced under a new name, and N stays" wait_until agree_on_without 4 "$victim"
check "/home answers after that" matches "$(ask /home)" '\{"message":"Hello from Server: [^"]+",.*\} 200'

check "make down succeeds" timeout "$MAKE_MAX" make --no-print-directory down
check "it leaves no container" same "$(balancer; containers)" ""
check "make up succeeds once more" timeout "$MAKE_MAX" make --no-print-directory up
check "the fleet that was asked for is there again" wait_until agree_on 4
check "the balancer is killed" docker kill "$(balancer)"
check "make down succeeds after that" timeout "$MAKE_MAX" make --no-print-directory down
check "it leaves no container of the killed one" same "$(balancer; containers)" ""
check "make clean succeeds" timeout "$MAKE_MAX" make --no-print-directory clean
check "no container, network or volume of ours is left" same "$(ours)" ""

((failed == 0))
