"""The shop's customers: three a second, most of them easily pleased."""

import http.client
import itertools
import json
import os
import sys
import time

GOOD_CARD = "4242 4242 4242 4242"
BAD_CARD = "4000 0000 0000 0341"


def customers():
    """One in seven wants an antique (slow), one in nine has the card that fails."""
    for number in itertools.count(1):
        items = ["teapot", "cup"] if number % 2 else ["kettle"]
        if number % 7 == 0:
            items.append("antique-clock")
        yield {"items": items, "card": BAD_CARD if number % 9 == 0 else GOOD_CARD}


def buy(order):
    """One customer, who leaves without a word when the shop does not answer."""
    connection = http.client.HTTPConnection(os.environ["GATEWAY"], timeout=30)
    try:
        connection.request("POST", "/checkout", json.dumps(order), {"Content-Type": "application/json"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as failure:
        print(f"{failure!r}", file=sys.stderr)
    finally:
        connection.close()


if __name__ == "__main__":
    for number, order in enumerate(customers(), 1):
        buy(order)
        if number == 1:
            print("the first customer was served")
        time.sleep(0.3)
