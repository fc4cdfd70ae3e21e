"""A truth service on an event loop of its own making: select over sockets in blocking mode, all requests in one thread.

Nothing about such sockets says that they belong to a loop: that two requests are mixed is all there is to be seen.
Usage: polling.py SERVICE PORT [NEXT…]
"""

import heapq
import itertools
import select
import socket
import time

from service import HERE, NEXT, from_arguments, habit

service = from_arguments()
readers = {}
timers = []
order = itertools.count()
kept = {port: [] for port in service.next}


def after(seconds, act):
    heapq.heappush(timers, (time.monotonic() + seconds, next(order), act))


def ask(port, path, then=lambda well: None):
    """Sends a call and returns at once; `then` is told how it went when its answer is there."""
    if kept[port]:
        connection = kept[port].pop()
    else:
        connection = socket.create_connection((NEXT, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {NEXT}:{port}\r\n\r\n".encode())
    answer = b""

    def read():
        nonlocal answer
        answer += connection.recv(4096)
        if answer.endswith(b"\r\n\r\nok\n") or answer.endswith(b"\r\n\r\nno\n"):
            del readers[connection]
            kept[port].append(connection)
            then(answer.endswith(b"ok\n"))

    readers[connection] = read


def work(number, done):
    """Makes the calls of a request, one after the other."""
    kind, ports = habit(number), list(service.next)
    if kind == 0:
        ask(service.next[0], f"/later/{number}")

    def step(at, well):
        if at == len(ports):
            done(well)
        else:
            rest = 0.001 if kind == 3 else 0
            ask(ports[at], f"/call/{number}.{at}", lambda it: after(rest, lambda: step(at + 1, well and it)))

    after(0.002 if kind == 1 else 0, lambda: step(0, True))


def serve(connection):
    head = connection.recv(4096)
    if not head:
        del readers[connection]
        connection.close()
        return
    number = service.number(head.decode().split(" ")[1])

    def done(well):
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 3\r\n\r\n%s" % ((b"200 OK", b"ok\n") if well else (b"502 Bad", b"no\n")))
        if number is not None and habit(number) == 4:
            ask(service.next[0], f"/after/{number}")

    if number is None:
        done(True)
    else:
        work(number, done)


def accept(listener):
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    readers[connection] = lambda: serve(connection)


def tick(number):
    ask(service.next[0], f"/timer/{service.name}.{number}")
    after(0.020, lambda: tick(number + 1))


def main():
    listener = socket.create_server((HERE, service.port), backlog=256)
    readers[listener] = lambda: accept(listener)
    if service.next:
        tick(0)
    while True:
        wait = max(0, timers[0][0] - time.monotonic()) if timers else None
        for ready in select.select(list(readers), [], [], wait)[0]:
            readers[ready]()
        while timers and timers[0][0] <= time.monotonic():
            heapq.heappop(timers)[2]()


main()
