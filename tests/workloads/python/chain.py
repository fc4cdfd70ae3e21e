"""A link of a chain of services: answers by asking the next link for the same path. One thread per request.

Usage: chain.py NAME PORT [NEXT_PORT]
The answer names the links that were passed, so that a client can see that its request went all the way.
"""

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

name, port = sys.argv[1], int(sys.argv[2])
next_port = int(sys.argv[3]) if len(sys.argv) > 3 else None


class Link(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        passed = name
        if next_port:
            connection = http.client.HTTPConnection("127.0.0.1", next_port, timeout=20)
            connection.request("GET", self.path)
            passed += " " + connection.getresponse().read().decode()
            connection.close()
        self.send_response(200)
        self.send_header("Content-Length", str(len(passed)))
        self.end_headers()
        self.wfile.write(passed.encode())

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", port), Link).serve_forever()
