"""Inventory: what is in stock, from a database. One kind of item is counted by a query that nobody gave an index."""

import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DATABASE = "file:inventory?mode=memory&cache=shared"
ITEMS = {"teapot": 2900, "kettle": 4500, "cup": 700, "antique-clock": 39000}
PER_THREAD = threading.local()


def fill(database):
    """The items, and the history of every single antique that was ever bought or sold."""
    database.execute("CREATE TABLE item (name TEXT PRIMARY KEY, price INTEGER, count INTEGER)")
    database.execute("CREATE TABLE history (item TEXT, change INTEGER, at INTEGER)")
    database.executemany("INSERT INTO item VALUES (?, ?, 100)", ITEMS.items())
    rows = (("antique-clock", 1 if at % 2 else -1, at) for at in range(1300))
    database.executemany("INSERT INTO history VALUES (?, ?, ?)", rows)
    database.commit()


def stock(item):
    """An item's price and count, or nothing when there is no such item."""
    if not hasattr(PER_THREAD, "database"):
        PER_THREAD.database = sqlite3.connect(DATABASE, uri=True)
    database = PER_THREAD.database
    row = database.execute("SELECT price, count FROM item WHERE name = ?", (item,)).fetchone()
    if row and item.startswith("antique"):
        # How often each one changed hands: the table joined with itself, without an index.
        owners = """SELECT count(*) FROM history AS sold JOIN history AS bought
                    ON bought.item = sold.item AND bought.at < sold.at AND bought.change <> sold.change"""
        return row[0], database.execute(owners).fetchone()[0]
    return row


class Inventory(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        found = stock(self.path.removeprefix("/stock/"))
        status = 200 if found else 404
        body = json.dumps({"price": found[0], "count": found[1]} if found else {"error": "no such item"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    keeper = sqlite3.connect(DATABASE, uri=True)  # a database in memory lives as long as its last connection
    fill(keeper)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Inventory)
    print(f"127.0.0.1:{server.server_port}")
    server.serve_forever()
