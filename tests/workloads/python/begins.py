"""Runs another script once it is told to, so that whoever must know of this process first does.

Usage: begins.py FIFO SCRIPT ARGUMENT...
"""

import os
import runpy
import sys

fifo, script, *rest = sys.argv[1:]
with open(fifo) as told:
    told.read()
sys.argv = [script, *rest]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
