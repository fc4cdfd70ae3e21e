"""The tour's server in a process that posts spans over OTLP/HTTP before it serves, as an SDK in it would.

Usage: exporting_server.py HOST PORT EXPORT_PORT
"""

import sys
import urllib.request

export = urllib.request.Request(
    f"http://127.0.0.1:{sys.argv.pop()}/v1/traces",
    b"",
    {"Content-Type": "application/x-protobuf"},
)
urllib.request.urlopen(export).read()

import tour_server  # noqa: E402, F401  (serves, and never returns)
