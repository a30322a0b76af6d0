"""A W&B server for tests, on this machine only: it keeps what runs send, and fails on demand."""

from __future__ import annotations

import gzip
import json
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wandb_answers import ANSWERS, Json, Kept

KEY = "0" * 40
"""Of the form that clients take for an API key."""


@dataclass
class Faults:
    """What goes wrong from now on; it may be changed while the server runs."""

    delay: float = 0.0
    """Seconds before each answer."""
    status: int | None = None
    """Answered instead of a result."""
    hang: bool = False
    """Take requests and answer none of them until this is over."""
    dead: bool = False
    """Cut every connection."""


class LoopbackServer:
    """A context manager; inside, clients find the server at ``url``."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.lock = threading.Lock()
        self._http = _Http(self)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.kept = Kept(self.url)

    def __enter__(self) -> LoopbackServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults = Faults(dead=True)
        self._http.shutdown()
        self._http.server_close()

    def environment(self) -> dict[str, str]:
        """Variables that send a process's W&B here."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_SILENT": "true"}

    def stream(self, run: str, sent: Json) -> Json:
        """Keep a chunk of a run's rows and summary."""
        for name, chunk in (sent.get("files") or {}).items():
            lines = [json.loads(line) for line in chunk["content"]] if name.endswith((".json", ".jsonl")) else []
            if name == "wandb-history.jsonl":
                self.kept.history += lines
            elif name == "wandb-summary.json":
                self.kept.summary = lines[-1]
                self.kept.runs[run]["summaryMetrics"] = chunk["content"][-1]
        return {"exitcode": None, "limits": {}}

    def graphql(self, query: str, variables: Json) -> Json:
        """Answer one operation."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = found[1] if found else query
        self.kept.operations[name] += 1
        if name in ANSWERS:
            return {"data": ANSWERS[name](self.kept, variables)}
        self.kept.unknown.append(name)
        return {"data": {}}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    """A request that hangs must not hold up the end of the test."""

    def __init__(self, owner: LoopbackServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep our own mistakes for the test to see; a client may leave whenever it likes."""
        if not isinstance(sys.exception(), ConnectionError):
            self.owner.kept.errors.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Quietly."""

    def do_PUT(self) -> None:
        self._answer(self._store)

    def do_POST(self) -> None:
        calls = {"graphql": self._graphql, "file_stream": self._stream}
        self._answer(calls.get(self.path.rpartition("/")[2]))

    def _store(self, body: bytes) -> Json:
        self.server.owner.kept.files[self.path.split("/storage/")[-1].split("?")[0]] = body
        return {}

    def _graphql(self, body: bytes) -> Json:
        sent = json.loads(body)
        return self.server.owner.graphql(sent["query"], sent.get("variables") or {})

    def _stream(self, body: bytes) -> Json:
        return self.server.owner.stream(self.path.split("/")[-2], json.loads(body))

    def _answer(self, work: Callable[[bytes], Json] | None) -> None:
        """Do the work, or fail as asked; what nobody here can do is not found, such as W&B's own telemetry."""
        body, owner = self._body(), self.server.owner
        while owner.faults.hang:
            time.sleep(0.01)
        time.sleep(owner.faults.delay)
        if owner.faults.dead:
            self.close_connection = True
            return
        status = owner.faults.status or (200 if work else 404)
        with owner.lock:
            answer = json.dumps(work(body) if work and status == 200 else {}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        return gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
