"""Owns one measurement of memory: a fresh proxy, before and while it holds many idle connections.

Only the proxy's own pages count, not what the kernel keeps for its sockets.
"""
import select, subprocess, sys, time
from dataclasses import dataclass

from peers import HERE, Unable, proxy
from processes import CLIENT_CPU, memory_kib, pinned

OPEN_SECONDS = 40
STEADY_SECONDS = 8


@dataclass
class Footprint:
    connections: int
    whole_mib: float
    pss_kib: float
    rss_kib: float


def measure(name, program, variant, values, connections):
    """Starts the proxy, opens the connections, and says what each of them added, in KiB."""
    with proxy(name, program, variant, values) as peer:
        rss_before, pss_before = steady(peer.process.pid)
        command = pinned(CLIENT_CPU, [sys.executable, HERE / "hold.py", "127.0.0.1", peer.port, connections])
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_until_held(holder)
            rss, pss = steady(peer.process.pid)
            said, _ = holder.communicate(timeout=OPEN_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Unable("the client with the idle connections did not end") from error
        finally:
            holder.kill()
            holder.wait()
    lost = int(said.split()[-1])
    if lost:
        raise Unable(f"it closed {lost} of {connections} idle connections")
    return Footprint(connections, pss / 1024, (pss - pss_before) / connections, (rss - rss_before) / connections)


def wait_until_held(holder):
    ready, _, _ = select.select([holder.stdout], [], [], OPEN_SECONDS)
    if not ready:
        raise Unable(f"the connections are not open after {OPEN_SECONDS} s")
    if not holder.stdout.readline().startswith("held"):
        raise Unable(f"it does not hold so many: {holder.stderr.read().strip().splitlines()[-1]}")


def steady(pid):
    """The memory once it stays the same, or after a while all the same."""
    before = memory_kib(pid)
    deadline = time.monotonic() + STEADY_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = memory_kib(pid)
        if abs(now[1] - before[1]) < 0.002 * now[1]:
            return now
        before = now
    return before
