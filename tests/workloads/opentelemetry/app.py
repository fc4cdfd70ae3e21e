"""A Flask service that knows nothing of tracing: asks the next service in turn, if there is one.

Usage: app.py PORT [NEXT_PORT]
"""

import sys
import urllib.request

from flask import Flask

port = int(sys.argv[1])
next_port = int(sys.argv[2]) if len(sys.argv) > 2 else None
app = Flask("app")


@app.get("/<path:path>")
def link(path):
    if not next_port:
        return "last"
    with urllib.request.urlopen(f"http://127.0.0.1:{next_port}/{path}") as answer:
        return "sdk " + answer.read().decode()


app.run("127.0.0.1", port, threaded=True)
