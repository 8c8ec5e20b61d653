"""A gRPC origin. Prints its port.

    python grpc_origin.py            in the clear
    python grpc_origin.py KEY CERT   over TLS
"""
import sys
import threading
from concurrent import futures

import grpc


def echo(message, context):
    context.send_initial_metadata((("x-first", "one"), ("x-first-bin", b"\x00\x01\xff")))
    context.set_trailing_metadata((("x-last", "two"), ("x-last-bin", b"\xfe\x00")))
    return message


def count(message, context):
    for number in range(int(message)):
        yield b"message %d" % number


def join(messages, context):
    return b"+".join(messages)


def talk(messages, context):
    yield b"you first"
    for message in messages:
        yield b"I heard " + message


def fail(message, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing here: ümläut")


def fail_late(message, context):
    yield b"one"
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")


def wait(message, context):
    """Sends one message, then waits until the client has gone."""
    over = threading.Event()
    context.add_callback(over.set)
    yield b"wait"
    over.wait(60)


METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Join": grpc.stream_unary_rpc_method_handler(join),
    "Talk": grpc.stream_stream_rpc_method_handler(talk),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Wait": grpc.unary_stream_rpc_method_handler(wait),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer.Peer", METHODS),))
if len(sys.argv) > 1:
    key, cert = (open(name, "rb").read() for name in sys.argv[1:])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
