"""The webhook over real sockets: to whom it connects, what it sends, and how much it lets be done to it."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.deadlines import within
from workers.activities import webhook as module
from workers.activities.activity import ActivityError, Context, Interrupted
from workers.activities.addresses import Allowed
from workers.activities.webhook import webhook

Make = Callable[..., Context]
NAME = "hook.example"


class Receiver:
    """A server on loopback; `answer` writes the whole reply to a request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.arrived = threading.Event()
        self.answer: Callable[[BaseHTTPRequestHandler], None] = self.plain(200, b'{"ok": true}')
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                told = {
                    "method": self.command,
                    "path": self.path,
                    "body": body,
                    "headers": dict(self.headers),
                }
                receiver.requests.append(told)
                receiver.arrived.set()
                receiver.answer(self)

            do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def plain(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        return answer


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.http.shutdown()
    receiver.http.server_close()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses that `hook.example` has, one for each time that it is looked up."""
    answers: list[str] = []
    real = socket.getaddrinfo

    def look(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host == NAME:
            host = answers.pop(0)
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return answers


@pytest.fixture
def here(context: Make) -> Context:
    return context(webhook_allowed=Allowed.of([NAME, "127.0.0.1"]))


def test_it_sends_json_and_returns_status_and_body(receiver: Receiver, here: Context) -> None:
    url = f"http://127.0.0.1:{receiver.port}/счета/1?q=a b".replace(" ", "%20")
    result = webhook({"url": url, "json": {"n": "№ 1"}, "headers": {"X-Key": "k"}}, here)
    assert result == {"status": 200, "body": '{"ok": true}'}
    (request,) = receiver.requests
    assert request["method"] == "POST" and json.loads(request["body"]) == {"n": "№ 1"}
    assert request["path"] == "/%D1%81%D1%87%D0%B5%D1%82%D0%B0/1?q=a%20b"
    assert request["headers"]["Content-Type"] == "application/json"
    assert (request["headers"]["X-Key"], request["headers"]["Botswain-Task"]) == ("k", here.task)
    webhook({"url": url, "method": "GET"}, here)
    assert receiver.requests[1]["method"] == "GET" and receiver.requests[1]["body"] == b""


def test_the_address_that_was_checked_is_the_one_that_is_reached(
    receiver: Receiver, here: Context, resolver: list[str]
) -> None:
    resolver += ["127.0.0.1"]  # a second look-up would find nothing to say
    result = webhook({"url": f"http://{NAME}:{receiver.port}/"}, here)
    assert result["status"] == 200 and resolver == []
    assert receiver.requests[0]["headers"]["Host"] == f"{NAME}:{receiver.port}"


def test_a_name_that_moves_inside_after_the_check_is_not_followed(
    receiver: Receiver, context: Make, resolver: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver += ["192.0.2.1", "127.0.0.1"]  # the first is nobody's, reserved for documents
    reached: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        reached.append(address)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ActivityError, match="gave no answer: nobody there"):
        webhook({"url": f"http://{NAME}:{receiver.port}/"}, context(webhook_allowed=Allowed.of([NAME])))
    assert reached == [("192.0.2.1", receiver.port)]
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", NAME])
def test_loopback_is_refused_before_a_connection_is_made(
    receiver: Receiver, context: Make, resolver: list[str], host: str
) -> None:
    resolver += ["127.0.0.1"]
    with pytest.raises(ActivityError, match=r"^url: "):
        webhook({"url": f"http://{host}:{receiver.port}/"}, context())
    assert receiver.requests == []


def test_a_redirect_is_a_result_and_not_a_way(receiver: Receiver, here: Context) -> None:
    inside = f"http://127.0.0.1:{receiver.port}/inside"
    receiver.answer = receiver.plain(302, b"over there", Location=inside)
    result = webhook({"url": f"http://127.0.0.1:{receiver.port}/"}, here)
    assert result == {"status": 302, "body": "over there"}
    assert len(receiver.requests) == 1


def test_no_proxy_of_the_environment_is_used(
    receiver: Receiver, here: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert webhook({"url": f"http://127.0.0.1:{receiver.port}/"}, here)["status"] == 200


@pytest.mark.parametrize(("status", "fails"), [(204, False), (404, False), (500, True), (503, True)])
def test_server_errors_are_failures(receiver: Receiver, here: Context, status: int, fails: bool) -> None:
    receiver.answer = receiver.plain(status, b"" if status == 204 else b"sorry")
    url = f"http://127.0.0.1:{receiver.port}/"
    if fails:
        with pytest.raises(ActivityError, match=f"answered {status}: sorry"):
            webhook({"url": url}, here)
    else:
        assert webhook({"url": url}, here)["status"] == status


def test_the_body_is_an_excerpt_that_can_be_stored(receiver: Receiver, here: Context) -> None:
    receiver.answer = receiver.plain(200, b"\x00\xff" + b"x" * 10_000_000)
    body = webhook({"url": f"http://127.0.0.1:{receiver.port}/"}, here)["body"]
    assert body.startswith("\ufffd\ufffdx") and len(body) == 4096


def test_nobody_there_is_a_sentence(here: Context) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ActivityError, match=rf"^127\.0\.0\.1:{port} gave no answer: "):
        webhook({"url": f"http://127.0.0.1:{port}/"}, here)


@pytest.mark.parametrize("reply", [b"nonsense\r\n\r\n", b"HTTP/1.1 99999 No\r\n\r\n", b"", b"\x16\x03\x01"])
def test_an_answer_that_is_no_http_is_a_failure(receiver: Receiver, here: Context, reply: bytes) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(reply)
        handler.close_connection = True

    receiver.answer = answer
    with pytest.raises(ActivityError, match="gave no answer"):
        webhook({"url": f"http://127.0.0.1:{receiver.port}/"}, here)


def test_a_plain_server_is_no_tls_server(receiver: Receiver, here: Context) -> None:
    with pytest.raises(ActivityError, match="gave no answer"):
        webhook({"url": f"https://127.0.0.1:{receiver.port}/"}, here)
    assert receiver.requests == []


def drip(handler: BaseHTTPRequestHandler) -> None:
    """One byte at a time, for as long as anybody listens (and a minute at most)."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    until = time.monotonic() + 60
    with contextlib.suppress(OSError):
        while time.monotonic() < until:
            handler.wfile.write(b"x")
            time.sleep(0.05)


def test_a_dripping_server_meets_the_deadline(
    receiver: Receiver, here: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.5)
    receiver.answer = drip
    with within(5), pytest.raises(ActivityError, match="gave no answer"):
        webhook({"url": f"http://127.0.0.1:{receiver.port}/"}, here)


def test_an_interruption_cuts_the_connection(receiver: Receiver, here: Context) -> None:
    receiver.answer = drip

    def interrupt() -> None:
        receiver.arrived.wait(10)
        here.interrupt("its lease is lost")

    threading.Thread(target=interrupt, daemon=True).start()
    with within(5), pytest.raises(Interrupted, match="its lease is lost"):
        webhook({"url": f"http://127.0.0.1:{receiver.port}/"}, here)
