"""A truth service on an event loop: raw asyncio streams, all requests in one thread.

Usage: loop.py SERVICE PORT [NEXT…]
"""

import asyncio

from service import HERE, NEXT, from_arguments, habit

service = from_arguments()
kept = {port: [] for port in service.next}
later = set()


async def read_head(reader):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return lines[0], dict(line.lower().split(": ", 1) for line in lines[1:] if line)


async def ask(port, path):
    if kept[port]:
        reader, writer = kept[port].pop()
    else:
        reader, writer = await asyncio.open_connection(NEXT, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {NEXT}:{port}\r\n\r\n".encode())
    line, headers = await read_head(reader)
    body = await reader.readexactly(int(headers["content-length"]))
    kept[port].append((reader, writer))
    return " 200 " in line and body == b"ok\n"


async def work(number):
    kind = habit(number)
    if kind == 0:
        task = asyncio.create_task(ask(service.next[0], f"/later/{number}"))
        later.add(task)
        task.add_done_callback(later.discard)
    if kind == 1:
        await asyncio.sleep(0.002)
    well = True
    for at, port in enumerate(service.next):
        well = await ask(port, f"/call/{number}.{at}") and well
        if kind == 3:
            await asyncio.sleep(0.001)
    return well


async def serve(reader, writer):
    try:
        while True:
            line, _ = await read_head(reader)
            number = service.number(line.split(" ")[1])
            well = number is None or await work(number)
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 3\r\n\r\n%s" % ((b"200 OK", b"ok\n") if well else (b"502 Bad", b"no\n")))
            await writer.drain()
            if number is not None and habit(number) == 4:
                await ask(service.next[0], f"/after/{number}")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def timer():
    number = 0
    while True:
        await asyncio.sleep(0.020)
        await ask(service.next[0], f"/timer/{service.name}.{number}")
        number += 1


async def main():
    server = await asyncio.start_server(serve, HERE, service.port, backlog=256)
    if service.next:
        later.add(asyncio.create_task(timer()))
    await server.serve_forever()


asyncio.run(main())
