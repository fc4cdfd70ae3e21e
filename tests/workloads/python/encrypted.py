"""HTTP/1.1 over TLS, without certificates. Usage: encrypted.py serve HOST PORT, or encrypted.py ask HOST PORT CONNECTIONS REQUESTS

The client posts bodies and sees that the same come back; it prints how many did.
"""

import http.client
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

what, host, port, *how = sys.argv[1:]


def secured(side):
    context = ssl.SSLContext(side)
    # Nobody says who he is: that takes an older version.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    if side == ssl.PROTOCOL_TLS_CLIENT:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    server = ThreadingHTTPServer((host, int(port)), Echo)
    server.socket = secured(ssl.PROTOCOL_TLS_SERVER).wrap_socket(server.socket, server_side=True)
    server.serve_forever()


def ask():
    connections, requests = map(int, how)
    answers = 0
    for _ in range(connections):
        connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=secured(ssl.PROTOCOL_TLS_CLIENT))
        for number in range(requests):
            body = bytes([number]) * (1 + number * 3000)
            connection.request("POST", "/echo", body)
            answers += connection.getresponse().read() == body
        connection.close()
    print("answers", answers, flush=True)


{"serve": serve, "ask": ask}[what]()
