"""Owns the load: starts the generator (an example of crates/lab) and reads what it measured."""
import collections, json, os, subprocess, sys

from processes import ROOT, Failed, end, output, start

BUILT = ROOT / "target/release/examples/open_load"

# One request: when it was meant to begin (seconds since 1970), how long it took, and how it failed, if it did.
Request = collections.namedtuple("Request", "id method at latency_ms failure")
# Answers that came, and were wrong; all other failures are answers that did not come.
BAD = {"bad status", "bad body", "garbled"}


def build():
    environment = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    output(["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", ROOT / "Cargo.toml", "--package", "lab",
            "--example", "open_load"], env=environment, timeout=1200)


class Load:
    """1 000 requests a second, or as the row says, a tenth of them POSTs."""

    def __init__(self, folder, port, seconds, rate, answer_seconds):
        self.file, self.seconds, self.patience = folder / "load.json", seconds, answer_seconds
        posts = max(1, rate // 10)
        command = [BUILT, f"127.0.0.1:{port}", int(seconds * 1000), rate - posts, posts, answer_seconds, self.file]
        self.process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr)
        if self.process.stdout.readline() != b"begun\n":
            raise Failed("the load did not begin")

    def wait(self):
        """All requests, and the longest time by which the generator itself was late (ms)."""
        try:
            code = self.process.wait(self.seconds + self.patience + 60)
        except subprocess.TimeoutExpired:
            raise Failed("the load did not end") from None
        if code:
            raise Failed(f"the load ended with {code}")
        halves = json.loads(self.file.read_text())
        requests = [Request(f"{half['run']}-{number}", half["method"], (half["begun"] + at) / 1e6, latency / 1e3,
                            None if isinstance(outcome, int) else outcome)
                    for half in halves for number, at, latency, outcome in half["samples"]]
        examples = [example for half in halves for example in half["examples"]]
        return requests, examples, max(half["lag_max"] for half in halves) / 1e3

    def end(self):
        end(self.process, 0)
