"""h11 as an oracle: a JSON object per line in, the messages it finds out. The lines are those of llhttp.mjs."""

import json
import sys

import h11


def until_end(conn, data, eof, told):
    """Reads one message; its end and the bytes of its body, or None where it stops."""
    body = 0
    while True:
        event = conn.next_event()
        if event is h11.NEED_DATA and eof and not told["eof"]:
            told["eof"] = True
            conn.receive_data(b"")
        elif event is h11.NEED_DATA or event is h11.PAUSED:
            return None
        elif isinstance(event, h11.ConnectionClosed):
            return None
        elif isinstance(event, h11.Data):
            body += len(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return [len(data) - len(conn.trailing_data[0]), body]


def requests(data, _methods, eof):
    conn = h11.Connection(h11.SERVER)
    conn.receive_data(data)
    told = {"eof": False}
    while True:
        found = until_end(conn, data, eof, told)
        if found is None:
            return
        yield found
        conn.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        conn.send(h11.EndOfMessage())
        if conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
            return
        conn.start_next_cycle()


def responses(data, methods, eof):
    conn = h11.Connection(h11.CLIENT)
    conn.receive_data(data)
    told = {"eof": False}
    for method in methods:
        conn.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        conn.send(h11.EndOfMessage())
        found = until_end(conn, data, eof, told)
        if found is None:
            return
        yield found
        if conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
            return
        conn.start_next_cycle()


for line in sys.stdin:
    case = json.loads(line)
    data = bytes.fromhex(case["hex"])
    read = requests if case["kind"] == "request" else responses
    messages, refused = [], None
    try:
        for found in read(data, case["methods"], case["eof"]):
            messages.append(found)
    except h11.RemoteProtocolError as error:
        refused = str(error)
    print(json.dumps({"messages": messages, "refused": refused}))
