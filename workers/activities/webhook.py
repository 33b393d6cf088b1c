"""botswain.webhook: one HTTP request to somebody else's server.

Over a socket of our own, connected to the address that was checked: no proxy, no redirect and no second look
at the resolver can lead it elsewhere. An answer of 500 and above, or none, is a failure, and so tried again
where the task has attempts left; any other answer is a result.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field

from workers.activities.activity import ActivityError, Arguments, Context, read
from workers.activities.addresses import resolve

CONNECT_SECONDS = 5.0
SECONDS = 30.0  # for the whole exchange
EXCERPT = 4096
PLAIN = "!$&'()*+,;=:@/~-._%"
# The length and the end of a request are ours to say, and the host is what was checked.
OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te"})

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e\t]{0,4096}$")]


class Webhook(Arguments):
    url: Annotated[str, Field(min_length=1, max_length=2000)]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    document: Any = Field(None, alias="json")
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=50)] = Field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where a URL leads; `host` is what the certificate must name."""

    is_tls: bool
    host: str
    port: int
    authority: str
    path: str


def webhook(arguments: Any, context: Context) -> Any:
    """`url`, `method` (POST), `json`, `headers`. Returns `{"status": …, "body": …}`, the body's beginning."""
    given = read(Webhook, arguments)
    for name in given.headers:
        if name.lower() in OURS:
            raise ActivityError(f"headers.{name}: this header is set by the node.")
    target = _target(given.url)
    addresses = resolve(target.host, target.port, context.settings.webhook_allowed)
    context.check()
    try:
        status, body = _exchange(target, addresses, given, context)
    except (OSError, http.client.HTTPException, ValueError) as error:
        context.check()
        raise ActivityError(f"{target.authority} gave no answer: {_reason(error)}") from None
    if status >= 500:
        raise ActivityError(f"{target.authority} answered {status}: {body[:500]}")
    return {"status": status, "body": body}


def _target(url: str) -> Target:
    if any(ord(character) <= 32 or ord(character) == 127 for character in url) or "\\" in url:
        raise ActivityError("url: it holds blanks, control characters or backslashes.")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except (ValueError, UnicodeError) as error:
        raise ActivityError(f"url: it cannot be read: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ActivityError("url: it must begin with http:// or https:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise ActivityError("url: it holds a user or a password; send them in a header.")
    is_tls = parts.scheme == "https"
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port is None else f"{shown}:{port}"
    path = quote(parts.path or "/", safe=PLAIN)
    if parts.query:
        path += "?" + quote(parts.query, safe=PLAIN + "?")
    return Target(is_tls, host, port or (443 if is_tls else 80), authority, path)


def _exchange(target: Target, addresses: list[str], given: Webhook, context: Context) -> tuple[int, str]:
    plain = _connect(addresses, target.port)
    with plain, _deadline(plain, context) as is_cut:
        stream = _secured(plain, target) if target.is_tls else plain
        connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = stream
        # The connection would open another one by itself, to wherever the name leads by then.
        connection.auto_open = 0
        try:
            _send(connection, target, given, context)
            answer = connection.getresponse()
            body = answer.read(EXCERPT)
            if is_cut.is_set():  # what was cut within its headers looks like a whole answer
                raise TimeoutError
            return answer.status, _excerpt(body)
        finally:
            connection.close()


def _connect(addresses: list[str], port: int) -> socket.socket:
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection((address, port), CONNECT_SECONDS)
    return socket.create_connection((addresses[-1], port), CONNECT_SECONDS)


def _secured(plain: socket.socket, target: Target) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)


@contextlib.contextmanager
def _deadline(plain: socket.socket, context: Context) -> Iterator[threading.Event]:
    """Cut the connection when the time is up or the activity is to end: a server that drips its answer
    byte by byte would keep each single read within its timeout for ever."""
    plain.settimeout(SECONDS)
    handle = socket.socket(fileno=socket.dup(plain.fileno()))
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        with context.on_interrupt(cut):
            yield is_cut
    finally:
        timer.cancel()
        handle.close()


def _send(connection: http.client.HTTPConnection, target: Target, given: Webhook, context: Context) -> None:
    body = None if given.document is None else json.dumps(given.document, ensure_ascii=False).encode()
    headers = {
        "Host": target.authority,
        "User-Agent": "Botswain",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Botswain-Task": context.task,  # the same at each attempt: the receiver may tell a repetition by it
    }
    if body is not None:
        headers["Content-Type"] = "application/json"
    chosen = {name.lower() for name in given.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in chosen} | given.headers
    connection.request(given.method, target.path, body, headers)


def _excerpt(body: bytes) -> str:
    return body.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    return str(error) or type(error).__name__
