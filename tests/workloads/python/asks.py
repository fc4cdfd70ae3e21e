"""A client that makes it hard to tell which end of which connection belongs to which.

Usage: asks.py HOW HOST PORT NAME
HOW: many (64 connections at once, 10 requests each), few (16 of them), one (one with 100 requests), large (4 that post 300,000 bytes,
10 times each), pipelined (8 connections with 12 requests that do not wait for answers),
reused (the same few ports again and again within a second), or older (as many, but connected before: it says so and waits for
SIGUSR1). Paths are /NAME/CONNECTION/REQUEST. Prints how many answers it got.
"""

import signal
import socket
import struct
import sys
import threading

how, host, port, name = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
END = b"missing\n"
answers = []


def connect(source=None):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if source:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind(("", source))
    connection.connect((host, port))
    return connection


def send(connection, number, requests):
    for request in requests:
        connection.sendall(b"GET /%s/%d/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (name.encode(), number, request))


def receive(connection, count):
    got = b""
    while got.count(END) < count:
        more = connection.recv(65536)
        assert more, "the server went away"
        got += more
    answers.extend([1] * got.count(END))


def one_by_one(connection, number, requests=10):
    for request in range(requests):
        send(connection, number, [request])
        receive(connection, 1)


def post(connection, number):
    for request in range(10):
        connection.sendall(
            b"POST /%s/%d/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" % (name.encode(), number, request)
            + b"b" * 300_000
        )
        receive(connection, 1)


def pipelined(connection, number):
    # Half of them one behind the other in one call, as far as the socket takes it, half in calls of their own.
    whole = b"".join(
        b"GET /%s/%d/%d HTTP/1.1\r\nHost: x\r\n\r\n" % (name.encode(), number, request) for request in range(6)
    )
    connection.sendall(whole)
    send(connection, number, range(6, 12))
    receive(connection, 12)


def at_once(work, connections):
    threads = [threading.Thread(target=work, args=(c, n)) for n, c in enumerate(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if how in ("many", "few"):
    at_once(one_by_one, [connect() for _ in range(64 if how == "many" else 16)])
elif how == "large":
    at_once(post, [connect() for _ in range(4)])
elif how == "one":
    one_by_one(connect(), 0, requests=100)
elif how == "pipelined":
    at_once(pipelined, [connect() for _ in range(8)])
elif how == "reused":
    for again in range(8):
        for source in range(4):
            # Between those that tests take and those that the kernel gives out: the connections before these may still wait with one of them.
            connection = connect(source=32_100 + source)
            one_by_one(connection, 4 * again + source, requests=2)
            # Reset, not closed: the port is free again at once, at both ends.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
elif how == "older":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    connections = [connect() for _ in range(16)]
    for number, connection in enumerate(connections):
        one_by_one(connection, 1000 + number, requests=1)
    print("connected", flush=True)
    signal.sigwait({signal.SIGUSR1})
    at_once(one_by_one, connections)
print("answers", len(answers), flush=True)
