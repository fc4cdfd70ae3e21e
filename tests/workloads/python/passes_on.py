"""A service that asks the next one before it answers, on a connection of its own, and says itself whose request that is: how, says
the path. One thread serves one request.

Usage: passes_on.py HOST PORT NEXT_HOST NEXT_PORT
"""

import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

host, port, next_host, next_port = sys.argv[1:]
SPAN = "b7ad6b7169203331"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def fields(how, came):
    version, trace, _, flags = came.split("-")
    return {
        "as_it_came": {"traceparent": came, "tracestate": "a=b"},
        "spelled": {"X-A": "b", "TraceParent": "  " + came},
        "with_token": {"Authorization": "Bearer abc", "traceparent": came},
        "signed": {"Authorization": "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host;traceparent", "traceparent": came},
        "signature": {"traceparent": came, "Signature-Input": 'a=("traceparent")', "Signature": "a=:YWJj:"},
        "own_span": {"traceparent": f"{version}-{trace}-{SPAN}-{flags}"},
        "other_trace": {"traceparent": f"{version}-{TRACE}-{came.split('-')[2]}-{flags}"},
        "other_version": {"traceparent": "cc" + came[2:]},
    }[how]


class PassesOn(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        connection = http.client.HTTPConnection(next_host, int(next_port), timeout=20)
        connection.request("GET", self.path, None, fields(self.path[1:], self.headers["traceparent"]))
        body = connection.getresponse().read()
        connection.close()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer((host, int(port)), PassesOn).serve_forever()
