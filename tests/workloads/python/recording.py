"""Passes connections on to a server of its own host, and remembers what the client sent, with and without what was put into it: what
recorder.py, reads_headers.py and reads_frames.py have in common.

Upstream goes what came. On SIGUSR1 it waits until no connection is open, prints the lines that there are of all, sorted; then a line
`inserted TRACEPARENT` for each that was put in; then `recorded`; and forgets them.
"""

import signal
import socket
import sys
import threading

PIECE = 65536


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


class Recorder:
    """`read` makes of what a client has sent lines to be told, and what was put in."""

    def __init__(self, read):
        self.read = read
        self.recorded, self.inserted, self.connections = [], [], []
        self.changed = threading.Lock()
        self.host, self.port, self.upstream = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    def serve(self, client):
        server = socket.create_connection(("127.0.0.1", self.upstream))
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        came = bytearray()
        back = threading.Thread(target=pass_on, args=(server, client, lambda _: None))
        back.start()
        pass_on(client, server, came.extend)
        back.join()
        client.close()
        server.close()
        lines, found = self.read(bytes(came))
        with self.changed:
            self.recorded.extend(lines)
            self.inserted.extend(found)

    def accept(self, listener):
        while True:
            client, _ = listener.accept()
            thread = threading.Thread(target=self.serve, args=(client,))
            with self.changed:
                self.connections.append(thread)
                thread.start()

    def run(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        listener = socket.create_server((self.host, self.port), backlog=64)
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
        while signal.sigwait([signal.SIGUSR1]):
            with self.changed:
                waited, self.connections = self.connections, []
            for thread in waited:
                thread.join()
            with self.changed:
                for line in sorted(self.recorded):
                    print(line)
                for line in self.inserted:
                    print("inserted", line)
                self.recorded, self.inserted = [], []
            print("recorded", flush=True)
