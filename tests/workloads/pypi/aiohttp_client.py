"""The tour's client on aiohttp: one session, one request after the other.

Usage: aiohttp_client.py HOST PORT METHOD:PATH[:BODY_LENGTH]...
"""

import asyncio
import hashlib
import sys

import aiohttp

host, port, *requests = sys.argv[1:]


async def tour():
    async with aiohttp.ClientSession(headers={"User-Agent": "tour/1"}) as session:
        for request in requests:
            method, path, *length = request.split(":")
            body = b"0123456789" * (int(length[0]) // 10) if length else None
            async with session.request(method, f"http://{host}:{port}{path}", data=body) as answer:
                content = await answer.read()
                print(method, path, answer.status, len(content), hashlib.sha256(content).hexdigest())


asyncio.run(tour())
