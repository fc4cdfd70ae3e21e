"""Remembers what clients of HTTP/1.1 sent on their way to a server, see recording.py: of each connection `BYTES SHA-256` of what came
without any `traceparent` that stands where one is put.

Usage: reads_headers.py HOST PORT UPSTREAM_PORT
"""

import hashlib
import re

import recording

# Behind the request line, spelled as nobody else spells it who writes a version of HTTP before it.
INSERTED = re.compile(rb"( HTTP/1\.1\r\n)traceparent: (00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])\r\n")


def read(came):
    without = INSERTED.sub(rb"\1", came)
    found = [match.group(2).decode() for match in INSERTED.finditer(came)]
    return [f"{len(without)} {hashlib.sha256(without).hexdigest()}"], found


recording.Recorder(read).run()
