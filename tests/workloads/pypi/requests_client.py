"""The tour's client on requests: one session, one request after the other.

Usage: requests_client.py HOST PORT METHOD:PATH[:BODY_LENGTH]...
"""

import hashlib
import sys

import requests

host, port, *stops = sys.argv[1:]
session = requests.Session()
session.headers["User-Agent"] = "tour/1"
for stop in stops:
    method, path, *length = stop.split(":")
    body = b"0123456789" * (int(length[0]) // 10) if length else None
    answer = session.request(method, f"http://{host}:{port}{path}", data=body, timeout=20)
    print(method, path, answer.status_code, len(answer.content), hashlib.sha256(answer.content).hexdigest())
