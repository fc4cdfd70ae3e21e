"""Payments: charges a card. One card number runs into a bug, as every payment service has one."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def charge(card, amount):
    """Talks to the bank, for about as long as a bank nearby takes."""
    time.sleep(0.012)
    if card.endswith("0341"):
        raise KeyError(f"no bank for cards like {card[:4]}…")
    return {"charged": amount}


class Payments(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, body = 201, charge(wanted["card"], wanted["amount"])
        except Exception as bug:
            self.log_error("%r", bug)
            status, body = 500, {"error": "internal error"}
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Payments)
    print(f"127.0.0.1:{server.server_port}")
    server.serve_forever()
