"""One HTTP request to the server: proxies, a private CA, time limits, and a wait that can be cut short.

Every request has a connection of its own. At one heartbeat in ten seconds reuse would save little, and a kept
connection that a proxy dropped silently is the classic way to lose a report.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional, TypeVar
from urllib.parse import SplitResult, unquote, urlencode, urljoin, urlsplit

T = TypeVar("T")

MOST_ANSWER = 16 * 1024 * 1024
CHUNK = 64 * 1024
TICK = 0.25  # seconds


class Unreachable(Exception):  # noqa: N818 - a state of the world
    """No usable answer: try again later. `retry_after` is the server's own wish, in seconds."""

    def __init__(self, text: str, retry_after: Optional[float] = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Answer:
    status: int
    document: Optional[Mapping[str, Any]]  # None: the body was not a JSON object, so it is not from Botswain
    retry_after: Optional[float]


@dataclass(frozen=True)
class Passed:
    """An answer as it came: any status, any body."""

    status: int
    body: bytes
    content_type: str
    retry_after: Optional[str]


class Transport:
    """Requests to one server, each with the robot's `Authorization`."""

    def __init__(self, server: str, authorization: str, ca: Optional[str] = None) -> None:
        self.server = server.rstrip("/") + "/"
        self._origin = _origin(urlsplit(self.server))
        self._authorization = authorization
        self._tls = _trusting(ca) if ca else None  # else made when needed: it reads many files
        self._lock = threading.Lock()
        self._parked: Optional[socket.socket] = None
        self._interrupted = False

    def send(
        self, method: str, path: str, form: Mapping[str, str], timeout: float, parked: bool = False
    ) -> Answer:
        """Send `form` and read the answer. A `parked` request ends with Unreachable on `interrupt()`."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        body = urlencode(form).encode("ascii")
        return self._exchange(method, path, body, headers, timeout, parked, _read_answer)

    def download(self, url: str, write: Callable[[bytes], object], timeout: float) -> int:
        """Pass the body to `write` in pieces, and return the HTTP status; only a 200 is read."""

        def read(response: http.client.HTTPResponse) -> int:
            if response.status == http.client.OK:
                _copy(response, write)
            elif response.status == http.client.TOO_MANY_REQUESTS or response.status >= 500:
                raise Unreachable(f"the server answered {response.status}", _retry_after(response))
            return response.status

        return self._exchange("GET", url, None, {}, timeout, False, read)

    def pass_on(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,
        gone: Callable[[], bool],
    ) -> Passed:
        """A request that somebody else has made, with the robot's identity; its answer as it came.

        Once they are `gone` the server is told, by hanging up, and Unreachable is raised.
        """
        return self._exchange(method, path, body or None, headers, timeout, False, _read_all, gone)

    def owns(self, url: str) -> bool:
        """Whether a request to `url` carries the robot's identity: its own server only."""
        return _origin(self._resolve(url)) == self._origin

    def interrupt(self) -> None:
        """End the parked request, and every later one, at once."""
        with self._lock:
            self._interrupted = True
            if self._parked is not None:
                _shut(self._parked)

    def _resolve(self, path: str) -> SplitResult:
        """The whole address. A server behind a proxy that ends TLS may call itself http: put right here."""
        url, own = urlsplit(urljoin(self.server, path)), urlsplit(self.server)
        if url.scheme == "http" and own.scheme == "https" and url.hostname == own.hostname:
            return url._replace(scheme=own.scheme, netloc=own.netloc)
        return url

    def _exchange(
        self,
        method: str,
        path: str,
        body: Optional[bytes],
        headers: Mapping[str, str],
        timeout: float,
        parked: bool,
        read: Callable[[http.client.HTTPResponse], T],
        gone: Optional[Callable[[], bool]] = None,
    ) -> T:
        url = self._resolve(path)
        connection, target, extra = self._connection(url, timeout)
        every = {"User-Agent": "botswain-robot", "Connection": "close", **extra, **headers}
        if self.owns(path):
            every["Authorization"] = self._authorization
        try:
            connection.connect()
            if parked:
                self._park(connection.sock)
            connection.request(method, target, body, every)
            with _hanging_up(connection.sock, gone):
                return read(connection.getresponse())
        except (OSError, http.client.HTTPException) as trouble:
            raise Unreachable(f"{url.scheme}://{url.netloc}: {_reason(trouble)}") from trouble
        finally:
            self._park(None) if parked else None
            connection.close()

    def _park(self, sock: Optional[socket.socket]) -> None:
        with self._lock:
            self._parked = sock
            if sock is not None and self._interrupted:
                _shut(sock)

    def _connection(
        self, url: SplitResult, timeout: float
    ) -> "tuple[http.client.HTTPConnection, str, dict[str, str]]":
        """A connection, what to ask it for, and the headers that a proxy wants."""
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        proxy = _proxy(url)
        target = url.path + (f"?{url.query}" if url.query else "")
        if proxy is None:
            return self._direct(url.scheme, host, port, timeout), target, {}
        by, credentials = (proxy.hostname or "", proxy.port or 80), _proxy_credentials(proxy)
        if url.scheme == "https":
            connection = self._direct("https", by[0], by[1], timeout)
            connection.set_tunnel(host, port, credentials)
            return connection, target, {}
        return self._direct("http", by[0], by[1], timeout), f"http://{url.netloc}{target}", credentials

    def _direct(self, scheme: str, host: str, port: int, timeout: float) -> http.client.HTTPConnection:
        if scheme == "https":
            self._tls = self._tls or _trusting(None)
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=timeout)


def _trusting(ca: Optional[str]) -> ssl.SSLContext:
    """What the system trusts, and a private authority on top."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cafile=ca)
    return context


def _origin(url: SplitResult) -> "tuple[str, Optional[str], int]":
    return url.scheme, url.hostname, url.port or (443 if url.scheme == "https" else 80)


def _proxy(url: SplitResult) -> Optional[SplitResult]:
    address = urllib.request.getproxies().get(url.scheme)
    if not address or urllib.request.proxy_bypass(url.netloc):
        return None
    return urlsplit(address if "//" in address else f"//{address}")


def _proxy_credentials(proxy: SplitResult) -> "dict[str, str]":
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}


def _shut(sock: socket.socket) -> None:
    """Wake the thread that reads from `sock`. SSLSocket.shutdown would pull the TLS state from under it."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return


@contextlib.contextmanager
def _hanging_up(sock: socket.socket, gone: Optional[Callable[[], bool]]) -> Iterator[None]:
    """Shut `sock` as soon as `gone` says so, while this thread waits for an answer on it."""
    if gone is None:
        yield
        return
    is_gone, answered = gone, threading.Event()

    def watch() -> None:
        while not answered.wait(TICK):
            if is_gone():
                _shut(sock)
                return

    threading.Thread(target=watch, name="hanging up", daemon=True).start()
    try:
        yield
    finally:
        answered.set()


def _read_answer(response: http.client.HTTPResponse) -> Answer:
    body = response.read(MOST_ANSWER)
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    found = document if isinstance(document, dict) else None
    return Answer(response.status, found, _retry_after(response))


def _read_all(response: http.client.HTTPResponse) -> Passed:
    body = response.read(MOST_ANSWER + 1)
    if len(body) > MOST_ANSWER or response.status // 100 == 3:
        raise http.client.HTTPException(f"an answer {response.status} that cannot be passed on")
    content_type = response.getheader("Content-Type") or "application/octet-stream"
    return Passed(response.status, body, content_type, response.getheader("Retry-After"))


def _copy(response: http.client.HTTPResponse, write: Callable[[bytes], object]) -> None:
    """A body that ends before its Content-Length is a lost connection: read(n) does not say so by itself."""
    announced, got = response.getheader("Content-Length"), 0
    while True:
        piece = response.read(CHUNK)
        if not piece:
            break
        got += len(piece)
        write(piece)
    if announced is not None and announced.isdigit() and got < int(announced):
        raise http.client.IncompleteRead(b"", int(announced) - got)


def _retry_after(response: http.client.HTTPResponse) -> Optional[float]:
    """Seconds; the header holds a number or a date (RFC 9110)."""
    value = response.getheader("Retry-After")
    if value is None:
        return None
    try:
        if value.strip().isdigit():
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _reason(trouble: Exception) -> str:
    if isinstance(trouble, TimeoutError):
        return "no answer in time"
    return str(trouble) or type(trouble).__name__
