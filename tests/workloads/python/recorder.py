"""Passes connections on to a server of its own host, and remembers what the client sent, to the byte.

Usage: recorder.py HOST PORT UPSTREAM_PORT
On SIGUSR1 it waits until no connection is open, prints a line for each that there was, in an order that says nothing of
when they were made: `BYTES SHA-256`, then `recorded`; and forgets them.
"""

import hashlib
import signal
import socket
import sys
import threading

host, port, upstream = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PIECE = 65536

recorded = []
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
    digest, length = hashlib.sha256(), 0

    def count(piece):
        nonlocal length
        digest.update(piece)
        length += len(piece)

    back = threading.Thread(target=pass_on, args=(server, client, lambda _: None))
    back.start()
    pass_on(client, server, count)
    back.join()
    client.close()
    server.close()
    with changed:
        recorded.append(f"{length} {digest.hexdigest()}")


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
        recorded = []
    print("recorded", flush=True)
