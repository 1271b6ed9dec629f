"""Owns one measurement under load: runs a client against one proxy and says what a request cost.

It knows the clients' command lines and how to read what they print; it keeps nothing.
"""
import re, subprocess, tempfile
from statistics import quantiles
from dataclasses import dataclass
from pathlib import Path

from peers import HERE, Unable
from processes import CLIENT_CPU, pinned

GRACE_SECONDS = 30


@dataclass
class Sample:
    cpu_microseconds: float
    rate: float
    p99_milliseconds: float
    trouble: str


def measure(one, peer, seconds):
    """Loads the proxy as the class says, for so many seconds."""
    url = peer.url + one.path
    before = peer.cpu_microseconds()
    count, rate, p99, trouble = {"wrk": wrk, "ab": ab, "h2load": h2load}[one.client](one, url, seconds)
    used = peer.cpu_microseconds() - before
    if count == 0:
        raise Unable(f"no request succeeded: {trouble}")
    return Sample(used / count, rate, p99, trouble)


def wrk(one, url, seconds):
    options = [option.format(here=HERE) for option in one.options]
    said = run(["wrk", "-t1", f"-c{one.connections}", f"-d{seconds}s", "--latency", *options, url], seconds)
    count, elapsed, unit = found(r"(\d+) requests in ([\d.]+)(ms|s|m)", said)
    elapsed = float(elapsed) * {"ms": 0.001, "s": 1, "m": 60}[unit]
    p99, unit = found(r"99%\s+([\d.]+)(us|ms|s)", said)
    p99 = float(p99) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return int(count), int(count) / elapsed, p99, "; ".join(re.findall(r"(?:Socket errors|Non-2xx)[^\n]*", said))


def ab(one, url, seconds):
    with tempfile.NamedTemporaryFile(suffix=".csv") as percentiles:
        # -n has to come after -t, which sets it too. It is a bound that no proxy reaches.
        said = run(["ab", "-q", "-t", seconds, "-n", 20_000 * seconds, "-c", one.connections,
                    "-e", percentiles.name, *one.options, url], seconds)
        rows = [line.split(",") for line in Path(percentiles.name).read_text().splitlines() if line.count(",") == 1]
    p99 = next((float(time) for percent, time in rows if percent == "99"), 0)
    number = lambda name: float(match[1]) if (match := re.search(rf"{name}:\s+([\d.]+)", said)) else 0
    bad = {name: int(number(name)) for name in ("Failed requests", "Non-2xx responses", "Write errors")}
    trouble = "; ".join(f"{name}: {count}" for name, count in bad.items() if count)
    return int(number("Complete requests")), number("Requests per second"), p99, trouble


def h2load(one, url, seconds):
    with tempfile.TemporaryDirectory() as folder:
        # What a unary call sends: not compressed, ten bytes.
        (Path(folder) / "call").write_bytes(b"\0\0\0\0\x0a" + b"\x0a\x08evenkeel")
        options = [option.format(folder=folder) for option in one.options]
        log = Path(folder) / "log"
        said = run(["h2load", "-t", 1, "-c", one.connections, "-D", seconds, f"--log-file={log}", *options, url], seconds)
        # Of each request: when it began, its status, and how long it took in microseconds.
        took = [int(line.split("\t")[2]) for line in log.read_text().splitlines()]
    count, = found(r"(\d+) 2xx", said)
    bad = re.findall(r"[1-9]\d* (?:failed|errored|timeout|4xx|5xx)", said)
    p99 = quantiles(took, n=100)[98] / 1000 if len(took) > 1 else 0
    return int(count), int(count) / seconds, p99, ", ".join(bad)


def found(pattern, said):
    match = re.search(pattern, said)
    if match is None:
        raise Unable(f"the client said nothing like {pattern}")
    return match.groups()


def run(command, seconds):
    try:
        return subprocess.run(pinned(CLIENT_CPU, [*map(str, command)]), capture_output=True, text=True, check=True,
                              timeout=seconds + GRACE_SECONDS).stdout
    except subprocess.CalledProcessError as error:
        raise Unable(f"{command[0]} failed: {error.stderr.strip()[-160:]}") from error
    except subprocess.TimeoutExpired as error:
        raise Unable(f"{command[0]} did not end") from error
