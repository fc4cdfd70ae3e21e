"""The same as pool.py, but all calls of a request are made at once.

Usage: pool_fanout.py SERVICE PORT [NEXT…]
"""

from concurrent.futures import ThreadPoolExecutor

import threads
from service import Service

pool = ThreadPoolExecutor(16)


class AtOnce(Service):
    def ask_all(self, number, kind, ask):
        calls = [
            pool.submit(ask, port, f"/call/{number}.{at}") for at, port in enumerate(self.next)
        ]
        return all([call.result() for call in calls])


threads.service.__class__ = AtOnce
threads.main()
