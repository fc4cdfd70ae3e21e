"""The tour's server on aiohttp.

Usage: aiohttp_server.py HOST PORT
"""

import sys

from aiohttp import web

BIG = b"0123456789abcdef" * 65536


async def tour(request):
    if request.path == "/hello":
        return web.Response(body=b"hello\n")
    if request.path == "/big":
        return web.Response(body=BIG)
    if request.path == "/echo":
        return web.Response(body=await request.read())
    if request.path == "/empty":
        return web.Response(status=204)
    if request.path == "/cached":
        return web.Response(status=304)
    if request.path == "/fail":
        return web.Response(status=500, body=b"failed\n")
    if request.path == "/chunked":
        answer = web.StreamResponse()
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        for piece in (b"one, ", b"two, ", b"three\n"):
            await answer.write(piece)
        return answer
    return web.Response(status=404, body=b"missing\n")


application = web.Application()
application.router.add_route("*", "/{path:.*}", tour)
web.run_app(application, host=sys.argv[1], port=int(sys.argv[2]), print=None)
