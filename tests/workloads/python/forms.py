"""Requests in the forms that sockets allow and libraries hide. Prints what was answered, to be compared with the same without an
agent.

Usage: forms.py HOST PORT FORM
"""

import hashlib
import http.client
import os
import select
import socket
import sys
import tempfile
import threading

host, port, form = sys.argv[1], int(sys.argv[2]), sys.argv[3]
LARGE = 3 * 1024 * 1024
BODY = (b"0123456789abcde\n" * (LARGE // 16))[:LARGE]


def connected():
    return socket.create_connection((host, port), timeout=20)


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: form", *lines, "", ""]).encode()


def echo(length):
    return head("POST", "/echo", f"Content-Length: {length}")


def answers(stream, count):
    """Reads so many answers: status and body of each."""
    for _ in range(count):
        status = stream.readline().split()[1].decode()
        length = 0
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = stream.read(length)
        print(status, len(body), hashlib.sha256(body).hexdigest())


def plain():
    with connected() as it:
        it.sendall(head("GET", "/hello"))
        answers(it.makefile("rb"), 1)


def large_post():
    with connected() as it:
        it.sendall(echo(LARGE) + BODY)
        answers(it.makefile("rb"), 1)


def chunked():
    with connected() as it:
        it.sendall(head("POST", "/echo", "Transfer-Encoding: chunked"))
        for size in (1, 700, 20_000, 100_000):
            it.sendall(f"{size:x}\r\n".encode() + BODY[:size] + b"\r\n")
        it.sendall(b"0\r\n\r\n")
        answers(it.makefile("rb"), 1)


def expect():
    with connected() as it:
        stream = it.makefile("rb")
        it.sendall(head("POST", "/echo", "Content-Length: 5000", "Expect: 100-continue"))
        answers(stream, 1)
        it.sendall(BODY[:5000])
        answers(stream, 1)


def sendfile():
    with connected() as it, tempfile.TemporaryFile() as file:
        file.write(BODY)
        file.flush()
        it.sendall(echo(LARGE))
        it.settimeout(None)  # which would make the socket one that never waits
        sent = 0
        while sent < LARGE:
            sent += os.sendfile(it.fileno(), file.fileno(), sent, LARGE - sent)
        answers(it.makefile("rb"), 1)


def pipelining():
    with connected() as it:
        it.sendall(head("GET", "/hello") * 20 + echo(10) + BODY[:10] + head("GET", "/missing"))
        answers(it.makefile("rb"), 22)


def keep_alive():
    connection = http.client.HTTPConnection(host, port, timeout=20)
    for number in range(1000):
        connection.request("GET", f"/hello?{number}")
        answer = connection.getresponse()
        print(answer.status, answer.read())


def threads():
    told = [None] * 8

    def ask(at):
        connection = http.client.HTTPConnection(host, port, timeout=20)
        told[at] = []
        for number in range(50):
            connection.request("POST", f"/echo?{at}.{number}", BODY[: 100 * at + number])
            told[at].append(connection.getresponse().read())

    all_of_them = [threading.Thread(target=ask, args=(at,)) for at in range(8)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()
    print(hashlib.sha256(repr(told).encode()).hexdigest())


def tiny_buffer():
    """Nothing fits whole: each call takes what there is room for."""
    it = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    it.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    it.settimeout(20)
    it.connect((host, port))
    it.setblocking(False)
    rest = memoryview(head("POST", "/echo", "X-Long: " + "a" * 9000, "Content-Length: 300000") + BODY[:300_000])
    while rest:
        select.select([], [it], [])
        rest = rest[it.send(rest[:7001]) :]
    it.setblocking(True)
    answers(it.makefile("rb"), 1)


def more_follows():
    with connected() as it:
        it.send(b"GET /hel", socket.MSG_MORE)
        it.send(b"lo HTTP/1.1\r\n", socket.MSG_MORE)
        it.send(b"Host: form\r\n\r\n")
        stream = it.makefile("rb")
        answers(stream, 1)
        it.send(echo(5000), socket.MSG_MORE)
        it.send(BODY[:5000])
        answers(stream, 1)


def half_close():
    with connected() as it:
        it.sendall(head("GET", "/big"))
        it.shutdown(socket.SHUT_WR)
        answers(it.makefile("rb"), 1)


{each.__name__: each for each in (
    plain, large_post, chunked, expect, sendfile, pipelining, keep_alive, threads, tiny_buffer, more_follows, half_close,
)}[form]()
