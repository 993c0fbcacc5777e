"""A server of completions for test_bench.sh: the first part of the path says how it behaves. A token every 4 ms, and in
the end, as llama.cpp has it, an event without one. Usage: completions.py FILE (where the port is written)."""
import contextlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    turn = threading.Lock()

    def log_message(self, *args):
        pass

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        how, rest = self.path.strip("/").split("/", 1)
        if how == "empty":
            self.answer(200, '{"data": []}')
        else:
            self.answer(200 if rest == "v1/models" else 404, '{"data": [{"id": "stub"}]}')

    def do_POST(self):
        how = self.path.strip("/").split("/", 1)[0]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = (asked["model"] == "stub" and len(asked["prompt"]) >= 1 and how != "refuses"
                and (how != "good" or self.headers["Authorization"] == "Bearer secret"))
        if not good:
            self.answer(500, '{"error": "no"}')
        elif how == "garbage" or not asked["stream"]:
            self.answer(200, '{"choices": [{"text": "x"}]}')
        else:
            try:
                with self.turn if how == "one-by-one" else contextlib.nullcontext():
                    self.stream(how, asked["max_tokens"])
            except ConnectionError:  # it has heard enough
                pass

    def stream(self, how, tokens):
        self.send_response(200)
        self.send_header("Connection", "close")
        if how == "drops":
            self.send_header("Content-Length", "100000")
        self.end_headers()
        self.close_connection = True
        for i in range(1 if how == "short" else 10**9 if how == "endless" else tokens):
            time.sleep(0 if how == "endless" else 0.004)
            self.event({"choices": [{"text": "x"}]})
        if how == "fails":
            self.event({"error": {"message": "out of \033memory", "code": 500}})
        if how in ("drops", "fails", "breaks"):
            return
        if how != "short":
            self.event({"choices": [{"text": "", "finish_reason": "length"}]})
        self.event({"choices": [], "usage": {"completion_tokens": tokens}})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, o):
        self.wfile.write(f"data: {json.dumps(o)}\n\n".encode())
        self.wfile.flush()


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1], "w") as f:
    f.write(str(server.server_port))
server.serve_forever()
