#!/usr/bin/env python3
"""What strangers can make a balancer keep: connections of one kind at a time, its memory before, at most and after.

On the loopback and bounded in time and number. The backend is this program: it holds requests, says a lot, or says much
before it says anything. A line of JSON for each kind. `run.py memory` calls it; by itself it takes any program.
"""
import argparse, asyncio, contextlib, json, re, resource, socket, subprocess, sys, tempfile, threading, time, urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from frames import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, ask, frame, literal

SEND_SECONDS = 5


# All windows wide open.
HELLO = PREFACE + frame(SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff") + frame(WINDOW_UPDATE, 0, 0, (0x7fff0000).to_bytes(4, "big"))


def streams(count, each):
    return HELLO + b"".join(each(2 * index + 1) for index in range(count))


def amplified(times):
    """An entry of 3.9 KB, named again and again by a byte."""
    entry = literal(b"x-large", b"a" * 3900, 0x40)
    def each(stream):
        block = ask(b"POST", b"/hold", (entry if stream == 1 else b"") + b"\xbe" * times)
        return frame(HEADERS, END_HEADERS, stream, block)
    return streams(128, each)


def bodies(size, count, more=b"", last=b""):
    """Bodies of this size, none of which ends."""
    pieces = lambda stream: b"".join(frame(DATA, 0, stream, b"b" * min(16384, size - at)) for at in range(0, size, 16384))
    return streams(count, lambda stream: frame(HEADERS, END_HEADERS, stream, ask(b"PUT", b"/hold", more)) + pieces(stream) + last)


def trailers(stream):
    return (frame(HEADERS, END_HEADERS, stream, ask(b"POST", b"/hold")) + frame(DATA, 0, stream, b"b")
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, b"".join(literal(b"x-%d" % n, b"t" * 3900) for n in range(3))))


def get(path):
    return lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, ask(b"GET", path))


KINDS = {
    "amplified": lambda: amplified(15),
    "amplified within the limit": lambda: amplified(7),
    "windows filled": lambda: bodies(256 << 10, 16),
    "endless uploads": lambda: bodies(40 << 10, 100),
    "kept bodies": lambda: bodies((64 << 10) - 1, 60, literal(b"content-length", b"65536")),
    "kept bodies over http/1": lambda: b"PUT /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n" + b"b" * 65535,
    "trailers": lambda: streams(100, trailers),
    "answers not read": lambda: streams(100, get(b"/large")),
    "answers not read over http/1": lambda: b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n",
    "interim answers": lambda: streams(100, get(b"/interim")),
    "interim answers over http/1": lambda: b"GET /interim HTTP/1.1\r\nHost: h\r\n\r\n",
    "heads without end": lambda: b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: " % n + b"h" * 900 + b"\r\n" for n in range(66)),
    "heads without end over http/2": lambda: HELLO + frame(HEADERS, 0, 1, ask(b"GET", b"/")) + b"".join(
        frame(CONTINUATION, 0, 1, literal(b"x-%d" % n, b"h" * 15000)) for n in range(2)),
}


async def backend(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path == b"/hold":
                reader._transport.pause_reading()
                await asyncio.sleep(600)
            elif path == b"/large":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n")
                for _ in range(128):
                    writer.write(b"r" * 65536)
                    await writer.drain()
            elif path == b"/interim":
                for _ in range(15):
                    writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: <" + b"l" * 8000 + b">\r\n\r\n")
                await asyncio.sleep(600)
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
        writer.close()


async def serve():
    server = await asyncio.start_server(backend, "127.0.0.1", 0, limit=1 << 17, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)


@contextlib.contextmanager
def backends(count):
    """So many backends, each a process of its own, so that what one is busy with does not hold up another."""
    command = [sys.executable, __file__, "--backend"]
    all_of_them = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in range(count)]
    try:
        yield [int(each.stdout.readline()) for each in all_of_them]
    finally:
        for each in all_of_them:
            each.kill()
            each.wait()


def rss(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def kept_mib(admin):
    """What the balancer itself says, if it does."""
    try:
        page = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10).read().decode()
    except OSError as error:
        return type(error).__name__
    found = re.search(r"^evenkeel_memory_kept_bytes (\d+)", page, re.M)
    return found and round(int(found[1]) / (1 << 20), 1)


def attack(port, said):
    """A connection that says this, as far as it is taken, and then nothing."""
    try:
        stream = socket.create_connection(("127.0.0.1", port), 5)
        # What comes back is to fill up soon.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stream.settimeout(SEND_SECONDS)
        if said.startswith(HELLO):
            # Windows are wider once everybody has heard of it.
            stream.sendall(HELLO)
            time.sleep(0.3)
            stream.recv(4096)
            stream.sendall(frame(SETTINGS, 1, 0))
            said = said[len(HELLO):]
        stream.sendall(said)
        return stream
    except OSError:
        return None


def one(program, kind, connections, limit, hold, after):
    with tempfile.TemporaryDirectory() as folder, backends(2) as (good_one, bad_one):
        config, admin = Path(folder) / "evenkeel.toml", 31_999
        limits = f'[limits]\nmemory = "{limit}"\n' if limit else ""
        config.write_text(f'listen = "127.0.0.1:31998"\nadmin = "127.0.0.1:{admin}"\nowner = "memory-bench"\nworkers = 2\n'
                          f'state_dir = "{folder}/state"\n{limits}[[service]]\nname = "good"\npath = "/good"\n'
                          f'driver = "static"\naddresses = ["127.0.0.1:{good_one}"]\n[[service]]\nname = "bad"\n'
                          f'driver = "static"\naddresses = ["127.0.0.1:{bad_one}"]\n')
        balancer = subprocess.Popen([program, "up", "--wait", "--config", str(config)], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
        try:
            while socket.socket().connect_ex(("127.0.0.1", 31_998)):
                time.sleep(0.05)
            time.sleep(1)
            before, seen, good, is_over = rss(balancer.pid), [], [], False

            def watch():
                while not is_over and balancer.poll() is None:
                    seen.append(rss(balancer.pid))
                    time.sleep(0.02)

            def be_good():
                while not is_over:
                    begun = time.monotonic()
                    try:
                        text = urllib.request.urlopen("http://127.0.0.1:31998/good", timeout=10).read()
                        good.append((text == b"ok", time.monotonic() - begun))
                    except OSError:
                        good.append((False, time.monotonic() - begun))
                    time.sleep(0.02)

            watchers = [threading.Thread(target=each) for each in (watch, be_good)]
            for each in watchers:
                each.start()
            said = KINDS[kind]()
            with ThreadPoolExecutor(32) as pool:
                held = [stream for stream in pool.map(lambda _: attack(31_998, said), range(connections)) if stream]
            time.sleep(hold)
            end, kept = rss(balancer.pid), kept_mib(admin)
            for stream in held:
                stream.close()
            is_over = True
            for each in watchers:
                each.join()
            time.sleep(after)
            times = sorted(took for _, took in good)
            return {
                "kind": kind, "connections": connections, "bytes_said": len(said), "limit": limit or None,
                "rss_mib": {"before": round(before, 1), "at_most": round(max(seen), 1), "at_the_end": round(end, 1), "counted": kept,
                            f"{after} s after": round(rss(balancer.pid), 1)},
                "good": {"asked": len(good), "failed": sum(not well for well, _ in good),
                         "p99_ms": round(1000 * times[len(times) * 99 // 100], 1) if times else None},
            }
        finally:
            balancer.terminate()
            try:
                balancer.wait(10)
            except subprocess.TimeoutExpired:
                balancer.kill()
                balancer.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="target/dist/evenkeel")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--limit", default="256MiB", help="limits.memory; empty for a program that has none")
    parser.add_argument("--hold", type=float, default=5.0, help="seconds that they stay")
    parser.add_argument("--after", type=int, default=20, help="seconds until memory is looked at again")
    parser.add_argument("--kinds", default=None, help=f"of: {', '.join(KINDS)}")
    parser.add_argument("--backend", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.backend:
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        return asyncio.run(serve())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kinds = options.kinds.split(",") if options.kinds else list(KINDS)
    for kind in kinds:
        told = one(options.program, kind, min(options.connections, 4000), options.limit, options.hold, options.after)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
