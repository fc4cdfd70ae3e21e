"""Remembers what clients of HTTP/2 in the clear sent on their way to a server, see recording.py: of each stream its number, and
`BYTES SHA-256` of its frames (kinds, flags, header blocks, and the data as one) without any `traceparent` that stands where one is put.

Usage: reads_frames.py HOST PORT UPSTREAM_PORT
"""

import hashlib
import re

import recording

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, CONTINUATION = 0, 1, 9
# A literal without indexing at the end of a block.
INSERTED = re.compile(rb"\x00\x0btraceparent7(00-[0-9a-f]{32}-[0-9a-f]{16}-0[01])\Z", re.DOTALL)


def frames(came):
    assert came.startswith(PREFACE) or not came, came[:40]
    at = len(PREFACE)
    while at + 9 <= len(came):
        length = int.from_bytes(came[at : at + 3], "big")
        kind, flags = came[at + 3], came[at + 4]
        number = int.from_bytes(came[at + 5 : at + 9], "big")
        yield kind, flags, number, came[at + 9 : at + 9 + length]
        at += 9 + length


def read(came):
    streams, found = {}, []
    for kind, flags, number, payload in frames(came):
        if kind not in (DATA, HEADERS, CONTINUATION):
            continue
        heads, data = streams.setdefault(number, ([], bytearray()))
        if kind == DATA:
            data.extend(payload)
            continue
        if put := INSERTED.search(payload):
            found.append(put.group(1).decode())
            payload = payload[: put.start()]
        heads.append(b"%d %d %s" % (kind, flags, payload))
    lines = []
    for number, (heads, data) in streams.items():
        whole = b"".join(heads) + b"|" + bytes(data)
        lines.append(f"{number} {len(whole)} {hashlib.sha256(whole).hexdigest()}")
    return lines, found


recording.Recorder(read).run()
