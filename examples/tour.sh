#!/bin/sh
# A tour through the contract with curl. Start a balancer first:  evenkeel up
# Another address:  BALANCER=http://127.0.0.1:8080 examples/tour.sh
set -eu
balancer="${BALANCER:-http://127.0.0.1:5000}"

# Shows a call, makes it, and shows the answer with its status.
call() {
    printf '\n$ curl'
    printf ' %s' "$@"
    printf '\n'
    curl --silent --show-error --max-time 30 --write-out '\n  (%{http_code})\n' "$@"
}

call "$balancer/rep"
call "$balancer/home"
call "$balancer/home"
call "$balancer/home"

echo; echo '# two more; one of them gets the name that we choose'
call -X POST -H 'Content-Type: application/json' -d '{"n":2,"hostnames":["S5"]}' "$balancer/add"

echo; echo '# more names than replicas is refused, and nothing changes'
call -X POST -H 'Content-Type: application/json' -d '{"n":1,"hostnames":["S6","S7"]}' "$balancer/add"

echo; echo '# the named one goes, and one that is drawn'
call -X DELETE -H 'Content-Type: application/json' -d '{"n":2,"hostnames":["S5"]}' "$balancer/rm"

echo; echo '# no replica knows this path'
call "$balancer/other"

echo; echo '# who answers how often, in 60 requests'
for _ in $(seq 60); do curl --silent --max-time 30 "$balancer/home"; echo; done | sort | uniq -c
