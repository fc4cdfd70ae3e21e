"""A truth service with a thread for each connection: http.server.

Usage: threads.py SERVICE PORT [NEXT…]
"""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service import HERE, from_arguments

service = from_arguments()
ask = None


class Served(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer goes out in one call

    def do_GET(self):
        well = service.serve(self.path, ask)
        self.send_response(200 if well else 502)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n" if well else b"no\n")
        self.wfile.flush()
        service.after(self.path)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main():
    service.start_timer()
    Server((HERE, service.port), Served).serve_forever()


if __name__ == "__main__":
    main()
