"""A link of a chain of services on an event loop of its own making, which asks the next link by a blocking call.

Usage: chain_selectors.py NAME PORT NEXT_PORT select|epoll|blocking|mixed
`select`: sockets that do not block, in no epoll set. `epoll`: sockets that would block, in an epoll set. `blocking`: neither.
`mixed`: as `blocking`, but the first two requests are both read before one is answered, and so are the next two.
"""

import http.client
import selectors
import socket
import sys

name, port, next_port, how = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
loop = selectors.EpollSelector() if how == "epoll" else selectors.SelectSelector()


def ask(path):
    connection = http.client.HTTPConnection("127.0.0.1", next_port, timeout=20)
    connection.request("GET", path)
    body = connection.getresponse().read().decode()
    connection.close()
    return body


held = []


def serve(connection):
    head = connection.recv(65536)
    if not head:
        loop.unregister(connection)
        connection.close()
    elif how == "mixed" and len(held) < 4:
        held.append((connection, head))
        if len(held) % 2 == 0:
            for each in held[-2:]:
                answer(*each)
    else:
        answer(connection, head)


def answer(connection, head):
    passed = (name + " " + ask(head.decode().split(" ")[1])).encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(passed), passed))


def accept(listener):
    connection, _ = listener.accept()
    connection.setblocking(how != "select")
    loop.register(connection, selectors.EVENT_READ, serve)


listener = socket.create_server(("127.0.0.1", port), backlog=128)
loop.register(listener, selectors.EVENT_READ, accept)
while True:
    for key, _ in loop.select():
        key.data(key.fileobj)
