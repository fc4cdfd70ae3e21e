"""Orders: reserves every item of an order in the inventory, one after another, then charges the card."""

import http.client
import itertools
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NUMBERS = itertools.count(1001)


def call(address, method, path, body=None):
    """One request to another service: its status and what it answers."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"} if payload else {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"{}")
    finally:
        connection.close()


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        total = 0
        for item in order["items"]:
            status, stock = call(os.environ["INVENTORY"], "GET", f"/stock/{item}")
            if status != 200:
                return self.answer(409, {"error": f"{item} is not in stock"})
            total += stock["price"]
        status, _charge = call(os.environ["PAYMENTS"], "POST", "/charges", {"card": order["card"], "amount": total})
        if status >= 500:
            return self.answer(502, {"error": "the payment service failed"})
        if status >= 400:
            return self.answer(402, {"error": "the card was declined"})
        self.answer(201, {"order": next(NUMBERS), "total": total})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Orders)
    print(f"127.0.0.1:{server.server_port}")
    server.serve_forever()
