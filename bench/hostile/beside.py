#!/usr/bin/env python3
"""What good clients feel beside each attack of attacks.py: Evenkeel, nginx and HAProxy in one harness.

Good clients come 200 times a second, each with a connection of its own, whatever became of those before. Every
proxy has the same limit of descriptors, one service that answers and one that never does. Everything is on the
loopback and bounded in time and number. A line of JSON for each run; nothing is judged.
"""
import argparse, asyncio, contextlib, json, os, resource, socket, statistics, subprocess, sys, tempfile, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent / "proxy"))
from processes import cpu_microseconds, memory_kib, unused_port  # noqa: E402
from run import end, until_connected  # noqa: E402

RATE, PATIENCE_SECONDS, DESCRIPTORS = 200, 5.0, 2048
ATTACKS = ["none", "streams", "heads", "idle", "half", "frames"]

EVENKEEL = """
listen = "127.0.0.1:{port}"
admin = "unix:{dir}/admin.sock"
state_dir = "{dir}/state"
workers = 2
[[service]]
name = "web"
driver = "static"
addresses = ["127.0.0.1:{good}"]
[[service]]
name = "slow"
path = "/hang"
driver = "static"
addresses = ["127.0.0.1:{hanging}"]
[service.heartbeat]
path = "/heartbeat"
"""
NGINX = """
daemon off; worker_processes 2; worker_rlimit_nofile 2048; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {dir}/n1; proxy_temp_path {dir}/n2; fastcgi_temp_path {dir}/n3; uwsgi_temp_path {dir}/n4; scgi_temp_path {dir}/n5;
  upstream good {{ server 127.0.0.1:{good}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port}; listen 127.0.0.1:{port2} http2;
    location / {{ proxy_pass http://good; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    location /hang {{ proxy_pass http://127.0.0.1:{hanging}; }}
  }}
}}
"""
HAPROXY = """
global
  nbthread 2
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 60s
  timeout http-request 10s
frontend all
  bind 127.0.0.1:{port}
  bind 127.0.0.1:{port2} proto h2
  use_backend slow if {{ path_beg /hang }}
  default_backend web
backend web
  server a 127.0.0.1:{good}
backend slow
  server a 127.0.0.1:{hanging}
"""


class Hanging:
    """A replica that is well and never answers a request."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        held = []
        while True:
            connection, _ = self.listener.accept()
            connection.settimeout(1)
            with contextlib.suppress(OSError):
                if b"/heartbeat" in connection.recv(4096):
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    connection.close()
                    continue
            held.append(connection)


class Proxy:
    """One of the three, with a good service and one that hangs, for the length of a block."""

    def __init__(self, name, program):
        self.name, self.program = name, program

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        hanging, good = Hanging(), unused_port()
        self.port, self.attacked = unused_port(), unused_port()
        (folder / "64k").write_bytes(b"x"), (folder / "1m").write_bytes(b"x")
        conf = (HERE / "backend.conf").read_text()
        for key, value in (("DIR", folder), ("IDLE", "75s"), ("BACKEND_PORT", good)):
            conf = conf.replace(f"@{key}@", str(value))
        (folder / "backend.conf").write_text(conf)
        self.start(["nginx", "-p", folder, "-c", folder / "backend.conf"], None)
        until_connected(good)
        text = {"evenkeel": EVENKEEL, "nginx": NGINX, "haproxy": HAPROXY}[self.name]
        file = folder / "proxy.conf"
        file.write_text(text.format(dir=folder, port=self.port, port2=self.attacked, good=good, hanging=hanging.port))
        command = {"evenkeel": [self.program, "up", "--wait", "--config", file], "nginx": ["nginx", "-p", folder, "-c", file],
                   "haproxy": ["haproxy", "-db", "-f", file]}[self.name]
        self.process = self.start(command, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)))
        until_connected(self.port)
        if self.name == "evenkeel":
            self.attacked = self.port
        asyncio.run(good_clients(self.port, 1.0))
        return self

    def __exit__(self, *_):
        self.stack.close()

    def start(self, command, limit):
        process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=limit)
        self.stack.callback(end, process)
        return process

    def family(self):
        """The process and its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def pss_mib(self):
        return round(sum(memory_kib(pid)[1] for pid in self.family()) / 1024, 1)

    def cpu_seconds(self):
        return sum(map(cpu_microseconds, self.family())) / 1e6


async def good_clients(port, seconds):
    """How long each took in milliseconds, or what became of it."""
    async def one():
        start = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                line = await reader.readline()
                await reader.read()
                writer.close()
                return (time.monotonic() - start) * 1e3 if b" 200 " in line else line.decode().strip() or "closed"
        except (OSError, TimeoutError) as error:
            return type(error).__name__
    start, tasks = time.monotonic(), []
    for number in range(int(RATE * seconds)):
        await asyncio.sleep(max(0.0, start + number / RATE - time.monotonic()))
        tasks.append(asyncio.create_task(one()))
    return await asyncio.gather(*tasks)


def run(name, attack, options):
    with Proxy(name, options.program) as proxy:
        before, attacker = proxy.pss_mib(), None
        if attack != "none":
            attacker = subprocess.Popen([sys.executable, HERE / "attacks.py", attack, str(proxy.attacked), "--seconds", str(options.seconds + 15)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            proxy.stack.callback(attacker.kill)
            attacker.stdout.readline()
        cpu = proxy.cpu_seconds()
        took = asyncio.run(good_clients(proxy.port, options.seconds))
        cpu, during = proxy.cpu_seconds() - cpu, proxy.pss_mib()
        said = json.loads(attacker.communicate("\n", timeout=60)[0].splitlines()[-1]) if attacker else {}
        time.sleep(3)
        times = sorted(one for one in took if isinstance(one, float))
        failed = [one for one in took if not isinstance(one, float)]
        return {"proxy": name, "attack": attack, "good": len(times), "failed": {one: failed.count(one) for one in set(failed)},
                "p50_ms": round(statistics.median(times), 2) if times else None,
                "p99_ms": round(times[int(len(times) * 0.99)], 2) if times else None,
                "cpu_seconds": round(cpu, 2), "pss_mib": [before, during, proxy.pss_mib()], "attacker": said}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/dist/evenkeel")
    parser.add_argument("--proxies", default="evenkeel,nginx,haproxy")
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=8, help="how long good clients come (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="each with all proxies and attacks (default: %(default)s)")
    options = parser.parse_args()
    options.seconds, options.rounds = min(options.seconds, 60), min(options.rounds, 20)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(options.rounds):
        for attack in options.attacks.split(","):
            for name in options.proxies.split(","):
                print(json.dumps(run(name, attack, options)), flush=True)


if __name__ == "__main__":
    main()
