"""Requests that stay open, on aiohttp: a WebSocket (/ws), server-sent events (/events) and a long poll (/poll).

Usage: streams_server.py HOST PORT
A POST to /release ends the WebSockets and answers the polls.
"""

import asyncio
import sys

from aiohttp import WSMsgType, web

released = asyncio.Event()


async def websocket(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    ends = asyncio.create_task(released.wait())
    while True:
        message = asyncio.create_task(socket.receive())
        await asyncio.wait({ends, message}, return_when=asyncio.FIRST_COMPLETED)
        if not message.done() or message.result().type != WSMsgType.TEXT:
            message.cancel()
            await socket.close()
            return socket
        await socket.send_str("echo " + message.result().data)


async def events(request):
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    number = 0
    while True:
        await answer.write(b"data: %d\n\n" % number)
        number += 1
        await asyncio.sleep(0.2)


async def poll(_):
    await released.wait()
    return web.Response(text="news")


async def release(_):
    released.set()
    return web.Response(text="released")


application = web.Application()
application.add_routes(
    [
        web.get("/ws", websocket),
        web.get("/events", events),
        web.get("/poll", poll),
        web.post("/release", release),
    ]
)
web.run_app(application, host=sys.argv[1], port=int(sys.argv[2]), print=None)
