#!/usr/bin/env python3
"""Owns idle connections: opens many, makes one request on each, and holds them until its input ends.

usage: hold.py HOST PORT COUNT

Says "held N" when all have been answered and, once its input has ended, "lost N": those that the
other side had closed by then. Source addresses 127.0.0.2 and up take turns, so that ports do not
run out.
"""
import contextlib, resource, socket, sys

# Linux: choose the port when connecting, when the whole address pair is known.
IP_BIND_ADDRESS_NO_PORT = 24
SOURCES = 8
TIMEOUT_SECONDS = 5
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def opened(address, number):
    connection = socket.socket()
    connection.settimeout(TIMEOUT_SECONDS)
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((f"127.0.0.{2 + number % SOURCES}", 0))
    connection.connect(address)
    connection.sendall(REQUEST)
    read_answer(connection)
    return connection


def read_answer(connection):
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += received(connection)
    head, _, body = seen.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").lower().split("\r\n")
    if " 200" not in status:
        raise OSError(f"the answer was {status}")
    length = next(int(field.split(":")[1]) for field in fields if field.startswith("content-length:"))
    while len(body) < length:
        body += received(connection)


def received(connection):
    data = connection.recv(65536)
    if not data:
        raise OSError("closed before the answer was complete")
    return data


def is_closed(connection):
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        return connection.recv(1) == b""
    return False


def main():
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = [opened((host, port), number) for number in range(count)]
    print(f"held {len(connections)}", flush=True)
    sys.stdin.read()
    print(f"lost {sum(map(is_closed, connections))}", flush=True)


if __name__ == "__main__":
    main()
