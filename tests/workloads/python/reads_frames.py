"""Passes connections of HTTP/2 in the clear on to a server of its own host, and remembers what the client sent, with and without
what was put into it.

Usage: reads_frames.py HOST PORT UPSTREAM_PORT
Upstream goes what came. On SIGUSR1 it waits until no connection is open, prints a line for each stream that there was: its number, and
`BYTES SHA-256` of its frames (kinds, flags, header blocks, and the data as one) without any `traceparent` that stands where one is put; then
a line `inserted TRACEPARENT` for each of these; then `recorded`; and forgets them.
"""

import hashlib
import re
import signal
import socket
import sys
import threading

host, port, upstream = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PIECE = 65536
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, CONTINUATION = 0, 1, 3, 9
# A literal without indexing at the end of a block.
INSERTED = re.compile(rb"\x00\x0btraceparent7(00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])\Z", re.DOTALL)

recorded, inserted = [], []
connections = []
changed = threading.Lock()


def pass_on(source, sink, seen):
    try:
        while piece := source.recv(PIECE):
            seen(piece)
            sink.sendall(piece)
    except OSError:
        pass
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def frames(came):
    assert came.startswith(PREFACE) or not came, came[:40]
    at = len(PREFACE)
    while at + 9 <= len(came):
        length = int.from_bytes(came[at : at + 3], "big")
        kind, flags = came[at + 3], came[at + 4]
        number = int.from_bytes(came[at + 5 : at + 9], "big")
        yield kind, flags, number, came[at + 9 : at + 9 + length]
        at += 9 + length


def serve(client):
    server = socket.create_connection(("127.0.0.1", upstream))
    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    came = bytearray()
    back = threading.Thread(target=pass_on, args=(server, client, lambda _: None))
    back.start()
    pass_on(client, server, came.extend)
    back.join()
    client.close()
    server.close()
    streams, found = {}, []
    for kind, flags, number, payload in frames(bytes(came)):
        if kind not in (DATA, HEADERS, CONTINUATION):
            continue
        heads, data = streams.setdefault(number, ([], bytearray()))
        if kind == DATA:
            data.extend(payload)
            continue
        if put := INSERTED.search(payload):
            found.append(put.group(1).decode())
            payload = payload[: put.start()]
        heads.append(b"%d %d %s" % (kind, flags, payload))
    lines = []
    for number, (heads, data) in streams.items():
        whole = b"".join(heads) + b"|" + bytes(data)
        lines.append(f"{number} {len(whole)} {hashlib.sha256(whole).hexdigest()}")
    with changed:
        recorded.extend(lines)
        inserted.extend(found)


def accept(listener):
    while True:
        client, _ = listener.accept()
        thread = threading.Thread(target=serve, args=(client,))
        with changed:
            connections.append(thread)
            thread.start()


signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
listener = socket.create_server((host, port), backlog=64)
threading.Thread(target=accept, args=(listener,), daemon=True).start()
while signal.sigwait([signal.SIGUSR1]):
    with changed:
        waited, connections = connections, []
    for thread in waited:
        thread.join()
    with changed:
        for line in sorted(recorded):
            print(line)
        for line in inserted:
            print("inserted", line)
        recorded, inserted = [], []
    print("recorded", flush=True)
