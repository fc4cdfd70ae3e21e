"""Answers each request with its head, as it came.

Usage: shows_heads.py HOST PORT
"""

import socketserver
import sys


class Shows(socketserver.StreamRequestHandler):
    def handle(self):
        head = b""
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            head += line
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(head) + head)


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Shows).serve_forever()
