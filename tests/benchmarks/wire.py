"""The leanest HTTP client that tells the truth: raw sockets kept alive, many conversations on one thread.

Whatever the client spends is taken from the two cores of the server that is measured.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Conversation = Generator[bytes, Answer, None]  # yields requests, is sent their answers


def request(method: str, path: str, authorization: str, body: bytes, kind: str) -> bytes:
    """The bytes of one request. Nothing of it changes between rounds, so most are made once."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Reader:
    """Bytes of a connection, until they make a whole answer."""

    def __init__(self) -> None:
        self._bytes = b""

    def feed(self, data: bytes) -> Answer | None:
        self._bytes += data
        head, found, rest = self._bytes.partition(b"\r\n\r\n")
        if not found:
            return None
        lines = head.decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        length = int(fields.get("content-length", "0"))
        if len(rest) < length:
            return None
        self._bytes = rest[length:]
        return Answer(int(lines[0].split(" ", 2)[1]), rest[:length])


class Line:
    """One connection: a request, then its answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader()

    def ask(self, data: bytes) -> Answer:
        self.socket.sendall(data)
        return self.wait()

    def wait(self) -> Answer:
        """The answer to what was sent."""
        while True:
            answer = self.receive()
            if answer is not None:
                return answer

    def receive(self) -> Answer | None:
        """What has come so far, if it is a whole answer. Raises `ConnectionError` at the end."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return self._reader.feed(data)

    def close(self) -> None:
        self.socket.close()


def converse(port: int, conversations: Iterable[Conversation], done: Callable[[], bool]) -> None:
    """Hold all conversations at once, each on its own connection, until `done()` or all have ended."""
    selector = selectors.DefaultSelector()
    try:
        for conversation in conversations:
            line = Line(port)
            line.socket.sendall(next(conversation))
            selector.register(line.socket, selectors.EVENT_READ, (line, conversation))
        while selector.get_map() and not done():
            for key, _ in selector.select(timeout=0.5):
                _go_on(selector, *key.data)
    finally:
        for key in list(selector.get_map().values()):
            key.data[0].close()
        selector.close()


def _go_on(selector: selectors.BaseSelector, line: Line, conversation: Conversation) -> None:
    answer = line.receive()
    if answer is None:
        return
    try:
        line.socket.sendall(conversation.send(answer))
    except StopIteration:
        selector.unregister(line.socket)
        line.close()


def repeat(requests: list[bytes], counted: list[int], first: int) -> Conversation:
    """These requests in turn, for ever; `counted[0]` grows with each that is answered 200."""
    number = first
    while True:
        answer = yield requests[number % len(requests)]
        if answer.status != 200:
            raise RuntimeError(f"answered {answer.status}: {answer.body[:200]!r}")
        counted[0] += 1
        number += 1


def rate(port: int, requests: list[bytes], connections: int, seconds: float) -> float:
    """Answers a second."""
    counted = [0]
    end = time.monotonic() + seconds
    talks = [repeat(requests, counted, number) for number in range(connections)]
    began = time.monotonic()
    converse(port, talks, lambda: time.monotonic() >= end)
    return counted[0] / (time.monotonic() - began)
