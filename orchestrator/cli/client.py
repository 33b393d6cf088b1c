"""REST v1 as the commands for people call it: BOTSWAIN_SERVER and BOTSWAIN_TOKEN, errors as sentences."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from orchestrator.cli.refusal import Refusal

DEFAULT_SERVER = "http://127.0.0.1:4500"
TRIES = 4
PAUSE_SECONDS = 0.5
Document = dict[str, Any]


class Client:
    """Used as a context manager. Every call returns the answer's JSON, or raises `Refusal`."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @classmethod
    def from_environment(cls) -> Client:
        server = os.environ.get("BOTSWAIN_SERVER") or DEFAULT_SERVER
        token = os.environ.get("BOTSWAIN_TOKEN", "").strip()
        if not token:
            raise Refusal(
                "BOTSWAIN_TOKEN is not set: put an API token into it. `botswain up` keeps one for you in "
                "~/.botswain/secrets/admin-token"
            )
        try:
            headers = {"Authorization": f"Bearer {token}"}
            return cls(httpx.Client(base_url=httpx.URL(server), headers=headers, timeout=30))
        except (httpx.InvalidURL, UnicodeError):
            raise Refusal("BOTSWAIN_SERVER or BOTSWAIN_TOKEN cannot be used: look at them again") from None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, *path: str, **query: Any) -> Document:
        chosen = {name: value for name, value in query.items() if value is not None}
        answer = self._send(self._http.build_request("GET", _path(path), params=chosen))
        return _document(answer)

    def find(self, *path: str) -> Document | None:
        """As `get`, but None where there is no such thing."""
        answer = self._send(self._http.build_request("GET", _path(path)), missing_is_fine=True)
        return None if answer.status_code == httpx.codes.NOT_FOUND else _document(answer)

    def post(self, *path: str, **content: Any) -> Document:
        """`content` is httpx's: json, data, files."""
        request = self._http.build_request("POST", _path(path), **content)
        request.headers["Idempotency-Key"] = str(uuid.uuid4())
        return _document(self._send(request))

    def patch(self, *path: str, json: Any) -> Document:
        return _document(self._send(self._http.build_request("PATCH", _path(path), json=json)))

    def delete(self, *path: str) -> None:
        self._send(self._http.build_request("DELETE", _path(path)))

    def address(self, *path: str) -> str:
        """Where others find this: with the server's address as this command was told it."""
        return str(self._http.build_request("POST", _path(path)).url)

    def items(self, *path: str, limit: int, **query: Any) -> Iterator[Document]:
        """Up to `limit` items of a list, however many pages that takes."""
        cursor = None
        while limit > 0:
            page = self.get(*path, limit=min(limit, 500), cursor=cursor, **query)
            yield from page["items"][:limit]
            limit, cursor = limit - len(page["items"]), page["next"]
            if cursor is None:
                return

    def _send(self, request: httpx.Request, missing_is_fine: bool = False) -> httpx.Response:
        """Send it, again while the server is away for a moment: with its key, a POST takes effect once."""
        for left in reversed(range(TRIES)):
            try:
                answer = self._http.send(request)
            except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
                if not left or isinstance(error, httpx.UnsupportedProtocol):
                    raise Refusal(f"{self._http.base_url} does not answer: {error}") from None
            else:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or not left:
                    break
            time.sleep(PAUSE_SECONDS)
        if answer.is_error and not (missing_is_fine and answer.status_code == httpx.codes.NOT_FOUND):
            raise Refusal(sentence(answer))
        return answer


def _path(parts: tuple[str, ...]) -> str:
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def _document(answer: httpx.Response) -> Document:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Refusal(f"{answer.url.copy_with(path='/')} is not Botswain: its answer is no JSON")
    return document


def sentence(answer: httpx.Response) -> str:
    """What a problem document says: a line for each field that it names, or its detail."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return f"the server answered {answer.status_code} {answer.reason_phrase}".rstrip()
    fields = [f"{one.get('field')}: {one.get('message')}" for one in problem.get("errors") or []]
    if fields:
        return "\n".join(fields)
    detail = problem.get("detail") or problem.get("title") or f"the server answered {answer.status_code}"
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return f"BOTSWAIN_TOKEN was not accepted: {detail}"
    return str(detail)
