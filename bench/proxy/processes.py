"""Owns the processes of a run: starts them pinned to a CPU, reads what they used, and ends them.

It does not know what the processes are. Whatever ends the run, none of them outlives it.
"""
import contextlib, os, random, resource, signal, socket, subprocess
from pathlib import Path

PROXY_CPU, CLIENT_CPU = 0, 1
DESCRIPTORS = 40_000
# What a proxy needs beside the descriptors of its clients: 1 024 idle connections to the backend, and some.
SPARE_DESCRIPTORS = 2000
END_SECONDS = 10


def prepare():
    """Makes TERM and Ctrl-C end the run in order, and raises the limit of descriptors; returns the limit."""
    for end in (signal.SIGINT, signal.SIGTERM):
        signal.signal(end, signal.default_int_handler)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, DESCRIPTORS), hard):
        # Only root may go beyond the hard limit.
        with contextlib.suppress(ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            break
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], DESCRIPTORS)


def possible_clients(descriptors):
    """How many clients a proxy with that limit can hold."""
    return max(descriptors - SPARE_DESCRIPTORS, descriptors // 2)


def pinned(cpu, command):
    """The command on that CPU alone, ended by the kernel if this program is killed."""
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(cpu), *map(str, command)]


def unused_port():
    """A port below those that the kernel hands to clients, so that none of them takes it."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no port is free between 20000 and 32000")


@contextlib.contextmanager
def running(cpu, command, log):
    """Runs a server for the length of a block; what it says goes to the file `log`."""
    with open(log, "wb") as said:
        # A session of its own, so that Ctrl-C reaches only this program, which then ends the others.
        process = subprocess.Popen(pinned(cpu, command), stdin=subprocess.DEVNULL, stdout=said,
                                   stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        # The group holds what the process may have left, such as workers without their master.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(END_SECONDS)


def family(pid):
    """The process, its children and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(other for child in children for other in family(int(child)))]


def cpu_microseconds(pid):
    """What the scheduler counted for all threads of the family."""
    total = 0
    for process in family(pid):
        for task in Path(f"/proc/{process}/task").iterdir():
            # A thread may end between the listing and the reading.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


def memory_kib(pid):
    """Resident and proportional set size of the family."""
    sizes = {"Rss": 0, "Pss": 0}
    for process in family(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] += int(rest.split()[0])
    return sizes["Rss"], sizes["Pss"]
