"""A Celery application whose broker is a folder: one task, which asks a server.

ASKED_PORT is the server's port; the broker's folders are in the working directory.
"""

import os
import urllib.request

from celery import Celery

app = Celery("cash")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": "queue",
        "data_folder_out": "queue",
        "control_folder": "control",
    },
)


@app.task
def ask():
    urllib.request.urlopen(f"http://127.0.0.1:{os.environ['ASKED_PORT']}/hello").read()
