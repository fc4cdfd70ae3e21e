"""A service that asks the next one for the same path before it answers, on one connection for each of its own: one thread
serves one request.

Usage: relay.py HOST PORT [NEXT_HOST NEXT_PORT]
Its answer's length tells how far it is to the last one.
"""

import http.client
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

host, port, *next_one = sys.argv[1:]


class Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    next = None

    def do_GET(self):
        body = b"missing\n"
        if next_one:
            if not self.next:
                self.next = http.client.HTTPConnection(next_one[0], int(next_one[1]), timeout=20)
            self.next.request("GET", self.path)
            body = self.next.getresponse().read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert body == b"b" * len(body), "another body than was sent"
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    address_family = socket.AF_INET6 if ":" in host else socket.AF_INET


Server((host, int(port)), Relay).serve_forever()
