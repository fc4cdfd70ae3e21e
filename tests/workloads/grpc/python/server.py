"""The gRPC tour's server on grpcio's thread pool.

Usage: server.py HOST:PORT
"""

import sys
import threading
from concurrent import futures

import grpc
import tour


def echo(request, _):
    return request


def refuse(request, context):
    code = tour.number(request)
    context.abort(tour.status(code), f"refused: é {code}")


def sleep(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(tour.number(request) / 1000)
    return request


def collect(requests, _):
    return str(sum(1 for _ in requests)).encode()


def count(request, _):
    for i in range(tour.number(request)):
        yield str(i).encode()


def chat(requests, _):
    yield from requests


methods = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}
# Without SO_REUSEPORT a port that is taken is an error.
server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(tour.SERVICE, methods),))
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
