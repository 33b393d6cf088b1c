"""The routes of queues and resources on the fake server, with resources in memory."""

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


class Queues:
    """The routes of queues and resources; every request is kept, and `fault(request)` may answer instead."""

    def __init__(self, *values: Any) -> None:
        self.waiting = [self.resource(number, value) for number, value in enumerate(values, start=1)]
        self.taken: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.fault: Callable[[dict[str, Any]], tuple[int, Any] | None] = lambda request: None
        self.asked = threading.Event()
        self.hang_up = threading.Event()
        self.was_left = threading.Event()  # who waited for a take has hung up

    @staticmethod
    def resource(number: int, value: Any) -> dict[str, Any]:
        return {
            "id": f"r{number}",
            "reference": None,
            "value": value,
            "parameters": {"n": number},
            "tags": ["a"],
            "priority": 5,
            "attempt": 1,
            "fence": number + 10,
        }

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        url = urlsplit(request.path)
        seen = {
            "method": request.command,
            "path": url.path,
            "query": parse_qs(url.query),
            "body": json.loads(body) if body else None,
            "headers": dict(request.headers),
        }
        self.requests.append(seen)
        status, document = self.fault(seen) or self.answer(seen, request.connection)
        content = b"" if document is None else json.dumps(document).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def answer(self, seen: dict[str, Any], connection: socket.socket) -> tuple[int, Any]:
        _, _, _, noun, key, *verb = seen["path"].split("/")
        if verb == ["take"]:
            if self.waiting:
                found = self.waiting.pop(0)
                self.taken[found["id"]] = found
                return 200, found
            self.asked.set()
            end = time.monotonic() + seen["body"]["wait_seconds"]
            while time.monotonic() < end and not self.hang_up.wait(0.05):
                if select.select([connection], [], [], 0)[0]:
                    self.was_left.set()
                    break
            return 204, None
        if noun == "queues":
            many = isinstance(seen["body"], list)
            made = [{"id": f"n{number}"} for number in range(len(seen["body"]) if many else 1)]
            return 201, {"items": made} if many else made[0]
        if seen["method"] == "PATCH":
            self.taken[key].update(seen["body"])
        return 200, self.taken[key]

    def said(self, verb: str) -> dict[str, Any]:
        """The bodies that came for this verb, by the resource."""
        return {r["path"].split("/")[4]: r["body"] for r in self.requests if r["path"].endswith(verb)}


MakeQueues = Callable[..., Queues]


@pytest.fixture
def queues(server: Any) -> Iterator[MakeQueues]:
    """Give the fake server queues with these values."""
    made: list[Queues] = []

    def give(*values: Any) -> Queues:
        found, protocol = Queues(*values), server.serve
        made.append(found)
        server.serve = lambda request: (found.serve if request.path.startswith("/api/v1/") else protocol)(
            request
        )
        return found

    yield give
    for one in made:
        one.hang_up.set()
