"""Owns Evenkeel as a subject: its configuration, as a user would write it, and its admin API."""
import contextlib, datetime, http.client, json, os, signal, subprocess, time

import witness
from processes import Failed, end, output, say, start, unused_port, until
from watch import Replica

START_SECONDS = 60


class Evenkeel:
    """A balancer with its witnesses. `lines` go to the service in its configuration."""
    name = "Evenkeel"

    def __init__(self, folder, options):
        self.folder, self.options, self.process = folder, options, None
        self.port, self.admin, self.replicas = unused_port(), unused_port(), 3
        self.driver, self.lines, self.environment = "process", "", {}
        self.witness_options, self.stderr, self.owner, self.network = [], None, f"faults-{os.getpid()}-{self.port}", None
        self.state_dir, self.record = folder / "state", None
        self.token_file = folder / "admin.token"
        # The engine of its containers, if it is not the machine's, and where replicas reach us then.
        self.engine_host, self.reached_at = None, None

    @property
    def path(self):
        return "/v1/services/web"

    def prepare(self):
        """What has to be there before the balancer: the record, and the network of containers."""
        gateway = None
        if self.driver == "docker":
            self.network = self.owner
            self.docker("network", "create", self.network)
            gateway = self.reached_at or self.docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", self.network).strip()
        self.record = witness.Record(self.folder, gateway)
        self.state_dir.mkdir(exist_ok=True)
        (self.folder / "evenkeel.toml").write_text(self.configuration())

    def configuration(self):
        words = ["--record", self.record.place, "--boot", f"{witness.BOOT_MS}ms", *map(str, self.witness_options)]
        if self.driver == "docker":
            words += ["--listen", f"0.0.0.0:{witness.CONTAINER_PORT}", "--control", f"0.0.0.0:{witness.CONTAINER_CONTROL_PORT}"]
            contract, driver = "", f'driver = "docker"\nimage = "{witness.IMAGE}"\nport = {witness.CONTAINER_PORT}\nnetwork = "{self.network}"'
        else:
            words, contract, driver = [str(witness.BUILT), *words], "contract = true", ""
        return (f'listen = "127.0.0.1:{self.port}"\nadmin = "127.0.0.1:{self.admin}"\nstate_dir = "{self.state_dir}"\n'
                f'owner = "{self.owner}"\n{contract}\n\n[[service]]\nname = "web"\nreplicas = {self.replicas}\n'
                f'command = {json.dumps(words)}\n{driver}\n{self.lines}\n')

    def start(self, is_awaited=True):
        command = [self.options.evenkeel, "up", "--wait", "--config", self.folder / "evenkeel.toml"]
        said = self.stderr or open(self.folder / "said.log", "ab")
        self.process = start(command, stdout=said, stderr=said, env=os.environ | {"EVENKEEL_TOKEN_FILE": str(self.token_file)} | self.environment)
        if is_awaited:
            self.until_ready(self.replicas, START_SECONDS)

    def until_ready(self, count, patience=30):
        def is_so():
            if self.process.poll() is not None:
                raise Failed(f"the balancer ended with {self.process.returncode}: {self.said()[-600:]}")
            with contextlib.suppress(OSError):
                view = self.service()
                return view["ready"] == count and view["desired"] == count and not view["others"]
        until(f"{count} replicas are ready", is_so, patience)

    def said(self):
        with contextlib.suppress(OSError):
            return (self.folder / "said.log").read_text(errors="replace")
        return ""

    def end(self):
        for step in (lambda: self.process and end(self.process), self.remove_containers, lambda: self.record and self.record.close()):
            try:
                step()
            except (Failed, OSError, subprocess.SubprocessError) as error:
                say(f"  cleaning up: {error}")

    def remove_containers(self):
        if self.driver != "docker" or not self.network:
            return
        if containers := self.containers():
            self.docker("rm", "--force", "--volumes", *containers)
        self.docker("network", "rm", self.network)

    def containers(self, *more):
        return self.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label=evenkeel.owner={self.owner}", *more).split()

    def docker(self, *words):
        return output(["docker", *(["--host", self.engine_host] if self.engine_host else []), *words])

    # What it says of itself.

    def ask(self, method, path, body=None, port=None, patience=5):
        """Status and JSON of one request to the admin API, or to another port."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.admin, timeout=patience)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, self.headers())
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode(errors="replace")

    def headers(self):
        """What the admin API asks for; a balancer that is not up yet has no token."""
        token = self.token_file.read_text().strip() if self.token_file.exists() else ""
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def service(self):
        return self.ask("GET", self.path)[1]

    def look(self):
        """A function that looks at the fleet, over one connection that is kept."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)

        def once():
            try:
                connection.request("GET", self.path, headers=self.headers())
                view = json.loads(connection.getresponse().read())
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                raise OSError(str(error)) from error
            return fleet(view)
        return once

    def view(self):
        return fleet(self.service())

    def events(self):
        """What happened, as (when, the life, the event, its reason)."""
        found = []
        for event in self.ask("GET", "/v1/events")[1]:
            at = datetime.datetime.fromisoformat(event["at"].replace("Z", "+00:00")).timestamp()
            found.append((at, (event.get("seat"), event.get("life")), event["event"], event.get("reason")))
        return found

    # Where its replicas are.

    def container(self, name):
        """What the container of a replica is called."""
        return f"{self.owner}_{name}"

    def life(self, replica):
        """The process of a replica, by a number that may be signalled, and where it is commanded."""
        if self.driver == "docker":
            pid = int(self.docker("inspect", "--format", "{{.State.Pid}}", self.container(replica.name)))
            return pid, (replica.address.rsplit(":", 1)[0], witness.CONTAINER_CONTROL_PORT)
        life = self.record.latest(replica.name)
        return life.pid, ("127.0.0.1", life.control)

    def signal(self, replica, number):
        os.kill(self.life(replica)[0], number)

    def command(self, replica, mode):
        witness.command(*self.life(replica)[1], mode)

    def pause(self, seconds):
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)


def fleet(view):
    return [Replica(one["name"], (one["seat"], one["life"]), one["state"] == "ready", one["state"], one["address"], one["reason"])
            for one in view["replicas"] + view["others"]]
