#!/usr/bin/env python3
"""One attack on a port of the loopback, bounded in number and time: what strangers did to the balancer.

Prints a line of JSON when it is at its height ("up"), and another when it is over. Ends when its input ends,
or after --seconds.
"""
import argparse, json, select, socket, sys, time

from frames import END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, SETTINGS, UNKNOWN, WINDOW_UPDATE, ask, frame, literal

MIB = 1 << 20


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.setblocking(False)
    return connection


def opened(port):
    connection = connect(port)
    push(connection, PREFACE + frame(SETTINGS, 0, 0))
    return connection


def many(count, port, new):
    """So many connections, or as many as there can be."""
    held = []
    for _ in range(count):
        try:
            held.append(new(port))
        except OSError:
            break
    return held


def push(connection, data, patience=2.0):
    """Sends all of it, if the other end takes it in time; whether it did."""
    deadline = time.monotonic() + patience
    while data:
        try:
            data = data[connection.send(data):]
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            select.select([], [connection], [], 0.05)
            drain(connection)
        except OSError:
            return False
    return True


def drain(connection):
    """Takes what came, so that nobody waits for us to; whether it is still open."""
    try:
        while got := connection.recv(65536):
            if len(got) < 65536:
                return True
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def streams(options):
    """Connections with as many open requests each as HTTP/2 allows, to a replica that never answers."""
    held = many(options.count or 160, options.port, opened)
    data = [frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, ask(b"GET", b"/hang")) for number in range(128)]
    return held, {"requests": sum(push(connection, one) for connection in held for one in data)}


def heads(options):
    """A field of almost 4 KB that is remembered once and named fifteen times by each of 128 requests."""
    held = many(options.count or 100, options.port, opened)
    remembered, sent = literal(b"x", b"v" * 3900, 0x40), 0
    for connection in held:
        for number in range(128):
            named = b"\xbe" * 15 if number else remembered + b"\xbe" * 14
            data = frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, ask(b"GET", b"/hang", named))
            if not push(connection, data, 0.5):
                break
            sent += len(data)
            drain(connection)
    return held, {"bytes": sent}


def idle(options):
    """Connections that say nothing, half of them after a request."""
    held = many(options.count or 1100, options.port, connect)
    for connection in held[::2]:
        push(connection, b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
    return held, {}


def half(options):
    """Connections with half a head, and nothing behind it."""
    held = many(options.count or 1100, options.port, connect)
    for connection in held:
        push(connection, b"GET / HTTP/1.1\r\nHost: bench\r\nX-A: ")
    return held, {}


def frames(options):
    """Connections that send frames that ask for nothing, as fast as they are taken."""
    held = many(options.count or 4, options.port, opened)
    kinds = [frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"), frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"),
             frame(UNKNOWN, 0, 0, b"x" * 16), frame(PING, 0, 0, b"12345678")]
    flood, sent, end = [kind * 500 for kind in kinds], 0, time.monotonic() + options.seconds
    alive = list(enumerate(held))
    print(json.dumps({"up": True}), flush=True)
    while alive and time.monotonic() < end and sent < 512 * MIB:
        still = []
        for index, connection in alive:
            data = flood[index % len(flood)]
            try:
                sent += connection.send(data)
            except BlockingIOError:
                pass
            except OSError:
                continue
            if drain(connection):
                still.append((index, connection))
        alive = still
        time.sleep(0.0005)
    return held, {"bytes": sent, "open_at_the_end": len(alive)}


ATTACKS = {"streams": streams, "heads": heads, "idle": idle, "half": half, "frames": frames}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attack", choices=ATTACKS)
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, default=0, help="connections (default: as in the attack that was seen)")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    options.count = min(options.count, 5000)
    options.seconds = min(options.seconds, 120.0)
    end = time.monotonic() + options.seconds
    held, figures = ATTACKS[options.attack](options)
    print(json.dumps({"up": True}), flush=True)
    while time.monotonic() < end:
        if select.select([sys.stdin], [], [], 0.5)[0]:
            break
    print(json.dumps({"attack": options.attack, "connections": len(held), "open_at_the_end": sum(map(drain, held)), **figures}), flush=True)


if __name__ == "__main__":
    main()
