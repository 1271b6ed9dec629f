"""Owns the list of what is measured: which requests, by which client, over what.

It starts nothing and measures nothing.
"""
from dataclasses import dataclass

MEMORY = "memory"


@dataclass(frozen=True)
class Class:
    key: str
    title: str
    path: str = "/"
    connections: int = 64
    client: str = "wrk"
    options: tuple = ()
    front: str = "plain"
    back: str = "tcp"

    @property
    def variant(self):
        """Proxies are configured once for each pair of what clients and what replicas speak."""
        return self.front, self.back


CLASSES = [
    Class("small-64", "small GET, 64 connections"),
    Class("small-1000", "small GET, 1 000 connections", connections=1000),
    Class("answer-64k", "64 KiB answer, 32 connections", "/64k", 32),
    Class("answer-1m", "1 MiB answer, 16 connections", "/1m", 16),
    Class("upload-64k", "64 KiB upload, 32 connections", "/upload", 32, options=("-s", "{here}/upload.lua")),
    Class("connect", "new connection per request, 64 at once", options=("-H", "Connection: close")),
    Class("tls", "TLS, small GET, 64 connections", front="tls"),
    # wrk would resume: it keeps the session of each of its connections. ab never does.
    Class("handshake", "TLS, full handshake per request, 32 at once", connections=32, client="ab", front="tls"),
    Class("resume", "TLS, resumed handshake per request, 32 at once", connections=32, front="tls",
          options=("-H", "Connection: close")),
    # 512 streams at a time: what HTTP/2 is for.
    Class("h2", "HTTP/2 over TLS, small GET, 16 connections with 32 streams", connections=16, client="h2load",
          options=("-m", "32"), front="tls"),
    Class("grpc", "gRPC over TLS, unary call, 16 connections with 32 streams, h2c to replicas", "/bench.Echo/Say", 16, "h2load",
          ("-m", "32", "-d", "{folder}/call", "-H", "content-type: application/grpc", "-H", "te: trailers"), "tls", "h2c"),
    Class("unix", "small GET, 64 connections, Unix sockets to replicas", back="unix"),
    Class("policies", "18 KB page, gzip 4, headers set and removed, rate limit, a redirect beside it; 16 connections", "/page", 16,
          options=("-H", "Accept-Encoding: gzip"), front="policies"),
    Class(MEMORY, "10 000 idle connections", connections=10_000, client="hold"),
]

# Rows that put Evenkeel in one class beside the others in another: (title, Evenkeel's, the others').
BESIDE = [("the same, Evenkeel alone over Unix sockets", "unix", "small-64")]


def chosen(keys):
    """The classes with these keys, in the order of the list; all of them if there are no keys."""
    unknown = set(keys) - {one.key for one in CLASSES}
    if unknown:
        raise SystemExit(f"no such class: {', '.join(sorted(unknown))}; there are {', '.join(one.key for one in CLASSES)}")
    return [one for one in CLASSES if not keys or one.key in keys]
