"""Owns what is the same for every peer: three servers with a loop each that starts them again as soon as they end, and
a proxy in front of them.
"""
import os, shutil, socket, threading

import witness
from processes import Failed, Skipped, end, start, unused_port, until

MORE_PATH = os.environ["PATH"] + ":/usr/sbin"


class Peer:
    """A proxy that does not own its servers. Subclasses know its name, its program, its configuration, and its view."""
    name, program = None, None

    def __init__(self, folder, options):
        self.folder, self.replicas, self.is_ending = folder, 3, False
        self.port, self.ports = unused_port(), []
        self.process, self.record, self.loops, self.lives = None, None, [], {}
        self.driver, self.witness_options = "process", []

    def prepare(self):
        if shutil.which(self.program, path=MORE_PATH) is None:
            raise Skipped(f"{self.program} is not installed")
        self.record = witness.Record(self.folder)

    def start(self):
        while len(self.ports) < self.replicas:
            port = unused_port()
            self.ports += [port] if port not in (*self.ports, self.port) else []
        names = [f"s{number}" for number in range(1, self.replicas + 1)]
        for name, port in zip(names, self.ports):
            self.loops.append(threading.Thread(target=self.keep, args=(name, port), daemon=True))
            self.loops[-1].start()
        for port in self.ports:
            until("the servers listen", lambda port=port: is_open(port))
        with open(self.folder / "said.log", "ab") as said:
            self.process = start(self.line(dict(zip(names, self.ports))), stdout=said, stderr=said, env=os.environ | {"PATH": MORE_PATH})
        until(f"{self.name} has all servers", self.is_whole)

    def is_whole(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.program} ended: {(self.folder / 'said.log').read_text()[-500:]}")
        try:
            return is_open(self.port) and sum(replica.is_ready for replica in self.view()) == self.replicas
        except OSError:
            return False

    def keep(self, name, port):
        """The loop that starts a server again as soon as it ends."""
        while not self.is_ending:
            command = [witness.BUILT, "--record", self.record.place, "--boot", f"{witness.BOOT_MS}ms", *self.witness_options]
            process = start(command, env=os.environ | {"SERVER_ID": name, "PORT": str(port)})
            self.lives[name] = process
            process.wait()

    def end(self):
        self.is_ending = True
        if self.process:
            end(self.process, 3)
        for process in self.lives.values():
            end(process)
        for loop in self.loops:
            loop.join(5)
        if self.record:
            self.record.close()

    def view(self):
        return self.look()()

    def events(self):
        return []

    def life(self, replica):
        life = self.record.latest(replica.name)
        return life.pid, ("127.0.0.1", life.control)

    def signal(self, replica, number):
        os.kill(self.life(replica)[0], number)

    def command(self, replica, mode):
        witness.command(*self.life(replica)[1], mode)


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
