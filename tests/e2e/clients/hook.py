"""A minimal receiver of webhooks."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Hook:
    """Listens inside the `with` block. `got` has the headers and body of each message."""

    def __init__(self, port: int) -> None:
        got: list[tuple[dict, str]] = []
        completed = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                got.append((dict(self.headers), body))
                self.send_response(200)
                self.end_headers()
                if json.loads(body).get("status") in ("succeeded", "failed", "canceled"):
                    completed.set()

            def log_message(self, *_: object) -> None:
                pass

        self.got = got
        self.url = f"http://127.0.0.1:{port}/told"
        self._completed = completed
        self._server = HTTPServer(("127.0.0.1", port), Handler)

    def __enter__(self) -> "Hook":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def until_completed(self) -> None:
        assert self._completed.wait(30), self.got
