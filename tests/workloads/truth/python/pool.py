"""A truth service with a thread for each connection, whose calls are made by a pool of other threads.

Usage: pool.py SERVICE PORT [NEXT…]
"""

from concurrent.futures import ThreadPoolExecutor

import threads

pool = ThreadPoolExecutor(16)


def ask(port, path):
    return pool.submit(threads.service.ask, port, path).result()


threads.ask = ask
threads.main()
