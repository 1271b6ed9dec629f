#!/usr/bin/env python3
"""What a balancer does among hostile clients, tired backends, full tables and long pauses.

Everything is on the loopback and bounded in time and number. Nothing is judged: the figures are printed, one
line of JSON each. Needs nginx, wrk and slowhttptest, and a release build.
"""
import argparse, contextlib, json, os, re, resource, signal, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "proxy"))
import kept as flood  # noqa: E402
from processes import cpu_microseconds, memory_kib, prepare, unused_port  # noqa: E402

START_SECONDS = 10
GOOD_CONNECTIONS, GOOD_PAUSE_MS = 20, 10
SLOW_MODES = {"headers": "-H", "body": "-B", "range": "-R", "read": "-X"}
DESCRIPTORS_MAX = 256


class Scene:
    """A backend and a balancer in front of it, for the length of a block."""

    def __init__(self, program, idle="75s", descriptors=None, workers=2):
        self.program, self.idle, self.descriptors, self.workers = program, idle, descriptors, workers

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        # The backend may run as somebody else.
        self.folder.chmod(0o755)
        for name, size in (("64k", 64 << 10), ("1m", 1 << 20)):
            (self.folder / name).write_bytes(b"x" * size)
        backend, self.port, self.admin = unused_port(), unused_port(), unused_port()
        conf = (HERE / "backend.conf").read_text()
        for name, value in (("DIR", self.folder), ("IDLE", self.idle), ("BACKEND_PORT", backend)):
            conf = conf.replace(f"@{name}@", str(value))
        (self.folder / "backend.conf").write_text(conf)
        (self.folder / "evenkeel.toml").write_text(
            f'listen = "127.0.0.1:{self.port}"\nadmin = "127.0.0.1:{self.admin}"\nworkers = {self.workers}\n'
            f'[[service]]\nname = "web"\ndriver = "static"\naddresses = ["127.0.0.1:{backend}"]\n')
        self.start(["nginx", "-p", self.folder, "-c", self.folder / "backend.conf"])
        until_connected(backend)
        limit = self.descriptors and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors,) * 2))
        command = [self.program, "up", "--wait", "--config", self.folder / "evenkeel.toml"]
        self.token_file = self.folder / "admin.token"
        environment = {**os.environ, "EVENKEEL_TOKEN_FILE": str(self.token_file)}
        self.balancer = self.start(command, preexec_fn=limit, env=environment)
        until_connected(self.port)
        for path in ("/", "/64k", "/1m", "/upload"):
            until(lambda: " 200 " in ask(self.port, path), f"the balancer serves {path}")
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self, command, **more):
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True, **more)
        self.stack.callback(end, process)
        return process

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def load(self, path="/", connections=GOOD_CONNECTIONS, seconds=10.0, pause=GOOD_PAUSE_MS, size=0, timeout=10):
        """Starts a load; `told` waits for it and says what became of it."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{int(seconds)}s", f"--timeout={timeout}s",
                   "-s", HERE / "load.lua", self.url(path)]
        return subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True, start_new_session=True,
                                env={**os.environ, "PAUSE": str(pause), "SIZE": str(size)})

    def metrics(self):
        token = self.token_file.read_text().strip()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.admin}/metrics", headers={"Authorization": f"Bearer {token}"})
        page = urllib.request.urlopen(asked, timeout=10).read().decode()
        return {name: float(value) for name, value in re.findall(r"^(evenkeel_\S+) (\S+)$", page, re.M)}

    def pss_kib(self):
        return memory_kib(self.balancer.pid)[1]

    def descriptors_used(self):
        return len(os.listdir(f"/proc/{self.balancer.pid}/fd"))


def end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def told(load):
    said, _ = load.communicate(timeout=600)
    return json.loads(said.splitlines()[-1])


def until(is_so, what, seconds=START_SECONDS):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"it did not come true within {seconds} s: {what}")
        time.sleep(0.02)


def until_connected(port):
    def connects():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    until(connects, f"somebody listens on {port}")


def ask(port, path="/", connection=None, timeout=5.0):
    """The status line of an answer, or what went wrong."""
    try:
        connection = connection or socket.create_connection(("127.0.0.1", port), timeout)
        connection.settimeout(timeout)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        return connection.recv(65536).split(b"\r\n")[0].decode() + " " or "closed"
    except OSError as error:
        return type(error).__name__


def slow(options):
    """Slow clients of all kinds beside good ones."""
    with Scene(options.program) as scene:
        yield {"beside": "nobody", "good": told(scene.load(seconds=options.seconds))}
    for mode, flag in SLOW_MODES.items():
        with Scene(options.program) as scene:
            path = "/1m" if mode == "read" else "/upload" if mode == "body" else "/"
            command = ["slowhttptest", flag, "-c", options.connections, "-r", 1000, "-i", 2, "-l", options.seconds + 6,
                       "-p", 3, "-s", 65536, "-x", 20, "-u", scene.url(path)]
            attack = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      env={**os.environ, "TERM": "dumb"})
            scene.stack.callback(attack.kill)
            time.sleep(5)
            load, before, cpu = scene.load(seconds=options.seconds), scene.pss_kib(), cpu_microseconds(scene.balancer.pid)
            connections = 0
            while load.poll() is None:
                connections = max(connections, sum(value for name, value in scene.metrics().items() if "_connections" in name))
                time.sleep(0.5)
            good, cpu = told(load), (cpu_microseconds(scene.balancer.pid) - cpu) / 1e6
            said, _ = attack.communicate(timeout=60)
            said = re.sub(r"\x1b\[[\d;]*m", "", said)
            found = {name: re.findall(name + r":\s+(\w+)", said)[-1:] for name in ("service available", "connected", "closed")}
            yield {"beside": f"slow {mode}", "good": good, "connections_at_most": connections, "cpu_seconds": round(cpu, 2),
                   "pss_kib": [before, scene.pss_kib()], "slowhttptest": found}


def idle(options):
    """Many idle connections, each of which has made a request."""
    with Scene(options.program) as scene:
        before = scene.pss_kib()
        holder = subprocess.Popen([sys.executable, HERE.parent / "proxy" / "hold.py", "127.0.0.1", str(scene.port),
                                   str(options.connections)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        scene.stack.callback(holder.kill)
        held = holder.stdout.readline().strip()
        time.sleep(2)
        during, cpu = scene.pss_kib(), cpu_microseconds(scene.balancer.pid)
        time.sleep(5)
        cpu = (cpu_microseconds(scene.balancer.pid) - cpu) / 5e6
        lost, _ = holder.communicate(timeout=60)
        count = int(held.split()[-1])
        yield {"held": count, "pss_kib": [before, during], "kib_per_connection": round((during - before) / count, 3),
               "cpu_share_while_idle": round(cpu, 4), "lost": int(lost.split()[-1])}


def descriptors(options):
    """The limit of descriptors, reached and left again."""
    with Scene(options.program, descriptors=DESCRIPTORS_MAX) as scene:
        first = [socket.create_connection(("127.0.0.1", scene.port)) for _ in range(50)]
        answers = [ask(scene.port, connection=connection) for connection in first]
        crowd = [socket.create_connection(("127.0.0.1", scene.port)) for _ in range(600)]
        time.sleep(1)
        used, cpu = scene.descriptors_used(), cpu_microseconds(scene.balancer.pid)
        time.sleep(5)
        cpu = (cpu_microseconds(scene.balancer.pid) - cpu) / 5e6
        inside = [ask(scene.port, connection=connection) for connection in first]
        for connection in crowd:
            connection.close()
        time.sleep(1)
        after = [ask(scene.port) for _ in range(50)]
        count = lambda lines: {line: lines.count(line) for line in set(lines)}
        yield {"limit": DESCRIPTORS_MAX, "used_at_the_limit": used, "cpu_share_at_the_limit": round(cpu, 4), "before": count(answers),
               "those_inside_at_the_limit": count(inside), "afterwards": count(after), "used_afterwards": scene.descriptors_used()}


def pause(options):
    """The balancer stopped for a while under load."""
    with Scene(options.program) as scene:
        load = scene.load(seconds=options.seconds + 10, connections=50, timeout=options.seconds + 20)
        time.sleep(4)
        scene.balancer.send_signal(signal.SIGSTOP)
        time.sleep(options.seconds)
        scene.balancer.send_signal(signal.SIGCONT)
        good = told(load)
        yield {"stopped_seconds": options.seconds, "load": good, "metrics": shown(scene.metrics())}


def shown(metrics):
    return {name: value for name, value in metrics.items() if value and "created" not in name}


def mixed(options):
    """Small answers, large ones, uploads and clients that break off, for minutes; the memory over time."""
    with Scene(options.program) as scene:
        seconds, start = options.seconds, time.monotonic()
        loads = {"small": scene.load(seconds=seconds, connections=50), "64k": scene.load("/64k", seconds=seconds, pause=20),
                 "upload": scene.load("/upload", seconds=seconds, pause=20, size=65536)}
        cutter = subprocess.Popen([sys.executable, HERE / "cut.py", "127.0.0.1", str(scene.port), str(seconds)],
                                  stdout=subprocess.PIPE, text=True)
        scene.stack.callback(cutter.kill)
        samples = []
        while time.monotonic() < start + seconds:
            time.sleep(min(10, seconds / 12))
            samples.append((scene.pss_kib(), scene.descriptors_used()))
        result = {name: told(load) for name, load in loads.items()}
        result["broken_off"] = int(cutter.communicate(timeout=60)[0])
        time.sleep(3)
        result |= {"pss_kib": [pss for pss, _ in samples], "descriptors": [used for _, used in samples],
                   "descriptors_at_rest": scene.descriptors_used(), "metrics": shown(scene.metrics())}
        yield result


def race(options):
    """Backends that close idle connections after 50 ms, and clients that pause as long."""
    for method, size, count in (("GET", 0, options.count), ("POST", 100, options.count // 10)):
        with Scene(options.program, idle="50ms") as scene:
            total, deadline = {}, time.monotonic() + options.seconds
            while total.get("requests", 0) < count and time.monotonic() < deadline:
                path = "/upload" if size else "/"
                for name, value in told(scene.load(path, seconds=10, connections=1000, pause=100, size=size)).items():
                    total[name] = max(total.get(name, 0), value) if name.endswith("ms") else total.get(name, 0) + value
            yield {"method": method, "load": total, "metrics": shown(scene.metrics())}


def memory(options):
    """What strangers can make it keep, and whether it gives that back."""
    for kind in flood.KINDS:
        yield flood.one(options.program, kind, min(options.connections, 4000), "256MiB", 5.0, 20)


SCENARIOS = {"memory": memory, "slow": slow, "idle": idle, "descriptors": descriptors, "pause": pause, "mixed": mixed, "race": race}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"  {name:12} {run.__doc__}" for name, run in SCENARIOS.items()))
    parser.add_argument("scenario", nargs="+", choices=[*SCENARIOS, "all"])
    parser.add_argument("--program", type=Path, default=ROOT / "target/dist/evenkeel")
    parser.add_argument("--connections", type=int, default=2000, help="slow or idle connections (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=30, help="how long a load or a pause lasts (default: %(default)s)")
    parser.add_argument("--count", type=int, default=1_000_000, help="requests of the race, within --seconds (default: %(default)s)")
    options = parser.parse_args()
    options.connections, options.seconds = min(options.connections, 18_000), min(options.seconds, 900)
    prepare()
    for name in SCENARIOS if "all" in options.scenario else options.scenario:
        for line in SCENARIOS[name](options):
            print(json.dumps({"scenario": name, **line}), flush=True)


if __name__ == "__main__":
    main()
