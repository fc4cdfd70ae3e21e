"""Requests that are of interest where headers are put into them. Prints what was answered.

Usage: insertions.py HOST PORT CASE
"""

import fcntl
import hashlib
import http.client
import select
import signal
import socket
import sys
import termios
import time

host, port, case = sys.argv[1], int(sys.argv[2]), sys.argv[3]
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BODY = b"0123456789abcdef" * 131_072


def told(connection):
    answer = connection.getresponse()
    body = answer.read()
    print(answer.status, len(body), hashlib.sha256(body).hexdigest(), flush=True)


def own_header():
    """It says itself whose each second request is, in one way or another."""
    connection = http.client.HTTPConnection(host, port, timeout=20)
    for name in ("traceparent", "Traceparent", "TRACEPARENT"):
        connection.request("POST", "/echo", b"x" * 100, {name: OWN, "tracestate": "a=b", "baggage": "c=d"})
        told(connection)
        connection.request("POST", "/echo", b"y" * 100, {"tracestate": "a=b", "baggage": "c=d"})
        told(connection)


def blocks():
    connection = http.client.HTTPConnection(host, port)
    for _ in range(5):
        connection.request("GET", "/hello")
        told(connection)


def asks_how_much():
    """When an answer is there it is asked how much of it."""
    something = 0
    for _ in range(10):
        connection = http.client.HTTPConnection(host, port, timeout=20)
        connection.request("GET", "/hello")
        select.select([connection.sock], [], [], 20)
        much = fcntl.ioctl(connection.sock, termios.FIONREAD, b"\0" * 4)
        something += int.from_bytes(much, sys.byteorder) > 0
        connection.getresponse().read()
        connection.close()
    print(something, "of 10 times something", flush=True)


def begins_to_block():
    """The socket does not block while it is connected and for one request; then it does."""
    connection = http.client.HTTPConnection(host, port, timeout=20)
    connection.request("GET", "/hello")
    told(connection)
    connection.sock.settimeout(None)
    for _ in range(20):
        connection.request("POST", "/echo", BODY)
        told(connection)


def bodies_like_heads():
    """What stands in a body is the application's, whatever it looks like, and however it is cut."""
    request = b"GET /hello HTTP/1.1\r\nHost: body\r\n\r\n"
    with socket.create_connection((host, port), timeout=20) as it:
        stream = it.makefile("rb")
        for _ in range(3):
            # What comes back begins with a byte that begins no request: else this would be who serves it.
            it.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n=" % (1 + 4 * len(request)))
            it.sendall(request)
            it.sendall(request + request)
            it.sendall(request)
            print(*answer(stream), flush=True)


def until_told():
    """Large requests, one after the other, until SIGUSR1."""
    going = True

    def stop(*_):
        nonlocal going
        going = False

    signal.signal(signal.SIGUSR1, stop)
    connection = http.client.HTTPConnection(host, port, timeout=20)
    count = 0
    while going:
        connection.request("POST", "/echo", BODY)
        answer = connection.getresponse()
        if answer.read() != BODY:
            sys.exit("another body came back")
        count += 1
        if count == 3:
            print("under way", flush=True)
    print("done", flush=True)


def goes_on():
    """On one connection each: a request whose length its head does not tell, and simple ones, with a rest before each."""
    simple = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
    pieces = {
        # Its chunk says what looks like the end, and like a request.
        "chunked": [post + b"Transfer-Encoding: chunked\r\n\r\n", b"1e\r\n=\r\n0\r\n\r\n" + simple[:22] + b"\r\n", b"0\r\n\r\n"],
        "split": [post + b"Content-Le", b"ngth: 3\r\n\r\n=ab"],
        "expect": [post + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", b"=ab"],
        "upgrade": [b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: none\r\n\r\n"],
    }
    for name, sent in pieces.items():
        with socket.create_connection((host, port), timeout=20) as it:
            stream = it.makefile("rb")
            for piece in sent:
                it.sendall(piece)
                if b"Expect" in piece:
                    stream.readline(), stream.readline()
            print(name, answer(stream), flush=True)
            for _ in range(20):
                time.sleep(0.05)
                it.sendall(simple)
                print(name, answer(stream), flush=True)


def older():
    """Two connections, of which one blocks, that ask before SIGUSR1 and after it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    connections = [http.client.HTTPConnection(host, port, **how) for how in ({"timeout": 20}, {})]

    def ask(times):
        for _ in range(times):
            for connection in connections:
                connection.request("POST", "/echo", b"=" + b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                told(connection)
            time.sleep(0.05)

    ask(2)
    print("under way", flush=True)
    signal.sigwait({signal.SIGUSR1})
    ask(20)


def answer(stream):
    """Reads one: its status, and its body's sum."""
    status = stream.readline()
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status, hashlib.sha256(stream.read(length)).hexdigest()


CASES = (own_header, blocks, asks_how_much, begins_to_block, bodies_like_heads, until_told, goes_on, older)
{each.__name__: each for each in CASES}[case]()
