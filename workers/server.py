"""The server as a worker node sees it: HTTP, with a token of the role node."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from workers.surroundings import ahead_of

SECONDS = 10.0  # for one answer
RETRY_AFTER_AT_MOST = 60.0


class Refused(Exception):  # noqa: N818  (an answer)
    """The server's final no; `code` is the stable one of its problem document."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class Away(Exception):  # noqa: N818  (a state of affairs)
    """The server does not answer, or not now: try again, after `retry_after` seconds if it said so."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Order:
    """A task that this node may do. `session` and `session_guid` are there for an open_session."""

    guid: str
    fence: int
    kind: str
    activity: str
    arguments: Any
    lease_seconds: float
    session: Mapping[str, str] | None = None
    session_guid: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Orders:
    """What the server wants of this node. The lease of its registration is in seconds, and so is what its
    clock is ahead of the server's, where the server told its time: the version before does not."""

    lease_seconds: float
    drain: bool
    close_sessions: tuple[str, ...]
    clock_ahead_seconds: float | None = None


class Server:
    """Every method raises `Refused` or `Away`. To be used from any thread."""

    def __init__(self, address: str, token: str, node: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "Botswain worker node"}
        self._node = node
        self._http = httpx.Client(base_url=f"{address}/api/v1", headers=headers, timeout=SECONDS)

    def close(self) -> None:
        self._http.close()

    # Tasks ----------------------------------------------------------------------------------------------

    def start(self, guid: str, fence: int, key: str) -> Order:
        """`key` names this one attempt to begin: said again with it, after an answer that was lost, the
        same answer comes; another message's attempt is refused."""
        told = {"fence": fence, "node": self._node}
        answer = self._call("POST", f"/tasks/{guid}/start", told, {"Idempotency-Key": key})
        try:
            return Order(
                guid=guid,
                fence=fence,
                kind=str(answer["kind"]),
                activity=str(answer["activity"]),
                arguments=answer["arguments"],
                lease_seconds=float(answer["lease_seconds"]),
                session=answer.get("session"),
                session_guid=answer.get("session_guid"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Away(f"the server's answer to start is not understood: {error!r}") from None

    def renew(self, guid: str, fence: int) -> None:
        self._call("POST", f"/tasks/{guid}/renew", {"fence": fence, "node": self._node})

    def finish(self, guid: str, fence: int, *, result: Any = None, error: str | None = None) -> None:
        told = {"result": result} if error is None else {"error": error}
        self._call("POST", f"/tasks/{guid}/finish", {"fence": fence, **told})

    # The node and its sessions --------------------------------------------------------------------------

    def register(self, facts: Mapping[str, Any]) -> Orders:
        asked = datetime.now(UTC)
        answer = self._call("PUT", f"/nodes/{self._node}", dict(facts))
        answered = datetime.now(UTC)
        try:
            close = tuple(str(uuid.UUID(session)) for session in answer["close_sessions"])
            told = answer.get("now")
            ahead = None if told is None else ahead_of(datetime.fromisoformat(told), asked, answered)
            return Orders(float(answer["lease_seconds"]), answer["drain"] is True, close, ahead)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Away(f"the server's answer to a registration is not understood: {error!r}") from None

    def leave(self, incarnation: str) -> None:
        self._call("DELETE", f"/nodes/{self._node}?incarnation={incarnation}")

    def opened(self, session: str, machine: str, backend: str, pid: int | None) -> None:
        told = {"node": self._node, "machine": machine, "backend": backend, "pid": pid}
        self._call("POST", f"/sessions/{session}/opened", told)

    def closed(self, session: str, outcome: str, reason: str) -> None:
        told = {"node": self._node, "outcome": outcome, "reason": reason}
        self._call("POST", f"/sessions/{session}/closed", told)

    def _call(
        self, method: str, path: str, told: Mapping[str, Any] | None = None, headers: Any = None
    ) -> Mapping[str, Any]:
        try:
            answer = self._http.request(method, path, json=told, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Away(str(error) or type(error).__name__) from None
        if answer.status_code >= 500 or answer.status_code in (408, 429) or answer.is_redirect:
            raise Away(f"the server answered {answer.status_code}", _retry_after(answer))
        document = _document(answer)
        if answer.status_code >= 400:
            detail = str(document.get("detail") or f"the server answered {answer.status_code}")
            raise Refused(answer.status_code, str(document.get("code", "")), detail)
        return document


def _document(answer: httpx.Response) -> Mapping[str, Any]:
    if answer.status_code == 204:
        return {}
    try:
        value = answer.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        # Whatever answers there is not Botswain: a proxy's page, or a server that is being replaced.
        raise Away(f"the answer ({answer.status_code}) is not Botswain's")
    return value


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        return min(float(answer.headers["Retry-After"]), RETRY_AFTER_AT_MOST)
    except (KeyError, ValueError):
        return None
