"""Remembers what clients sent on their way to a server, to the byte, see recording.py: of each connection `BYTES SHA-256`.

Usage: recorder.py HOST PORT UPSTREAM_PORT
"""

import hashlib

import recording


def read(came):
    return [f"{len(came)} {hashlib.sha256(came).hexdigest()}"], []


recording.Recorder(read).run()
