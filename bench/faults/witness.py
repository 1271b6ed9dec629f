"""Owns the replicas under test: the witness program, its image, and what its lives wrote down.

Lives of processes write into a folder. Those in containers send the same lines as datagrams, which over
a bridge of this machine are here when the call returns, so that a kill takes nothing back.
"""
import collections, contextlib, os, shutil, socket, tempfile, threading, urllib.request
from pathlib import Path

from processes import ROOT, Failed, output

BOOT_MS = 300
CONTAINER_PORT, CONTAINER_CONTROL_PORT = 5000, 5999
IMAGE = "evenkeel-faults-witness"
TARGET = f"{os.uname().machine}-unknown-linux-gnu"
BUILT = ROOT / "target/bench-witness" / TARGET / "release/witness"
RECEIVE_BUFFER = 64 * 1024 * 1024

Life = collections.namedtuple("Life", "name pid port control")
# One line of a record: when (seconds since 1970), whose, the word, and for a request its id and method.
Fact = collections.namedtuple("Fact", "at life word id method")


def build():
    """Compiles the witness, statically, so that an empty image can hold it."""
    flags = f'target.{TARGET}.rustflags=["-C","target-feature=+crt-static"]'
    environment = {name: value for name, value in os.environ.items() if name not in ("RUSTFLAGS", "CARGO_TARGET_DIR")}
    output(["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", ROOT / "bench/faults/witness/Cargo.toml",
            "--target", TARGET, "--target-dir", ROOT / "target/bench-witness", "--config", flags], env=environment, timeout=900)


def build_image():
    with tempfile.TemporaryDirectory(prefix="faults-image-") as folder:
        shutil.copy(BUILT, folder)
        (Path(folder) / "Dockerfile").write_text('FROM scratch\nCOPY witness /witness\nENTRYPOINT ["/witness"]\n')
        output(["docker", "build", "--quiet", "--tag", IMAGE, folder], timeout=300)


class Record:
    """What all lives of one run have written down."""

    def __init__(self, folder, gateway=None):
        self.folder = Path(folder) / "record"
        self.folder.mkdir()
        self.place, self.socket, self.lines = str(self.folder), None, []
        if gateway:
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            # Only root may have so much, and less would do on most days.
            with contextlib.suppress(PermissionError):
                self.socket.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), RECEIVE_BUFFER)
            self.socket.bind((gateway, 0))
            self.place = f"udp://{gateway}:{self.socket.getsockname()[1]}"
            threading.Thread(target=self.receive, daemon=True).start()

    def receive(self):
        with contextlib.suppress(OSError):
            while line := self.socket.recv(512):
                self.lines.append(line)

    def close(self):
        if self.socket:
            # Wakes the thread that reads, which a plain close would not.
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            self.socket.close()

    def facts(self):
        for line in list(self.lines):
            life, rest = line.decode().split(" ", 1)
            yield fact(life, rest)
        for file in sorted(self.folder.glob("*.log")):
            with open(file) as lines:
                # The last line of a life that was killed may be half of one.
                yield from (fact(file.stem, line) for line in lines if line.endswith("\n"))

    def latest(self, name):
        """The last life that was begun under a name."""
        born = [fact for fact in self.facts() if fact.word == "BORN" and fact.life.name == name]
        if not born:
            raise Failed(f"no life of {name} is recorded")
        return max(born, key=lambda fact: fact.at).life


def fact(life, line):
    name, pid, port, control = life.rsplit(",", 3)
    at, word, *rest = line.split()
    request, method = rest if rest else (None, None)
    return Fact(int(at) / 1e6, Life(name, int(pid), int(port), int(control)), word, request, method)


def command(host, port, mode):
    """Tells a life how to behave from now on."""
    request = urllib.request.Request(f"http://{host}:{port}/control/{mode}", data=b"", method="POST")
    with urllib.request.urlopen(request, timeout=5):
        pass
