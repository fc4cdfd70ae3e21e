"""Starts the demo shop, keeps it running, and ends all of it.

    load -> gateway -> orders -> inventory
                              -> payments

Each service is a plain program of the standard library: nothing in it knows of tracing, of this file, or of the
others but for the addresses in its environment. Every one listens on a port the kernel chose, so the leaves start first.

Nothing may outlive this process, and this process must not outlive the one that started it, even by SIGKILL: each asks
the kernel for a signal at its parent's death (prctl(2), PR_SET_PDEATHSIG).
"""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def end_with_parent(parent, by):
    """Makes this process receive the signal `by` when its parent dies, also when it is already dead."""
    LIBC.prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(0)


class Shop:
    """The running programs, each with the file it writes its stderr to."""

    def __init__(self):
        self.running = {}  # pid -> (name, file)

    def start(self, name, **addresses):
        """Starts one program; gives back the first line it prints: where it listens, or that it is at work."""
        me = os.getpid()
        log = tempfile.TemporaryFile()
        process = subprocess.Popen(
            [sys.executable, str(HERE / f"{name}.py")],
            env={**os.environ, **addresses, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=lambda: end_with_parent(me, signal.SIGKILL),
        )
        self.running[process.pid] = name, log
        line = process.stdout.readline().strip()
        if not line:
            self.fail(process.pid)
        return line

    def fail(self, pid):
        """Says why a program ended, and gives up."""
        name, log = self.running[pid]
        log.seek(0)
        last = log.read().decode(errors="replace").strip().splitlines()[-15:]
        sys.exit("\n".join([f"demo: {name} ended by itself; the last it wrote:", *last]))


def main():
    # Given by whoever may die before we ask: then our parent is somebody else already.
    parent = int(os.environ.pop("DEMO_PARENT", os.getppid()))
    end_with_parent(parent, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))

    shop = Shop()
    inventory = shop.start("inventory")
    payments = shop.start("payments")
    orders = shop.start("orders", INVENTORY=inventory, PAYMENTS=payments)
    gateway = shop.start("gateway", ORDERS=orders)
    shop.start("load", GATEWAY=gateway)
    print(f"demo: a shop is open at http://{gateway} (POST /checkout), with three customers a second", flush=True)

    pid, _status = os.wait()
    shop.fail(pid)


if __name__ == "__main__":
    main()
