"""A server that works, sleeps, and says how long its thread was on a CPU. One thread per connection.

Usage: works.py NAME PORT
GET /WORK/SLEEP: so many milliseconds of each. The answer is the time that its thread had on a CPU since it read the request's
first bytes, in ns.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Works(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def parse_request(self):
        # The request's line was read the moment before.
        self.began = time.thread_time_ns()
        return super().parse_request()

    def do_GET(self):
        work, sleep = (int(part) / 1000 for part in self.path[1:].split("/"))
        until = time.thread_time() + work / 2
        while time.thread_time() < until:
            pass
        time.sleep(sleep)
        until = time.thread_time() + work / 2
        while time.thread_time() < until:
            pass
        self.send_response(200)
        self.send_header("Content-Length", "20")
        self.end_headers()
        self.wfile.write(b"%020d" % (time.thread_time_ns() - self.began))

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Works).serve_forever()
