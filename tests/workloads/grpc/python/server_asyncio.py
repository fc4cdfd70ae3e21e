"""The gRPC tour's server on grpcio's asyncio API: all calls in one thread.

Usage: server_asyncio.py HOST:PORT
"""

import asyncio
import sys

import grpc
import tour


async def echo(request, _):
    return request


async def refuse(request, context):
    code = tour.number(request)
    await context.abort(tour.status(code), f"refused: é {code}")


async def sleep(request, _):
    await asyncio.sleep(tour.number(request) / 1000)
    return request


async def collect(requests, _):
    messages = 0
    async for _ in requests:
        messages += 1
    return str(messages).encode()


async def count(request, _):
    for i in range(tour.number(request)):
        yield str(i).encode()


async def chat(requests, _):
    async for request in requests:
        yield request


async def main():
    methods = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    # Without SO_REUSEPORT a port that is taken is an error.
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(tour.SERVICE, methods),))
    server.add_insecure_port(sys.argv[1])
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
