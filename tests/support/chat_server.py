"""A server that speaks OpenAI's chat completions API, on a thread, and fails as it is told."""

import base64
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


def completion(text, why="stop", model="tiny"):
    """An answer in the API's form."""
    return {"model": model, "choices": [{"index": 0, "finish_reason": why, "message": {"content": text}}]}


class ChatServer(ThreadingHTTPServer):
    """Answers with the mean colour of the picture, so that answers are told apart.

    `faults` is called with the number of tries of a question so far and the question, and may give (status, headers,
    body) instead of an answer, or an action on the request's handler; `seconds` is what an answer takes.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, faults=None, seconds=0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.seconds = faults or (lambda tried, question: None), seconds
        self.lock, self.asked, self.tries, self.times = threading.Lock(), [], {}, {}
        self.open = self.most_open = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request, client_address):  # who asked has gone
        pass


def mean_of(url):
    head, _, content = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR).mean()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.server
        assert self.path == "/v1/chat/completions"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text, picture = body["messages"][0]["content"]
        question = (text["text"], round(mean_of(picture["image_url"]["url"])))
        with server.lock:
            tried = server.tries.get(question, 0)
            server.tries[question] = tried + 1
            server.times.setdefault(question, []).append(time.monotonic())
            server.asked.append((dict(self.headers), body))
            server.open += 1
            server.most_open = max(server.most_open, server.open)
        try:
            time.sleep(server.seconds)
            fault = server.faults(tried, question)
        finally:
            with server.lock:
                server.open -= 1
        if callable(fault):
            fault(self)
            return
        self.reply(*(fault or (200, {}, completion(f"Grey {question[1]}: {question[0]}"))))

    def reply(self, status, headers, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(faults=None, seconds=0.0):
    """A server while the block runs."""
    with ChatServer(faults, seconds) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
