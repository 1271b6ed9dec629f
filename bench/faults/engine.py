"""Owns two ways to the Docker engine: a client for deeds, and a proxy that hangs or cuts on command.

The machine's own engine is never restarted here.
"""
import contextlib, http.client, socket, threading
from urllib.parse import quote

from processes import Failed

SOCKET = "/var/run/docker.sock"
ENGINE_SECONDS = 60


class Connection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("localhost", timeout=ENGINE_SECONDS)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def ask(method, path):
    """One request to the engine. The program `docker` would need a tenth of a second before it begins."""
    connection = Connection()
    try:
        connection.request(method, path, headers={"Content-Length": "0"})
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        raise Failed(f"the engine, {method} {path}: {answer.status} {text.decode(errors='replace')[:200]}")


def post(name, deed):
    ask("POST", f"/containers/{quote(name)}/{deed}")


def remove(name):
    ask("DELETE", f"/containers/{quote(name)}?force=1&v=1")


class Proxy:
    """Stands between a balancer and the engine. What it does with a connection: pass, hang or refuse."""

    def __init__(self, path):
        self.mode, self.pairs, self.lock = "pass", set(), threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(128)
        self.flowing = threading.Event()
        self.flowing.set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.mode == "refuse":
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(SOCKET)
                with self.lock:
                    self.pairs.add((client, server))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                # While the engine hangs nothing moves, in either direction, and nothing is lost.
                self.flowing.wait()
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def hang(self):
        self.flowing.clear()

    def cut(self):
        """Ends all connections: answers that were awaited, and the stream of events."""
        with self.lock:
            pairs, self.pairs = self.pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def refuse(self):
        self.mode = "refuse"
        self.cut()

    def heal(self):
        self.mode = "pass"
        self.flowing.set()

    def close(self):
        self.heal()
        self.cut()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
