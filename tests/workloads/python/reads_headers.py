"""Passes connections on to a server of its own host, and remembers what the client sent, with and without what was put into it.

Usage: reads_headers.py HOST PORT UPSTREAM_PORT
Upstream goes what came. On SIGUSR1 it waits until no connection is open, prints a line for each that there was: `BYTES SHA-256` of
what came without any `traceparent` that stands where one is put; then a line `inserted TRACEPARENT` for each of these; then
`recorded`; and forgets them.
"""

import hashlib
import re
import signal
import socket
import sys
import threading

host, port, upstream = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PIECE = 65536
# Behind the request line, spelled as nobody else spells it who writes a version of HTTP before it.
INSERTED = re.compile(rb"( HTTP/1\.1\r\n)traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])\r\n")

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
    without = INSERTED.sub(rb"\1", bytes(came))
    found = [match.group(2).decode() for match in INSERTED.finditer(bytes(came))]
    with changed:
        recorded.append(f"{len(without)} {hashlib.sha256(without).hexdigest()}")
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
