"""A link of a chain of services on an event loop: raw asyncio streams, all requests in one thread.

Usage: chain_asyncio.py NAME PORT NEXT_PORT
"""

import asyncio
import sys

name, port, next_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


async def read_head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return lines[0], headers


async def ask(path):
    reader, writer = await asyncio.open_connection("127.0.0.1", next_port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{next_port}\r\n\r\n".encode())
    _, headers = await read_head(reader)
    body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    return body.decode()


async def serve(reader, writer):
    try:
        while True:
            line, _ = await read_head(reader)
            passed = (name + " " + await ask(line.split(" ")[1])).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(passed), passed))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=128)
    await server.serve_forever()


asyncio.run(main())
