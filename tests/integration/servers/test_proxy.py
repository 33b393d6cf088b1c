"""The proxy passes on, holds, cuts, refuses and delays, as it is told, at any moment."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.servers.proxy import HOST, Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says everything again."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1024):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[connection], daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with dial(proxy) as client:
        assert said(client, b"hello") == b"hello"
        yield client


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def said(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return client.recv(1024)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(0.2)
    try:
        client.recv(1024)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


def test_what_is_held_arrives_after_the_release(proxy: Proxy, client: socket.socket) -> None:
    proxy.hold()
    client.sendall(b"late")
    assert is_silent(client)
    with dial(proxy) as other:  # half-open: it connects, and nobody answers
        other.sendall(b"new")
        assert is_silent(other)
        proxy.release()
        assert client.recv(1024) == b"late"
        assert other.recv(1024) == b"new"


def test_what_is_held_arrives_though_its_sender_has_gone(proxy: Proxy, echo: int) -> None:
    heard = []
    with socket.create_server((HOST, 0)) as listener, Proxy(listener.getsockname()[1]) as line:
        with dial(line) as client:
            connection, _ = listener.accept()
            line.hold()
            client.sendall(b"last words")
        line.release()
        with connection:
            connection.settimeout(5)
            while data := connection.recv(1024):
                heard.append(data)
    assert b"".join(heard) == b"last words"


def test_a_cut_ends_connections_and_serves_new_ones(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1024)
    with dial(proxy) as other:
        assert said(other, b"again") == b"again"


def test_refused_until_the_release(proxy: Proxy, client: socket.socket) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    proxy.release()
    with dial(proxy) as other:
        assert said(other, b"again") == b"again"


def test_a_delay_counts_both_ways(proxy: Proxy, client: socket.socket) -> None:
    proxy.delay = 0.05
    began = time.monotonic()
    assert said(client, b"slowly") == b"slowly"
    assert time.monotonic() - began >= 0.1


def test_a_server_that_is_away_ends_the_connection(echo: int) -> None:
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]
    with Proxy(port) as proxy, dial(proxy) as client, contextlib.suppress(ConnectionError):
        assert client.recv(1024) == b""
