"""A WebSocket client on aiohttp: sends ten messages, and stays until the server closes.

Usage: websocket_client.py HOST PORT
Prints what it was told, at once.
"""

import asyncio
import sys

import aiohttp

host, port = sys.argv[1:]


async def main():
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"http://{host}:{port}/ws") as socket:
            for number in range(10):
                await socket.send_str(str(number))
                print(await socket.receive_str(), flush=True)
            print((await socket.receive()).type.name, flush=True)


asyncio.run(main())
