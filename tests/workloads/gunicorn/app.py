"""The tour's server as a Flask application, for gunicorn."""

from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/hello")
def hello():
    return "hello\n"


@app.get("/big")
def big():
    return "0123456789abcdef" * 65536


@app.get("/chunked")
def chunked():
    return Response(iter(["one, ", "two, ", "three\n"]))


@app.post("/echo")
def echo():
    return request.get_data()


@app.delete("/empty")
def empty():
    return "", 204


@app.get("/cached")
def cached():
    return "", 304


@app.get("/fail")
def fail():
    return "failed\n", 500


@app.errorhandler(404)
def missing(_):
    return "missing\n", 404
