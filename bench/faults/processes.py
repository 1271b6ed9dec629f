"""Owns what a run starts: programs, ports, folders, and that nothing of it outlives the run."""
import contextlib, os, random, resource, signal, socket, subprocess, sys, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
END_SECONDS = 15
DESCRIPTORS = 40_000


class Failed(Exception):
    """A run that could not be made. It says nothing about the subject."""


class Skipped(Exception):
    """A row that cannot be run here, with the reason."""


def prepare():
    """Makes TERM and Ctrl-C end the run in order, and allows as many descriptors as the system does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for wanted in (max(hard, DESCRIPTORS), hard):
        # Only root may go beyond the hard limit.
        with contextlib.suppress(ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return


def say(text):
    print(text, file=sys.stderr, flush=True)


def unused_port():
    """A port below those that the kernel hands to clients, so that none of them takes it."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise Failed("no port is free between 20000 and 32000")


def start(command, **options):
    """Starts a program that the kernel ends if this one is killed. A session of its own, so that Ctrl-C
    reaches only this program, which then ends the others."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options
    command = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
    return subprocess.Popen(command, start_new_session=True, **options)


def end(process, patience=END_SECONDS):
    """Ends a program in order, and otherwise not in order; and what it left in its session."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def output(command, **options):
    """What a program says; fails with its complaint."""
    options = {"timeout": 60} | options
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command[:4]))} …: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def until(what, is_so, patience=30, pause=0.02):
    """Waits for a condition, and returns what it found true."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := is_so():
            return found
        time.sleep(pause)
    raise Failed(f"it did not come true in {patience} s: {what}")
