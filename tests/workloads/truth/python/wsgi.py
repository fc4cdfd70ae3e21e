"""A truth service as a WSGI application: gunicorn, with whichever workers it is told to use.

`TRUTH` holds what is the command line elsewhere: SERVICE PORT [NEXT…].
"""

import os

from service import Service

service = Service(os.environ["TRUTH"].split())
timers = set()


class After:
    """An answer whose server tells it when all of it is out."""

    def __init__(self, path, body):
        self.path, self.body = path, body

    def __iter__(self):
        yield self.body

    def close(self):
        service.after(self.path)


def app(environ, start_response):
    if os.getpid() not in timers:  # in each worker, not in their parent
        timers.add(os.getpid())
        service.start_timer()
    path = environ["PATH_INFO"]
    well = service.serve(path)
    start_response("200 OK" if well else "502 Bad Gateway", [("Content-Length", "3")])
    return After(path, b"ok\n" if well else b"no\n")
