#!/usr/bin/env python3
"""Owns rude clients: each breaks off somewhere in a request or an answer, until the time is over.

usage: cut.py HOST PORT SECONDS

Says how many there were.
"""
import contextlib, random, socket, struct, sys, threading, time

THREADS = 4
REQUESTS = (
    b"GET /64k HTTP/1.1\r\nHost: bench\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n" * 20,
    b"POST /upload HTTP/1.1\r\nHost: bench\r\nContent-Length: 65536\r\n\r\n" + b"x" * 65536,
    b"POST /upload HTTP/1.1\r\nHost: bench\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
)


def break_off(address):
    request = random.choice(REQUESTS)
    with socket.create_connection(address, 5) as connection:
        connection.settimeout(0.05)
        connection.sendall(request[: random.randrange(len(request) + 1)])
        for _ in range(random.randrange(3)):
            if not connection.recv(random.randrange(1, 8192)):
                break
        if random.random() < 0.5:
            # Closed like this, a connection is reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def main():
    address, end = (sys.argv[1], int(sys.argv[2])), time.monotonic() + float(sys.argv[3])
    counts = [0] * THREADS

    def go_on(thread):
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                break_off(address)
            counts[thread] += 1

    threads = [threading.Thread(target=go_on, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(counts))


if __name__ == "__main__":
    main()
