"""The little of Botswain's REST API that this example needs; `openapi.json` of the server has the whole."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

ENDED = {3: "aborted", 4: "success", 5: "failed", 7: "stopped"}
"""The states in which a job stays, by the protocol's number."""
SUCCESS = 4

Job = dict[str, Any]
"""A job as the server lists it: guid, status (number), state (name), result, error and more."""

Resource = dict[str, Any]
"""An item of a queue as the server lists it: id, reference, value, status (name), result, error and more."""

_TRIES = 5
_MOST = 500  # items that the server gives in one list


class RefusedError(Exception):
    """The server said no, or could not be reached; the text is a sentence for a person."""


class Cluster:
    """One server, reached with one API token. Every call raises RefusedError with the reason."""

    def __init__(self, http: httpx.Client, pause: float = 0.5) -> None:
        self._http = http
        self._pause = pause

    def publish(self, process: str, package: bytes) -> int:
        """Make this zip the newest version of the process, unless it is already; gives its number."""
        path = f"/api/v1/processes/{process}/versions"
        if self._send("GET", path, missing_is_fine=True) is None:
            self._send("POST", "/api/v1/processes", json={"name": process})
        newest = max(self._list(path), key=lambda one: int(one["version"]), default=None)
        if newest is None or newest["sha256"] != hashlib.sha256(package).hexdigest():
            file = {"package": (f"{process}.zip", package, "application/zip")}
            newest = self._send("POST", path, files=file)
        return int(newest["version"])

    def submit(self, jobs: Sequence[dict[str, Any]]) -> list[str]:
        """Ask for all of these jobs or, if one is wrong, for none; gives their GUIDs in the same order."""
        return [job["guid"] for job in _items(self._send("POST", "/api/v1/jobs", json=list(jobs)))]

    def jobs(self, process: str, guids: Sequence[str]) -> dict[str, Job]:
        """The present state of these jobs of a process, by GUID, in as few requests as possible."""
        wanted, found = set(guids), {}
        for job in self._list("/api/v1/jobs", process=process, limit=min(len(wanted), _MOST)):
            if job["guid"] in wanted:
                found[job["guid"]] = job
            if len(found) == len(wanted):
                break
        return found

    def fill(self, queue: str, items: Sequence[dict[str, Any]]) -> None:
        """Put these items into the queue, which is made if need be; what an earlier run left in it goes."""
        path = f"/api/v1/queues/{queue}"
        if self._send("GET", path, missing_is_fine=True) is None:
            self._send("POST", "/api/v1/queues", json={"name": queue})
        for old in self.resources(queue):
            self._send("DELETE", f"/api/v1/resources/{old['id']}", missing_is_fine=True)
        self._send("POST", f"{path}/resources", json=list(items))

    def resources(self, queue: str) -> list[Resource]:
        """All that is in the queue, with what became of it."""
        return list(self._list(f"/api/v1/queues/{queue}/resources", limit=_MOST))

    def follow(
        self, process: str, guids: Sequence[str], queue: str, seconds: float
    ) -> Iterator[dict[str, int]]:
        """How many items of the queue have which status, twice a second, until all jobs have ended.
        RefusedError when that takes longer."""
        end = time.monotonic() + seconds
        while True:
            jobs = self.jobs(process, guids)
            yield self._send("GET", f"/api/v1/queues/{queue}")["counts"]
            waiting = [guid for guid in guids if guid not in jobs or jobs[guid]["status"] not in ENDED]
            if not waiting:
                return
            if time.monotonic() > end:
                raise RefusedError(
                    f"{len(waiting)} of {len(guids)} jobs have not ended after {seconds:.0f} s. "
                    f"Is a robot running? GET /api/v1/jobs/{waiting[0]}/explain says why the first one waits."
                )
            time.sleep(self._pause)

    def _list(self, path: str, **filters: Any) -> Iterator[dict[str, Any]]:
        cursor: str | None = ""
        while cursor is not None:
            page = self._send("GET", path, params={**filters, **({"cursor": cursor} if cursor else {})})
            yield from page["items"]
            cursor = page["next"]

    def _send(self, method: str, path: str, missing_is_fine: bool = False, **content: Any) -> Any:
        """The answer's JSON. The request is built once, so that a repeated POST has the same key and the same
        bytes: the server then gives its first answer again and does nothing twice."""
        request = self._http.build_request(method, path, **content)
        if method == "POST":
            request.headers["Idempotency-Key"] = str(uuid.uuid4())
            request.read()
        answer = self._patiently(request)
        if answer.status_code == httpx.codes.NOT_FOUND and missing_is_fine:
            return None
        if answer.is_error:
            raise RefusedError(f"{method} {path}: {_reason(answer)}")
        if answer.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            return answer.json()
        except ValueError:
            raise RefusedError(
                f"{method} {path}: the answer is not JSON; is this Botswain's address?"
            ) from None

    def _patiently(self, request: httpx.Request) -> httpx.Response:
        for left in reversed(range(_TRIES)):
            try:
                answer = self._http.send(request)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or not left:
                    return answer
            except httpx.TransportError as error:
                if not left:
                    raise RefusedError(f"{request.url} does not answer: {error}") from error
            time.sleep(self._pause)
        raise AssertionError("the last try returns or raises")


def _items(answer: Any) -> list[dict[str, Any]]:
    return list(answer if isinstance(answer, list) else answer["items"])


def _reason(answer: httpx.Response) -> str:
    """What the problem document says, in one line."""
    try:
        problem = answer.json()
        parts = (problem["title"], problem.get("detail"), problem.get("errors"))
        return f"{answer.status_code} " + ": ".join(str(part) for part in parts if part)
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"
