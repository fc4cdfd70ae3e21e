"""The tour's client on Python's http.client: all requests on one connection.

Usage: tour_client.py HOST PORT METHOD:PATH[:BODY_LENGTH]...
Prints for each: method, path, status, body length, SHA-256 of the body.
"""

import hashlib
import http.client
import sys

host, port, *requests = sys.argv[1:]
connection = http.client.HTTPConnection(host, int(port), timeout=20)
for request in requests:
    method, path, *length = request.split(":")
    body = ("0123456789" * int(length[0]))[: int(length[0])] if length else None
    connection.request(method, path, body, {"User-Agent": "tour/1"})
    answer = connection.getresponse()
    content = answer.read()
    print(method, path, answer.status, len(content), hashlib.sha256(content).hexdigest())
