"""A gRPC client: makes the named calls and prints a line with the result of each.

    python grpc_client.py HOST:PORT CA|- CALL…

It uses the proxy in the variable grpc_proxy, if that is set.
"""
import queue
import sys

import grpc

target, ca, *calls = sys.argv[1:]
TIMEOUT = 30


def channel(**more):
    if ca == "-":
        return grpc.insecure_channel(target, **more)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(open(ca, "rb").read()), **more)


def path(method):
    return "/peer.Peer/" + method


def ours(metadata):
    return sorted((key, value) for key, value in metadata if key.startswith("x-"))


def echo(open_channel, message=b"hello"):
    metadata = (("x-asked", "yes"), ("x-asked-bin", b"\x01\x00\xff"))
    answer, call = open_channel.unary_unary(path("Echo")).with_call(message, metadata=metadata, timeout=TIMEOUT)
    report("echo", answer[:40], len(answer), ours(call.initial_metadata()), ours(call.trailing_metadata()), call.code())


def empty(open_channel):
    echo(open_channel, b"")


def large(open_channel):
    echo(open_channel, bytes(range(256)) * 8192)


def count(open_channel):
    report("count", list(open_channel.unary_stream(path("Count"))(b"20", timeout=TIMEOUT)))


def nothing(open_channel):
    report("nothing", list(open_channel.unary_stream(path("Count"))(b"0", timeout=TIMEOUT)))


def join(open_channel):
    pieces = (b"piece %d" % number for number in range(20))
    report("join", open_channel.stream_unary(path("Join"))(pieces, timeout=TIMEOUT))


def talk(open_channel):
    """Sends each message only after the response to the previous one."""
    words = queue.Queue()
    answers = open_channel.stream_stream(path("Talk"))(iter(words.get, None), timeout=TIMEOUT)
    received = [next(answers)]
    for number in range(50):
        words.put(b"word %d" % number)
        received.append(next(answers))
    words.put(None)
    received.extend(answers)
    report("talk", len(received), received[0], received[-1], answers.code())


def fail(open_channel):
    try:
        open_channel.unary_unary(path("Fail"))(b"?", timeout=TIMEOUT)
    except grpc.RpcError as error:
        report("fail", error.code(), error.details())


def fail_late(open_channel):
    answers = open_channel.unary_stream(path("FailLate"))(b"?", timeout=TIMEOUT)
    received = [next(answers)]
    try:
        next(answers)
    except grpc.RpcError as error:
        report("fail_late", received, error.code(), error.details())


def missing(open_channel):
    try:
        open_channel.unary_unary(path("NoSuchMethod"))(b"?", timeout=TIMEOUT)
    except grpc.RpcError as error:
        report("missing", error.code())


def cancel(open_channel):
    answers = open_channel.unary_stream(path("Wait"))(b"?", timeout=TIMEOUT)
    received = next(answers)
    answers.cancel()
    try:
        next(answers)
    except grpc.RpcError as error:
        report("cancel", received, error.code())


def deadline(open_channel):
    answers = open_channel.unary_stream(path("Wait"))(b"?", timeout=1)
    received = []
    try:
        for message in answers:
            received.append(message)
    except grpc.RpcError as error:
        report("deadline", received, error.code())


def packed(open_channel):
    with channel(compression=grpc.Compression.Gzip) as compressing:
        answer = compressing.unary_unary(path("Echo"))(b"again and " * 500, timeout=TIMEOUT)
        report("packed", len(answer))


def at_once(open_channel):
    calls = [open_channel.unary_unary(path("Echo")).future(b"call %d" % n, timeout=TIMEOUT) for n in range(100)]
    report("at_once", [call.result() for call in calls] == [b"call %d" % n for n in range(100)])


def report(*words):
    print(*words, flush=True)


with channel() as opened:
    for name in calls:
        globals()[name](opened)
