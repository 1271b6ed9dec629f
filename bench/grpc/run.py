#!/usr/bin/env python3
"""Real gRPC (grpcio) through the balancer: unary calls, streams in all directions, deadlines, cancellation,
keepalive pings, large messages, many calls at a time, and a balancer that is told to stop under load.

    pip install grpcio
    bench/grpc/run.py --program target/dist/evenkeel [--calls 1000]

Two gRPC servers are started here, which also answer gRPC's health check: it is the heartbeat. Prints one line for each check, and exits with 1 if any of them failed.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc

SERVED = {"one": 0, "two": 0}
CANCELLED = threading.Event()
FAILED = []
SERVING = b"\x08\x01"


def raw(value):
    return value


class Handler(grpc.GenericRpcHandler):
    """Messages are plain bytes, so that nothing has to be generated."""

    def __init__(self, name):
        self.name = name

    def service(self, details):
        kind = details.method.rsplit("/", 1)[1]
        kinds = {
            "Echo": (grpc.unary_unary_rpc_method_handler, self.echo),
            "Fail": (grpc.unary_unary_rpc_method_handler, self.fail),
            "Slow": (grpc.unary_unary_rpc_method_handler, self.slow),
            "Count": (grpc.unary_stream_rpc_method_handler, self.count),
            "Sum": (grpc.stream_unary_rpc_method_handler, self.sum),
            "Chat": (grpc.stream_stream_rpc_method_handler, self.chat),
            "Wait": (grpc.unary_stream_rpc_method_handler, self.wait),
            "Check": (grpc.unary_unary_rpc_method_handler, lambda request, context: SERVING),
        }
        if kind not in kinds:
            return None
        make, behave = kinds[kind]
        return make(behave, request_deserializer=raw, response_serializer=raw)

    def echo(self, request, context):
        SERVED[self.name] += 1
        metadata = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-seen", metadata.get("x-asked", "")),))
        context.set_trailing_metadata((("x-behind", "yes"), ("x-data-bin", b"\x00\xff")))
        return request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing th\u00e9re %")

    def slow(self, request, context):
        time.sleep(float(request))
        return request

    def count(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number
            time.sleep(0.02)

    def sum(self, requests, context):
        return b"%d" % sum(int(request) for request in requests)

    def chat(self, requests, context):
        for request in requests:
            yield request

    def wait(self, request, context):
        context.add_callback(CANCELLED.set)
        yield b"begun"
        while context.is_active():
            time.sleep(0.01)


def serve(name):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(64), options=options)
    server.add_generic_rpc_handlers((Handler(name),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def check(name, is_so, more=""):
    print(f"{'ok    ' if is_so else 'FAILED'}  {name}  {more}", flush=True)
    if not is_so:
        FAILED.append(name)


class Stub:
    def __init__(self, address, options=()):
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(address, options=[*unlimited, *options])
        for kind, make in [
            ("Echo", self.channel.unary_unary),
            ("Fail", self.channel.unary_unary),
            ("Slow", self.channel.unary_unary),
            ("Missing", self.channel.unary_unary),
            ("Count", self.channel.unary_stream),
            ("Wait", self.channel.unary_stream),
            ("Sum", self.channel.stream_unary),
            ("Chat", self.channel.stream_stream),
        ]:
            setattr(self, kind.lower(), make(f"/bench.Bench/{kind}", request_serializer=raw, response_deserializer=raw))


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, None


def simple_calls(stub):
    answer, call = stub.echo.with_call(b"hello", metadata=(("x-asked", "1"),), timeout=5)
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    check("a call and its metadata", answer == b"hello" and initial.get("x-seen") == "1")
    check("trailing metadata", trailing.get("x-behind") == "yes" and trailing.get("x-data-bin") == b"\x00\xff")
    code = code_of(lambda: stub.fail(b"", timeout=5))
    check("an error has its code and text", code == (grpc.StatusCode.NOT_FOUND, "nothing th\u00e9re %"), code)
    code = code_of(lambda: stub.missing(b"", timeout=5))[0]
    check("an unknown method", code == grpc.StatusCode.UNIMPLEMENTED, code)
    large = os.urandom(32 << 20)
    begun = time.monotonic()
    check("32 MiB there and back", stub.echo(large, timeout=60) == large, f"{time.monotonic() - begun:.2f} s")
    check("an empty message", stub.echo(b"", timeout=5) == b"")


def streams(stub):
    arrived = [(message, time.monotonic()) for message in stub.count(b"10", timeout=5)]
    spread = arrived[-1][1] - arrived[0][1]
    check("a stream comes message by message", len(arrived) == 10 and spread > 0.15, f"{spread:.2f} s")
    check("a stream of requests", stub.sum((b"%d" % number for number in range(1000)), timeout=5) == b"499500")
    def slowly():
        for _ in range(8):
            time.sleep(1)
            yield b"1"
    check("a stream of requests that come slowly", code_of(lambda: stub.sum(slowly(), timeout=20))[0].name == "OK")
    answers, come = [], threading.Semaphore(1)
    def questions():
        for number in range(200):
            come.acquire()
            yield b"%d" % number
    for answer in stub.chat(questions(), timeout=10):
        answers.append(answer)
        come.release()
    check("questions and answers in turn", answers == [b"%d" % number for number in range(200)])


def endings(stub):
    begun = time.monotonic()
    code = code_of(lambda: stub.slow(b"3", timeout=0.3))[0]
    took = time.monotonic() - begun
    check("a deadline", code == grpc.StatusCode.DEADLINE_EXCEEDED and took < 1, f"{took:.2f} s")
    call = stub.wait(b"", timeout=20)
    next(call)
    begun = time.monotonic()
    call.cancel()
    check("a cancellation reaches the server", CANCELLED.wait(2), f"{1000 * (time.monotonic() - begun):.0f} ms")


def pings(address):
    options = [("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_timeout_ms", 1000),
               ("grpc.http2.max_pings_without_data", 0), ("grpc.keepalive_permit_without_calls", 1)]
    stub = Stub(address, options)
    check("a call of 5 s with pings every second", code_of(lambda: stub.slow(b"5", timeout=10))[0].name == "OK")


def many(stub, calls):
    begun = time.monotonic()
    waiting = [stub.echo.future(b"x" * (number % 3000), timeout=60) for number in range(calls)]
    lengths = [len(call.result()) for call in waiting]
    took = time.monotonic() - begun
    check(f"{calls} calls at a time", lengths == [number % 3000 for number in range(calls)],
          f"{calls / took:.0f}/s, {SERVED}")
    check("all servers were asked", min(SERVED.values()) > 0)


def stop_under_load(address, balancer):
    stub = Stub(address)
    running = [stub.slow.future(b"1.5", timeout=10) for _ in range(50)]
    time.sleep(0.5)
    balancer.send_signal(signal.SIGTERM)
    codes = {call.code() for call in running if call.exception(timeout=10) or True}
    check("a stop lets calls finish", codes == {grpc.StatusCode.OK}, codes)
    check("the balancer ends", balancer.wait(10) == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/dist/evenkeel", help="the balancer")
    parser.add_argument("--calls", type=int, default=1000, help="how many calls at a time (default: 1000)")
    arguments = parser.parse_args()
    servers = [serve("one"), serve("two")]
    addresses = ", ".join(f'"127.0.0.1:{port}"' for _, port in servers)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "evenkeel.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write('listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n[[service]]\nname = "grpc"\n'
                       f'driver = "static"\naddresses = [{addresses}]\nprotocol = "h2c"\n'
                       '[service.heartbeat]\npath = "/grpc.health.v1.Health/Check"\n')
        command = [arguments.program, "up", "--wait", "--config", path]
        balancer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            for line in balancer.stdout:
                if found := re.search(r"listening on http://(\S+?)[ ,\n]", line + "\n"):
                    break
            address = found.group(1)
            threading.Thread(target=balancer.stdout.read, daemon=True).start()
            stub = Stub(address)
            grpc.channel_ready_future(stub.channel).result(10)
            simple_calls(stub)
            streams(stub)
            endings(stub)
            pings(address)
            many(stub, arguments.calls)
            stop_under_load(address, balancer)
        finally:
            balancer.kill()
            balancer.wait()
    sys.exit(1 if FAILED else 0)


if __name__ == "__main__":
    main()
