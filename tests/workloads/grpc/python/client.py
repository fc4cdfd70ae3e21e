"""The gRPC tour's client on grpcio: all calls on one connection.

Usage: client.py HOST:PORT tour [TRACEPARENT]
       client.py HOST:PORT load CALLS AT_A_TIME
"""

import queue
import sys
import threading
from concurrent import futures

import grpc
import tour


def unary(method, request, metadata=None, **before):
    call(method, lambda: [channel.unary_unary(tour.path(method))(request, metadata=metadata)], **before)


def count(request, **before):
    call("Count", lambda: list(channel.unary_stream(tour.path("Count"))(request)), **before)


def collect(requests):
    call("Collect", lambda: [channel.stream_unary(tour.path("Collect"))(iter(requests))])


def chat(requests):
    """Each request is sent when the one before has been answered."""
    next_request = queue.SimpleQueue()

    def talk():
        answers = channel.stream_stream(tour.path("Chat"))(iter(next_request.get, None))
        told = []
        for request in requests:
            next_request.put(request)
            told.append(next(answers))
        next_request.put(None)
        return told + list(answers)

    call("Chat", talk)


def call(method, ask, **before):
    try:
        answers, status, message = ask(), grpc.StatusCode.OK, ""
    except grpc.RpcError as error:
        answers, status, message = [], error.code(), error.details()
    tour.tell(method, status.name, message, answers, **before)


def given_up(timeout=None, cancelled_after=None):
    """A call that the client ends: the message is its own then, and not told."""
    asked = channel.unary_unary(tour.path("Sleep")).future(b"2000", timeout=timeout)
    if cancelled_after:
        threading.Timer(cancelled_after, asked.cancel).start()
    tour.tell("Sleep", asked.code().name, "", [])


def take_tour(traceparent=None):
    unary("Echo", b"0123456789" * 10)
    unary("Echo", b"0123456789" * 20_000)
    unary("Refuse", b"5")
    unary("Refuse", b"13")
    collect([b"message %d" % i for i in range(5)])
    count(b"7")
    chat([b"message %d" % i for i in range(3)])
    given_up(timeout=0.2)
    given_up(cancelled_after=0.1)
    unary("Missing", b"")
    if traceparent:
        unary("Echo", b"traced", [("traceparent", traceparent)])


def load(calls, at_a_time):
    def one(number):
        method, request = tour.requested(number)
        if method == "Count":
            count(request, number=number)
        else:
            unary(method, request, number=number)

    with futures.ThreadPoolExecutor(int(at_a_time)) as threads:
        list(threads.map(one, range(int(calls))))


address, scenario, *arguments = sys.argv[1:]
channel = grpc.insecure_channel(address, options=tour.DIRECT)
{"tour": take_tour, "load": load}[scenario](*arguments)
channel.close()
