"""Serves requests with a thread for each connection, and makes its calls in threads of pools, in each way of which there is one.

`GET /WAY/NUMBER` calls what listens at DOWNSTREAM for `/call/NUMBER`, as often as the way says.

Usage: pools.py NAME PORT DOWNSTREAM
"""

import http.client
import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_, name, port, downstream = sys.argv
pool, other_pool = ThreadPoolExecutor(16), ThreadPoolExecutor(16)
kept = threading.local()


def call(number):
    """Over a connection of the thread's own."""
    connection = getattr(kept, "connection", None)
    if connection is None:
        connection = kept.connection = http.client.HTTPConnection("127.0.0.1", int(downstream), timeout=60)
    connection.request("GET", f"/call/{number}")
    answer = connection.getresponse()
    answer.read()
    if answer.will_close:
        kept.connection = None


def one(number):
    pool.submit(call, number).result()


def fanout(number):
    for future in as_completed([pool.submit(call, number) for _ in range(3)]):
        future.result()


def mapped(number):
    list(pool.map(call, [number] * 3))


def fresh(number):
    with ThreadPoolExecutor(3) as own:
        list(own.map(call, [number] * 3))


def nested(number):
    pool.submit(lambda: other_pool.submit(call, number).result()).result()


def between(number):
    """Itself, in a pool, and itself again."""
    call(number)
    pool.submit(call, number).result()
    call(number)


def queued(number):
    """The work takes its words from a queue of the same kind as the pool's."""
    words = queue.SimpleQueue()
    words.put(number)
    pool.submit(lambda: call(words.get())).result()


def late(number):
    """The work begins, or goes on, when the answer is out."""
    pool.submit(lambda: (time.sleep(0.005), call(number)))


jobs = queue.Queue()
senders = threading.Lock()
sending = [0]


def send_for_all():
    """A sender that goes when there is nothing to be sent for a while."""
    while True:
        try:
            number, done = jobs.get(timeout=0.050)
        except queue.Empty:
            with senders:
                sending[0] -= 1
            return
        call(number)
        done.set()


def lazy(number):
    """Whoever finds no sender starts one, which sends for the others as well."""
    with senders:
        if sending[0] < 2:
            sending[0] += 1
            other_pool.submit(send_for_all)
    done = threading.Event()
    jobs.put((number, done))
    while not done.wait(0.1):
        with senders:
            if sending[0] == 0:
                sending[0] += 1
                other_pool.submit(send_for_all)


own_jobs = queue.SimpleQueue()


def work():
    while True:
        number, done = own_jobs.get()
        call(number)
        done.set()


for _ in range(4):
    threading.Thread(target=work, daemon=True).start()


def handmade(number):
    """A pool of its own making, of threads that a queue of the same kind leads."""
    done = threading.Event()
    own_jobs.put((number, done))
    done.wait()


shared = ThreadPoolExecutor(1)
stop = threading.Lock()


def drained(number):
    """Whoever stops a pool takes out of its queue what others have put there, and then calls itself."""
    global shared
    with stop:
        own = shared
        futures = [own.submit(time.sleep, 0.0005) for _ in range(3)]
        if int(number) % 4 == 0:
            shared = ThreadPoolExecutor(1)
    if int(number) % 4 == 0:
        try:
            own.shutdown(wait=False, cancel_futures=True)
        except TypeError:  # before 3.9
            own.shutdown(wait=False)
    call(number)
    del futures


ways = {
    "one": one, "fanout": fanout, "mapped": mapped, "fresh": fresh, "nested": nested, "between": between,
    "queued": queued, "late": late, "lazy": lazy, "handmade": handmade, "drained": drained,
}


class Served(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer goes out in one call

    def do_GET(self):
        _, way, number = self.path.split("/")
        ways[way](number)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


Server(("127.0.0.1", int(port)), Served).serve_forever()
