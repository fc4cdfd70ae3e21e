"""What every truth service of Python does, but for serving: see tests/src/truth/services.rs for what that is."""

import http.client
import os
import queue
import sys
import threading
import time


HERE = os.environ.get("TRUTH_HERE", "127.0.0.1")
NEXT = os.environ.get("TRUTH_NEXT", "127.0.0.1")


class Service:
    """The command line, the pool of connections, and the timer."""

    def __init__(self, arguments):
        self.name, self.port = arguments[0], int(arguments[1])
        self.next = [int(port) for port in arguments[2:]]
        self.kept = {port: queue.LifoQueue() for port in self.next}

    def start_timer(self):
        if self.next:
            threading.Thread(target=self.timer, daemon=True).start()

    def timer(self):
        number = 0
        while True:
            time.sleep(0.020)
            self.ask(self.next[0], f"/timer/{self.name}.{number}")
            number += 1

    def ask(self, port, path):
        """Asks a service over a kept connection; whether it answered well."""
        try:
            connection = self.kept[port].get_nowait()
        except queue.Empty:
            connection = http.client.HTTPConnection(NEXT, port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.will_close:
            connection.close()
        else:
            self.kept[port].put(connection)
        return answer.status == 200 and body == b"ok\n"

    def serve(self, path, ask=None):
        """Does what a path asks for; whether it went well. `ask` is how its calls are made."""
        number = self.number(path)
        if number is None:
            return True
        kind = habit(number)
        if kind == 0:
            threading.Thread(target=self.ask, args=(self.next[0], f"/later/{number}")).start()
        if kind == 1:
            time.sleep(0.002)
        return self.ask_all(number, kind, ask or self.ask)

    def ask_all(self, number, kind, ask):
        """Makes the calls of a request; whether all went well."""
        well = True
        for at, port in enumerate(self.next):
            well = ask(port, f"/call/{number}.{at}") and well
            if kind == 3:
                time.sleep(0.001)
        return well

    def after(self, path):
        """What is done once the answer to a path is out."""
        number = self.number(path)
        if number is not None and habit(number) == 4:
            self.ask(self.next[0], f"/after/{number}")

    def number(self, path):
        """The id that a path asks to call for, if it does."""
        return path[len("/call/"):] if path.startswith("/call/") and self.next else None


def habit(number):
    return sum(number.encode()) % 8


def from_arguments():
    return Service(sys.argv[1:])
