#!/usr/bin/env python3
"""What a request costs: CPU per request, requests per second and p99 of Evenkeel, nginx and HAProxy.

usage: bench/proxy/run.py [--rounds N] [--seconds S] [--only NAME,NAME]

Needs python3, wrk, nginx and haproxy (Debian), taskset, two CPUs, and `cargo build --release`. Each
proxy runs with one worker on CPU 0; wrk and an nginx that answers from memory share CPU 1. Rounds are
interleaved, so that drift of the machine hits everybody alike, and medians are printed. The CPU time
is what the scheduler counted for the proxy's threads. Everything is on loopback.
"""
import argparse, os, re, statistics, subprocess, tempfile, time, urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BACKEND_PORT = 9201
CLASSES = {
    "small, 64 connections": ("/", 64),
    "small, 1000 connections": ("/", 1000),
    "64 KiB, 32 connections": ("/64k", 32),
    "1 MiB, 16 connections": ("/1m", 16),
}

BACKEND = """
worker_processes 1; pid {dir}/backend.pid; error_log {dir}/backend.log; daemon off;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 1h;
  server {{
    listen 127.0.0.1:{backend};
    location = /64k {{ alias {dir}/64k; }}
    location = /1m {{ alias {dir}/1m; }}
    location / {{ default_type application/json; return 200 '{{"message":"Hello from Server: 1"}}'; }}
  }}
}}
"""
NGINX = """
worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log; daemon off;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  upstream web {{ hash $request_uri consistent; server 127.0.0.1:{backend}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $remote_addr; }} }}
}}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend web
backend web
  balance uri
  hash-type consistent
  server s1 127.0.0.1:{backend} pool-max-conn 1024
"""
EVENKEEL = """
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:9299"
workers = 1
[[service]]
name = "web"
driver = "static"
addresses = ["127.0.0.1:{backend}"]
key = "path"
[service.heartbeat]
path = "/"
"""


def start(name, cpu, command):
    return name, subprocess.Popen(["taskset", "-c", str(cpu), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(port):
    for _ in range(200):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).read()
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


def family(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(other for child in children for other in family(int(child)))]


def cpu_microseconds(pid):
    total = 0
    for process in family(pid):
        for task in Path(f"/proc/{process}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


def measure(port, pid, path, connections, seconds):
    before = cpu_microseconds(pid)
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = cpu_microseconds(pid) - before
    count = int(re.search(r"(\d+) requests in", said).group(1))
    errors = re.findall(r"(?:Socket errors|Non-2xx)[^\n]*", said)
    if errors:
        print(f"  port {port}, {path}: {'; '.join(errors)}")
    p99, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", said).groups()
    return used / max(count, 1), count / seconds, float(p99) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--only", default="evenkeel,nginx,haproxy")
    options = options.parse_args()
    names = options.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name, size in [("64k", 64 << 10), ("1m", 1 << 20)]:
            Path(folder, name).write_bytes(b"x" * size)
        def file(name, text, port=0):
            path = Path(folder, name)
            path.write_text(text.format(dir=folder, backend=BACKEND_PORT, port=port))
            return str(path)
        commands = {
            "evenkeel": (9211, [str(ROOT / "target/release/evenkeel"), "up", "--config", file("evenkeel.toml", EVENKEEL, 9211)]),
            "nginx": (9212, ["nginx", "-c", file("nginx.conf", NGINX, 9212)]),
            "haproxy": (9213, ["haproxy", "-f", file("haproxy.cfg", HAPROXY, 9213)]),
        }
        running = [start("backend", 1, ["nginx", "-c", file("backend.conf", BACKEND)])]
        try:
            wait_for(BACKEND_PORT)
            running += [start(name, 0, commands[name][1]) for name in names]
            pids = {name: process.pid for name, process in running}
            for name in names:
                wait_for(commands[name][0])
            seen = {}
            for number in range(options.rounds):
                for title, (path, connections) in CLASSES.items():
                    for name in names:
                        got = measure(commands[name][0], pids[name], path, connections, options.seconds)
                        seen.setdefault((title, name), []).append(got)
                print(f"round {number + 1} of {options.rounds}", flush=True)
        finally:
            for _, process in running:
                process.terminate()
            for _, process in running:
                process.wait(20)
    print(f"\nmedians of {options.rounds} rounds of {options.seconds} s\n")
    print("| class | proxy | CPU µs per request | requests/s | p99 ms |\n|---|---|---|---|---|")
    for (title, name), got in seen.items():
        cost, rate, p99 = (statistics.median(column) for column in zip(*got))
        print(f"| {title} | {name} | {cost:.1f} | {rate:.0f} | {p99:.2f} |")


main()
