"""The shop's front door: takes a checkout from a customer and passes it on to the orders service."""

import json
import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Gateway(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/checkout":
            return self.answer(404, {"error": "there is only /checkout"})
        order = urllib.request.Request(
            f"http://{os.environ['ORDERS']}/orders", data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(order, timeout=10) as answer:
                self.answer(200, json.load(answer))
        except urllib.error.HTTPError as refused:
            self.answer(refused.code, json.load(refused))

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    print(f"127.0.0.1:{server.server_port}")
    server.serve_forever()
