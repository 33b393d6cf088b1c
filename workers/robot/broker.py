"""What lets a script reach its queues without knowing the robot's GUID: a door on loopback, for one run.

The script shows the run's own token, which lies in the run's folder, readable by this account only. The
broker passes on what the list of routes allows, with the robot's identity and the run's name, and the
server's answers as they are. When the run ends, the door is closed and the token is worth nothing.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import secrets
import select
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Mapping, Optional, Type
from urllib.parse import quote, unquote, urlsplit

from .transport import Passed, Transport, Unreachable

FILE = "broker.json"
MOST_BODY = 8 * 1024 * 1024  # bytes, as the server's own limit
MOST_AT_ONCE = 32  # requests of one script
LONGEST_WAIT = 75.0  # seconds: the server holds a request for up to 55
_IDLE = 30.0  # seconds for a request to arrive whole

_ROUTES = (
    ({"GET", "POST"}, re.compile(r"/api/v1/queues/([^/]+)/(resources)")),
    ({"POST"}, re.compile(r"/api/v1/queues/([^/]+)/(take)")),
    ({"GET", "PATCH", "DELETE"}, re.compile(r"/api/v1/resources/([^/]+)()")),
    ({"POST"}, re.compile(r"/api/v1/resources/([^/]+)/(lock|unlock|finish|postpone)")),
)
_QUERY = re.compile(r"[\w.~%=&+*-]{0,12000}", re.ASCII)
_PASSED_ON = ("Content-Type", "Idempotency-Key")


class Broker:
    """Open from entering to leaving the `with` block. Entering raises OSError where there is no port."""

    def __init__(self, transport: Transport, job_guid: str, folder: Path) -> None:
        self._transport, self._job_guid, self._folder = transport, job_guid, folder
        self.token = secrets.token_urlsafe(32)
        self.over = False
        self.places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._listener: Optional[_Listener] = None

    def __enter__(self) -> Broker:
        listener = self._listener = _Listener(("127.0.0.1", 0), _Request)
        listener.broker = self
        threading.Thread(target=self._listen, args=(listener,), name="broker", daemon=True).start()
        document = {"port": listener.port, "token": self.token}
        handle = os.open(self._folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as out:
            json.dump(document, out)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.over = True
        with contextlib.suppress(OSError):
            os.unlink(self._folder / FILE)
        if self._listener is not None:
            with contextlib.suppress(OSError):  # wakes the listener, which then sees that it is over
                socket.create_connection(("127.0.0.1", self._listener.port), 1.0).close()

    def _listen(self, listener: _Listener) -> None:
        with contextlib.closing(listener.socket):
            while not self.over:
                listener.handle_request()

    def pass_on(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        gone: Callable[[], bool],
    ) -> Passed:
        """Raises Unreachable where the server does not answer, or the script is `gone`."""
        every = {"Accept": "application/json", "Botswain-Run": self._job_guid, **headers}
        return self._transport.pass_on(method, target, body, every, LONGEST_WAIT, gone)


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    broker: Broker

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A script that hung up: there is nobody to tell."""


class _Request(BaseHTTPRequestHandler):
    timeout = _IDLE
    server: _Listener

    def do_GET(self) -> None:
        broker = self.server.broker
        shown = self.headers.get("Authorization", "").encode("utf-8", "replace")
        if broker.over or not hmac.compare_digest(shown, f"Bearer {broker.token}".encode()):
            return self._refuse(401, "unauthenticated", "This is not the token of the run.")
        target = allowed(self.command, self.path)
        if target is None:
            return self._refuse(403, "forbidden", "A script may only ask for queues and resources.")
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or "Transfer-Encoding" in self.headers:
            return self._refuse(411, "length_required", "Say the body's length in Content-Length.")
        if int(length) > MOST_BODY:
            return self._refuse(413, "too_large", f"The body is larger than {MOST_BODY} bytes.")
        body = self.rfile.read(int(length))
        if not broker.places.acquire(blocking=False):
            return self._refuse(429, "too_many", f"More than {MOST_AT_ONCE} requests of one script at once.")
        try:
            self._pass_on(broker, target, body)
        finally:
            broker.places.release()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the base class

    def _pass_on(self, broker: Broker, target: str, body: bytes) -> None:
        headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
        try:
            passed = broker.pass_on(self.command, target, headers, body, self._is_gone)
        except Unreachable as away:
            self._refuse(502, "server_away", str(away))
        else:
            self._answer(passed)

    def _is_gone(self) -> bool:
        """Whether the script has hung up: a soft stop ends its wait. It has nothing more to send."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def _refuse(self, status: int, code: str, detail: str) -> None:
        problem = {
            "type": "about:blank",
            "title": "Refused",
            "status": status,
            "code": code,
            "detail": detail,
        }
        self._answer(Passed(status, json.dumps(problem).encode(), "application/problem+json", None))

    def _answer(self, passed: Passed) -> None:
        self.send_response_only(passed.status)
        self.send_header("Content-Type", passed.content_type)
        self.send_header("Content-Length", str(len(passed.body)))
        if passed.retry_after is not None:
            self.send_header("Retry-After", passed.retry_after)
        self.end_headers()
        self.wfile.write(passed.body)

    def log_message(self, *_: Any) -> None:
        pass


def allowed(method: str, target: str) -> Optional[str]:
    """The path to ask the server for, relative to its address; None where a script may not ask for it.

    The name in the path is taken apart and put together again: whatever stands between here and the server
    may read `%2F` or `..` in its own way.
    """
    url = urlsplit(target)
    if url.scheme or url.netloc or url.fragment or not _QUERY.fullmatch(url.query):
        return None
    for methods, route in _ROUTES:
        match = route.fullmatch(url.path)
        if match and method in methods:
            name, verb = unquote(match[1]), match[2]
            if name in (".", "..") or not name.isprintable() or re.search(r"[/\\;?#\ufffd]", name):
                return None
            start = url.path[1 : match.start(1)]
            path = start + quote(name, safe="") + (f"/{verb}" if verb else "")
            return path + (f"?{url.query}" if url.query else "")
    return None
