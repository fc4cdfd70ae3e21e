"""What the gRPC tour's Python programs have in common. Messages are bytes, so nothing is generated."""

import hashlib
import json

import grpc

SERVICE = "spanwire.tests.Tour"

# A proxy of the environment must not stand between client and server.
DIRECT = [("grpc.enable_http_proxy", 0)]


def path(method):
    return f"/{SERVICE}/{method}"


def number(request):
    """The number that a request begins with."""
    return int(request.split()[0])


def status(code):
    return next(status for status in grpc.StatusCode if status.value[0] == code)


def requested(number):
    """A call of the load: its method and its request."""
    method, request = [("Echo", "call"), ("Refuse", "5 call"), ("Count", "3 call")][number % 3]
    return method, f"{request} {number}".encode()


def tell(method, status, message, answers, **before):
    """The line of a call that ended. A long answer is told by its SHA-256."""
    answers = [answer.decode() if len(answer) <= 100 else hashlib.sha256(answer).hexdigest() for answer in answers]
    line = {**before, "method": f"{SERVICE}/{method}", "status": status, "message": message, "answers": answers}
    # Whole lines in one write each: threads tell their calls at the same time.
    print(json.dumps(line) + "\n", end="", flush=True)
