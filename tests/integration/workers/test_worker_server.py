"""How a node reads the server's answers: what is final, what is worth another try, what is no answer."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from workers.server import Away, Refused, Server

GUID = "11111111-2222-4333-8444-555555555555"
ORDER = {"kind": "activity", "activity": "botswain.echo", "arguments": [1], "lease_seconds": 45}


class Front:
    """Answers every request with `status` and `body`."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"{}", {"Content-Type": "application/json"}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                front.requests.append((self.command, self.path, dict(self.headers), body))
                self.send_response(front.status)
                for name, value in front.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(front.body)))
                self.end_headers()
                self.wfile.write(front.body)

            do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def says(self, status: int, value: Any, **headers: str) -> None:
        self.status = status
        self.body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.headers |= {name.replace("_", "-"): text for name, text in headers.items()}


@pytest.fixture
def front() -> Iterator[Front]:
    front = Front()
    yield front
    front.http.shutdown()
    front.http.server_close()


@pytest.fixture
def server(front: Front) -> Iterator[Server]:
    server = Server(f"http://127.0.0.1:{front.http.server_address[1]}", "the-token", "worker-1")
    yield server
    server.close()


def test_a_start_names_node_fence_and_key(front: Front, server: Server) -> None:
    front.says(200, ORDER | {"session": {"id": "s"}, "session_guid": "g"})
    order = server.start(GUID, 7, "key-1")
    assert (order.kind, order.arguments, order.lease_seconds) == ("activity", [1], 45.0)
    ((method, path, headers, body),) = front.requests
    assert (method, path) == ("POST", f"/api/v1/tasks/{GUID}/start")
    assert headers["Authorization"] == "Bearer the-token" and headers["Idempotency-Key"] == "key-1"
    assert json.loads(body) == {"fence": 7, "node": "worker-1"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_a_problem_is_final_and_says_why(front: Front, server: Server, status: int) -> None:
    front.says(status, {"code": "stale_fence", "detail": "passed on", "status": status})
    with pytest.raises(Refused, match="passed on") as refused:
        server.renew(GUID, 7)
    assert (refused.value.status, refused.value.code) == (status, "stale_fence")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 301, 307])
def test_trouble_passes(front: Front, server: Server, status: int) -> None:
    front.says(status, {"detail": "later"}, Retry_After="7", Location="http://127.0.0.1:9/")
    with pytest.raises(Away) as away:
        server.finish(GUID, 7, result=1)
    assert away.value.retry_after == 7.0 and len(front.requests) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>welcome</html>"), (404, b"<html>no such page</html>"), (200, b"[]"), (200, b"\xff")],
)
def test_what_is_not_botswain_s_answer_is_no_answer(
    front: Front, server: Server, status: int, body: bytes
) -> None:
    front.says(status, body)
    with pytest.raises(Away, match="not Botswain"):
        server.renew(GUID, 7)


@pytest.mark.parametrize("body", [{}, ORDER | {"lease_seconds": "soon"}, ORDER | {"lease_seconds": None}])
def test_an_order_that_lacks_something_is_no_order(front: Front, server: Server, body: Any) -> None:
    front.says(200, body)
    with pytest.raises(Away, match="not understood"):
        server.start(GUID, 7, "k")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"lease_seconds": 15, "drain": False, "close_sessions": ["../x"]},
        {"close_sessions": 5},
        {"lease_seconds": 15, "drain": False, "close_sessions": [], "now": "noon"},
        {"lease_seconds": 15, "drain": False, "close_sessions": [], "now": "2026-03-01T12:00:00"},
    ],
)
def test_orders_that_cannot_be_read_are_not_followed(front: Front, server: Server, body: Any) -> None:
    front.says(200, body)
    with pytest.raises(Away, match="not understood"):
        server.register({"pid": 1})


def test_the_servers_time_tells_how_wrong_the_clock_is(front: Front, server: Server) -> None:
    orders = {"lease_seconds": 15, "drain": False, "close_sessions": []}
    front.says(200, orders | {"now": (datetime.now(UTC) - timedelta(seconds=90)).isoformat()})
    ahead = server.register({"pid": 1}).clock_ahead_seconds
    assert ahead is not None and 89 < ahead < 91
    front.says(200, orders)  # a server of the version before
    assert server.register({"pid": 1}).clock_ahead_seconds is None


def test_nobody_there_is_away() -> None:
    server = Server("http://127.0.0.1:9", "t", "worker-1")
    with pytest.raises(Away):
        server.leave("x")
    server.close()
