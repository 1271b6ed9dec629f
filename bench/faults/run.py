#!/usr/bin/env python3
"""What clients see when replicas are killed: Evenkeel beside nginx and HAProxy with a restart loop.

usage: bench/faults/run.py [--rounds N] [--rate REQUESTS_PER_SECOND] [--seconds S]

Needs python3, nginx and haproxy (Debian), and `cargo build --release`. Each proxy gets three
replicas of the bundled web server, which takes 300 ms to boot here. A client sends GET /home at fixed times, whatever becomes of
earlier requests, and counts every answer. In the middle, one replica is killed (-9), and in a
second round all three at once. nginx and HAProxy get a supervisor that restarts a dead replica at
once, on its port. Rounds are interleaved; the worst of each is printed. Everything is on loopback.
"""
import argparse, asyncio, contextlib, json, os, re, signal, subprocess, tempfile, time, urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
EVENKEEL = os.path.join(ROOT, "target", "release", "evenkeel")
PORTS = [9101, 9102, 9103]
BOOT_SECONDS = 0.3
REQUEST = b"GET /home HTTP/1.1\r\nHost: bench\r\n\r\n"

NGINX = """
worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log; daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  upstream web {{ {servers} keepalive 64; }}
  server {{ listen 127.0.0.1:8101; location / {{
    proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_next_upstream error timeout; proxy_connect_timeout 250ms; }} }}
}}
"""
HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout connect 250ms
  timeout client 60s
  timeout server 60s
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response
frontend f
  bind 127.0.0.1:8102
  default_backend web
backend web
  option httpchk GET /heartbeat
  default-server check inter 500ms fall 2 rise 1
{servers}
"""


EVENKEEL_TOML = """
listen = "127.0.0.1:8103"
admin = "127.0.0.1:8104"
[[service]]
name = "web"
command = ["sh", "-c", "sleep {boot}; exec {program} replica --listen 127.0.0.1:$PORT"]
"""


class Supervised:
    """Three replicas on fixed ports, each started again as soon as it ends."""

    def __init__(self):
        self.processes, self.is_ending = {}, False

    async def start(self):
        self.tasks = [asyncio.create_task(self.keep(port)) for port in PORTS]
        for port in PORTS:
            await until_it_answers(f"http://127.0.0.1:{port}/heartbeat")

    async def keep(self, port):
        while not self.is_ending:
            environment = dict(os.environ, SERVER_ID=str(port))
            command = f"sleep {BOOT_SECONDS}; exec {EVENKEEL} replica --listen 127.0.0.1:{port}"
            process = await asyncio.create_subprocess_exec("sh", "-c", command, env=environment)
            self.processes[port] = process.pid
            await process.wait()

    def pids(self):
        return list(self.processes.values())

    async def end(self):
        self.is_ending = True
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        await asyncio.gather(*self.tasks)


async def until_it_answers(url):
    for _ in range(200):
        with contextlib.suppress(OSError):
            await asyncio.to_thread(urllib.request.urlopen, url, None, 1)
            return
        await asyncio.sleep(0.02)
    raise SystemExit(f"{url} does not answer")


async def ask(port, idle, tally, due):
    try:
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        length = int(re.search(rb"content-length: (\d+)", head.lower()).group(1))
        await reader.readexactly(length)
        tally["bad"] += not head.startswith(b"HTTP/1.1 200")
        idle.append((reader, writer))
    except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, AttributeError):
        tally["bad"] += 1
    tally["latencies"].append(asyncio.get_running_loop().time() - due)


async def load(port, rate, seconds, deed):
    loop, idle, tasks = asyncio.get_running_loop(), [], []
    tally, begun = {"bad": 0, "latencies": []}, loop.time()
    for number in range(rate * seconds):
        due = begun + number / rate
        await asyncio.sleep(max(0, due - loop.time()))
        if number == rate * seconds // 2:
            deed()
        tasks.append(asyncio.create_task(ask(port, idle, tally, due)))
    await asyncio.gather(*tasks)
    for _, writer in idle:
        writer.close()
    ordered = sorted(tally["latencies"])
    return {"lost": tally["bad"], "p99 ms": round(ordered[len(ordered) * 99 // 100] * 1000, 1),
            "slowest ms": round(ordered[-1] * 1000, 1)}


@contextlib.asynccontextmanager
async def subject(name):
    """A proxy with its replicas: yields its port and a function for the replicas' process ids."""
    if name == "evenkeel":
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(EVENKEEL_TOML.format(boot=BOOT_SECONDS, program=EVENKEEL))
            file.flush()
            process = subprocess.Popen([EVENKEEL, "up", "--config", file.name],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            await until_it_answers("http://127.0.0.1:8103/home")
        def pids():
            found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout
            return [int(pid) for pid in found.split()]
        yield 8103, pids
        process.terminate()
        process.wait(20)
        return
    replicas = Supervised()
    await replicas.start()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "proxy.conf")
        line = {"nginx": "server 127.0.0.1:{};", "haproxy": "  server s{0} 127.0.0.1:{0}\n"}[name]
        servers = "".join(line.format(port) for port in PORTS)
        text = (NGINX if name == "nginx" else HAPROXY).format(servers=servers, dir=folder)
        with open(path, "w") as file:
            file.write(text)
        command = ["nginx", "-c", path] if name == "nginx" else ["haproxy", "-f", path]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = 8101 if name == "nginx" else 8102
        await until_it_answers(f"http://127.0.0.1:{port}/home")
        await asyncio.sleep(1)
        yield port, replicas.pids
        process.terminate()
        process.wait(20)
    await replicas.end()


async def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--rate", type=int, default=1000)
    options.add_argument("--seconds", type=int, default=4)
    options = options.parse_args()
    worst = {}
    for number in range(options.rounds):
        for fault, count in [("kill -9 one of three", 1), ("kill -9 all three", 3)]:
            for name in ["evenkeel", "haproxy", "nginx"]:
                async with subject(name) as (port, pids):
                    deed = lambda: [os.kill(pid, signal.SIGKILL) for pid in pids()[:count]]
                    seen = await load(port, options.rate, options.seconds, deed)
                key = (fault, name)
                worst[key] = {k: max(v, worst.get(key, {}).get(k, 0)) for k, v in seen.items()}
                print(f"round {number + 1}: {fault}, {name}: {json.dumps(seen)}", flush=True)
    print(f"\nworst of {options.rounds} rounds, {options.rate * options.seconds} requests each\n")
    print("| fault | proxy | lost | p99 ms | slowest ms |\n|---|---|---|---|---|")
    for (fault, name), seen in worst.items():
        print(f"| {fault} | {name} | {seen['lost']} | {seen['p99 ms']} | {seen['slowest ms']} |")


asyncio.run(main())
