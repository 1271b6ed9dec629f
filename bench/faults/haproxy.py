"""Owns HAProxy as a subject, as a careful user runs it today: health checks, retries, redispatch, passive
checks, and a loop for each server that starts it again as soon as it ends.
"""
import os, shutil, socket, subprocess, threading

import witness
from processes import Failed, Skipped, end, start, unused_port, until
from watch import Replica

# As many threads as CPUs, which is the default and what Evenkeel does too. `retry-on` does not tell methods
# apart, and a POST must not be executed twice: it is sent again only if it could not connect.
CONFIGURATION = """
global
  maxconn 8000
  stats socket {folder}/stats.sock mode 600 level admin
defaults
  mode http
  timeout connect 250ms
  timeout client 60s
  timeout server 60s
  timeout check 250ms
  timeout queue 10s
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response junk-response response-timeout
frontend f
  bind 127.0.0.1:{port}
  default_backend web
backend web
  balance random(2)
  http-request disable-l7-retry if METH_POST
  option httpchk GET /heartbeat
  default-server check inter 500ms fastinter 100ms downinter 100ms fall 2 rise 1 observe layer7 error-limit 5 on-error mark-down
{servers}
"""


class Haproxy:
    name = "HAProxy"

    def __init__(self, folder, options):
        self.folder, self.replicas, self.is_ending = folder, 3, False
        self.port, self.ports = unused_port(), []
        self.process, self.record, self.loops, self.lives = None, None, [], {}
        self.driver, self.witness_options = "process", []

    def prepare(self):
        if shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin") is None:
            raise Skipped("haproxy is not installed")
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
        servers = "\n".join(f"  server {name} 127.0.0.1:{port}" for name, port in zip(names, self.ports))
        file = self.folder / "haproxy.cfg"
        file.write_text(CONFIGURATION.format(folder=self.folder, port=self.port, servers=servers))
        with open(self.folder / "said.log", "ab") as said:
            self.process = start(["haproxy", "-f", file], stdout=said, stderr=said,
                                 env=os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin"})
        until("HAProxy has all servers", self.is_whole)

    def is_whole(self):
        if self.process.poll() is not None:
            raise Failed(f"haproxy ended: {(self.folder / 'said.log').read_text()[-500:]}")
        try:
            return sum(replica.is_ready for replica in self.view()) == self.replicas
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

    def look(self):
        def once():
            with socket.socket(socket.AF_UNIX) as stats:
                stats.settimeout(5)
                stats.connect(str(self.folder / "stats.sock"))
                stats.sendall(b"show stat -1 4 -1\n")
                text = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
            rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
            return [self.replica(row[1], row[17]) for row in rows if row[0] == "web"]
        return once

    def replica(self, name, status):
        # The life is that of its process, so that a restart that HAProxy never noticed is one all the same.
        process = self.lives.get(name)
        return Replica(name, (name, process and process.pid), status.startswith("UP"), status, None, None)

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
