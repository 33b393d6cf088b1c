"""The way from a script to its queues: requests to the agent's broker, which knows the server."""

from __future__ import annotations

import http.client
import json
import os
import select
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

PATIENCE = 60.0  # seconds to go on trying while the server is away
SLICE = 50.0  # seconds of waiting in one request, below the server's 55
_TICK = 0.25
_AWAY = (502, 503, 504)


class Refused(Exception):  # noqa: N818 - an answer
    """The server's no: `status` as in HTTP, `code` as in Botswain's list of error codes."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code


class Abandoned(Exception):  # noqa: N818 - not an error
    """A soft stop came while the answer was waited for."""


def ask(
    method: str,
    path: str,
    body: Optional[Mapping[str, Any]] = None,
    *,
    many: Optional["list[Any]"] = None,
    stop: Optional[Callable[[], bool]] = None,
) -> Any:
    """The answer's JSON, None for an answer without a body.

    While the server is away, the same request is sent again for up to a minute, with the same key: the
    server does nothing twice. Raises `Refused`, and `Abandoned` once `stop` says so.
    """
    port, token = _door()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if method == "POST":
        headers["Idempotency-Key"] = str(uuid.uuid4())
    content = many if many is not None else body
    data = None if content is None else json.dumps(content, allow_nan=False).encode()
    end, pause = time.monotonic() + PATIENCE, _TICK
    while True:
        status, answer = _once(port, method, path, data, headers, stop)
        if status not in _AWAY or time.monotonic() + pause > end:
            break
        if stop is not None and stop():
            raise Abandoned
        time.sleep(pause)
        pause = min(pause * 2, 5.0)
    if status >= 300:
        raise _refusal(status, answer)
    return json.loads(answer) if answer else None


def _door() -> "tuple[int, str]":
    folder = os.environ.get("BOTSWAIN_RUN_FOLDER")
    if folder is None:
        raise RuntimeError("queues need a robot: publish this script, and let a job run it")
    try:
        found = json.loads((Path(folder) / "broker.json").read_text(encoding="ascii"))
    except FileNotFoundError:
        raise RuntimeError("the run has ended, or its agent is older than queues: update it") from None
    return int(found["port"]), str(found["token"])


def _once(
    port: int,
    method: str,
    path: str,
    data: Optional[bytes],
    headers: Mapping[str, str],
    stop: Optional[Callable[[], bool]],
) -> "tuple[int, bytes]":
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        connection.request(method, path, data, dict(headers))
        while stop is not None and not select.select([connection.sock], [], [], _TICK)[0]:
            if stop():
                raise Abandoned
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as trouble:
        return 502, json.dumps({"code": "server_away", "detail": f"the agent: {trouble}"}).encode()
    finally:
        connection.close()


def _refusal(status: int, answer: bytes) -> Refused:
    try:
        found = json.loads(answer)
        text = str(found.get("detail") or found.get("title") or "")
        for error in found.get("errors") or ():
            text += f" {error['field']}: {error['message']}"
        return Refused(status, str(found.get("code") or ""), text.strip() or f"the server answered {status}")
    except (ValueError, TypeError, KeyError, AttributeError):
        return Refused(status, "", f"the server answered {status}")
