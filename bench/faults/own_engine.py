"""Owns a Docker engine beside the machine's, which may be stopped and started again.

Its network is a namespace of its own, with a way in for us: two engines in one namespace would each take the
other's bridge for a leftover. They share nothing but the kernel.
"""
import contextlib, os, shutil, subprocess, time
from pathlib import Path

import witness
from processes import Failed, Skipped, output

NAMESPACE, OUTSIDE, INSIDE = "ek-faults", "ek-f-outside", "ek-f-inside"
OUTSIDE_ADDRESS, INSIDE_ADDRESS, CONTAINERS = "10.214.255.1", "10.214.255.2", "10.214.0.0/17"
START_SECONDS = 30


class OwnEngine:
    """An engine that leaves its containers running when it ends, or takes them with it."""

    def __init__(self, folder, lives_restore):
        self.folder, self.lives_restore, self.process = Path(folder) / "engine", lives_restore, None
        missing = [name for name in ("dockerd", "containerd", "nsenter", "ip") if shutil.which(name) is None]
        if missing or os.getuid() != 0:
            raise Skipped(f"an engine of our own takes root, and {', '.join(missing) or 'nothing else'}")
        self.folder.mkdir()
        (self.folder / "daemon.json").write_text("{}")
        self.host = f"unix://{self.folder / 'docker.sock'}"
        self.storage = output(["docker", "info", "--format", "{{.Driver}}"]).strip()
        make_network()

    def start(self):
        """Returns when it answers."""
        at = lambda name: self.folder / name
        command = ["nsenter", f"--net=/run/netns/{NAMESPACE}", "dockerd", "--host", self.host, "--config-file", at("daemon.json"),
                   "--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid"), "--storage-driver", self.storage,
                   "--default-address-pool", f"base={CONTAINERS},size=24", "--iptables=false", "--ip-masq=false", "--shutdown-timeout=10"]
        command += ["--live-restore"] if self.lives_restore else []
        with open(at("log"), "ab") as log:
            # If this program is killed the engine goes on: an orderly end is all that tidies up after it.
            self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Skipped(f"an engine of our own does not start: {at('log').read_text(errors='replace').strip()[-300:]}")
            time.sleep(0.01)

    def answers(self):
        with contextlib.suppress(Failed, subprocess.TimeoutExpired):
            return bool(output(["docker", "--host", self.host, "version"], timeout=10))
        return False

    def load_image(self):
        """Gives it the witnesses' image."""
        image = self.folder / "image.tar"
        output(["docker", "save", "--output", image, witness.IMAGE])
        output(["docker", "--host", self.host, "load", "--input", image])

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def end(self):
        if self.process and self.process.poll() is None:
            self.stop()
        if self.lives_restore:
            # One that leaves no containers running ends what the other kind left.
            self.lives_restore = False
            self.start()
            self.stop()
        # It keeps its data mounted upon itself.
        subprocess.run(["umount", str(self.folder / "data")], stderr=subprocess.DEVNULL)
        remove_network()


def make_network():
    remove_network()
    for command in (f"netns add {NAMESPACE}", f"link add {OUTSIDE} type veth peer name {INSIDE} netns {NAMESPACE}",
                    f"addr add {OUTSIDE_ADDRESS}/30 dev {OUTSIDE}", f"link set {OUTSIDE} up",
                    f"-n {NAMESPACE} addr add {INSIDE_ADDRESS}/30 dev {INSIDE}", f"-n {NAMESPACE} link set {INSIDE} up",
                    f"-n {NAMESPACE} link set lo up", f"route add {CONTAINERS} via {INSIDE_ADDRESS}"):
        output(["ip", *command.split()])


def remove_network():
    for command in (f"link delete {OUTSIDE}", f"netns delete {NAMESPACE}"):
        subprocess.run(["ip", *command.split()], stderr=subprocess.DEVNULL)
