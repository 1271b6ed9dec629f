"""HTTP/2 by hand: frames and heads as a hostile client writes them. Knows nothing of connections."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, UNKNOWN = 0, 1, 2, 4, 6, 8, 9, 0xFA
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def number(value, bits, first):
    """An integer as HPACK has it (RFC 7541, 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    return bytes([*out, value])


def literal(name, value, first=0):
    """A field; with 0x40 as its first byte it is to be remembered."""
    return bytes([first]) + number(len(name), 7, 0) + name + number(len(value), 7, 0) + value


def ask(method, path, more=b""):
    """The head of a request."""
    fields = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"h")]
    return b"".join(literal(name, value) for name, value in fields) + more
