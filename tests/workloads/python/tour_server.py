"""The tour's server on Python's http.server, one thread per connection.

Usage: tour_server.py HOST PORT
"""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BIG = b"0123456789abcdef" * 65536


class Tour(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without this a response's head and body go out in two segments 40 ms apart.
    disable_nagle_algorithm = True

    def answer(self, status, body=b""):
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/hello":
            self.answer(200, b"hello\n")
        elif path == "/big":
            self.answer(200, BIG)
        elif path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in (b"one, ", b"two, ", b"three\n"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/empty":
            self.answer(204)
        elif path == "/cached":
            self.answer(304)
        elif path == "/fail":
            self.answer(500, b"failed\n")
        else:
            self.answer(404, b"missing\n")

    def do_POST(self):
        if self.headers["Transfer-Encoding"] == "chunked":
            self.answer(200, b"".join(self.chunks()))
        else:
            self.answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    def chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    do_HEAD = do_DELETE = do_GET

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET


Server((sys.argv[1], int(sys.argv[2])), Tour).serve_forever()
