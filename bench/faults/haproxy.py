"""Owns HAProxy as a subject, as a careful user runs it today: health checks, retries, redispatch, and passive checks."""
import socket

from peers import Peer
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
  timeout server 2s
  timeout check 250ms
  timeout queue 10s
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response junk-response response-timeout 500 502 503 504
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


class Haproxy(Peer):
    name, program = "HAProxy", "haproxy"

    def line(self, ports):
        servers = "\n".join(f"  server {name} 127.0.0.1:{port}" for name, port in ports.items())
        file = self.folder / "haproxy.cfg"
        file.write_text(CONFIGURATION.format(folder=self.folder, port=self.port, servers=servers))
        return ["haproxy", "-f", file]

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
