"""Serves requests with a thread for each connection, and makes its calls in threads of pools, in each way of which there is one.

`GET /WAY/NUMBER` calls what listens at DOWNSTREAM for `/call/NUMBER`, as often as the way says, and answers with what that answered.

Usage: pools.py NAME PORT DOWNSTREAM
"""

import http.client
import queue
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from concurrent.futures.thread import _WorkItem
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_, name, port, downstream = sys.argv
pool, other_pool = ThreadPoolExecutor(16), ThreadPoolExecutor(16)
kept = threading.local()
answers = defaultdict(list)


def call(number):
    """Over a connection of the thread's own."""
    connection = getattr(kept, "connection", None)
    if connection is None:
        connection = kept.connection = http.client.HTTPConnection("127.0.0.1", int(downstream), timeout=60)
    connection.request("GET", f"/call/{number}")
    answer = connection.getresponse()
    answers[number].append(b"%d %s" % (answer.status, answer.read()))
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


def signalled(number):
    """The work waits for an object that is the same for all requests, in a queue of that kind."""
    signal = queue.SimpleQueue()
    signal.put(True)
    pool.submit(lambda: (signal.get(), call(number))).result()


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


def churn(number):
    """Uses such a queue as often as can be, for so many milliseconds, and says how often that was."""
    churned, uses = queue.SimpleQueue(), 0
    end = time.monotonic() + int(number) / 1000
    while time.monotonic() < end:
        for _ in range(100):
            churned.put(uses)
            churned.get()
        uses += 200
    answers[number].append(b"%d" % uses)


def hoard(number):
    """Puts so much work where nobody gets it, no faster than 900 pieces a second."""
    hoarded = queue.SimpleQueue()
    begin = time.monotonic()
    work = [_WorkItem(None, call, (number,), {}) for _ in range(int(number))]
    for at, item in enumerate(work):
        time.sleep(max(0, begin + at / 900 - time.monotonic()))
        hoarded.put(item)
    answers[number].append(b"%d" % hoarded.qsize())


single = ThreadPoolExecutor(1)
called, rest, go, close = [threading.Event() for _ in range(4)]


def opened(number):
    """Has one thread work for it until somebody says so, and is open until somebody says that."""
    single.submit(lambda: (call(number), called.set(), rest.wait())).result()
    close.wait()


def awaits(_):
    """Until that one has called."""
    called.wait()


def rests(_):
    rest.set()


def across(number):
    """Has the same thread work for it, which waits before its call until somebody says so."""
    single.submit(lambda: (go.wait(), call(number))).result()


def goes(_):
    go.set()


def closes(_):
    close.set()


ways = {
    "churn": churn, "hoard": hoard, "opened": opened, "awaits": awaits, "rests": rests,
    "across": across, "goes": goes, "closes": closes,
    "signalled": signalled, "one": one, "fanout": fanout, "mapped": mapped, "fresh": fresh, "nested": nested, "between": between,
    "queued": queued, "late": late, "lazy": lazy, "handmade": handmade, "drained": drained,
}


class Served(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer goes out in one call

    def do_GET(self):
        _, way, number = self.path.split("/")
        ways[way](number)
        # What is called behind the answer is not a part of it.
        body = b"" if way == "late" else b", ".join(answers.pop(number, []))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


Server(("127.0.0.1", int(port)), Served).serve_forever()
