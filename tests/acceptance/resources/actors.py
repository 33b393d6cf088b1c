"""Who works on resources: robots in their runs, and a person; each call gives the bare answer."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from copy import copy
from secrets import token_hex
from threading import Thread
from typing import Any

import httpx
from sqlalchemy import make_url

from tests.acceptance.cluster import Cluster, Robot, eventually
from tests.acceptance.cluster.robot import SUCCESS, basic

Json = dict[str, Any]
PLACES = """
    SELECT count(*) FROM waits JOIN runs ON runs.id = waits.run_id
    LEFT JOIN queues ON queues.id = waits.queue_id LEFT JOIN resources ON resources.id = waits.resource_id
    WHERE runs.job_guid = ? AND (queues.name = ? OR resources.public_id = ?)
"""


class Caller:
    """Anybody with credentials; the verbs of resources."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url = url
        self._http = httpx.Client(
            verify=False,  # plain HTTP; reading the system's certificates takes 50 ms a client
            base_url=f"{url}/api/v1",
            headers=headers,
            timeout=75,
            limits=httpx.Limits(max_connections=50, keepalive_expiry=2),
        )

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._http.request(method, path, **options)

    def close(self) -> None:
        self._http.close()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.send("POST", path, json=body)

    def create(self, queue: str, *resources: Json) -> list[str]:
        """The ids of new resources."""
        answer = self.send("POST", f"/queues/{queue}/resources", json=list(resources))
        assert answer.status_code == 201, answer.text
        return [item["id"] for item in answer.json()["items"]]

    def take(self, queue: str, **body: Any) -> httpx.Response:
        return self.post(f"/queues/{queue}/take", **body)

    def taken(self, queue: str, **body: Any) -> Json:
        answer = self.take(queue, **body)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return dict(answer.json())

    def search(self, queue: str, **query: Any) -> list[str]:
        answer = self.send("GET", f"/queues/{queue}/resources", params=query)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    def read(self, resource: str, **query: Any) -> httpx.Response:
        return self.send("GET", f"/resources/{resource}", params=query)

    def change(self, resource: str, body: Json | None = None, **query: Any) -> httpx.Response:
        return self.send("PATCH", f"/resources/{resource}", json=body or {"value": "new"}, params=query)

    def delete(self, resource: str, **query: Any) -> httpx.Response:
        return self.send("DELETE", f"/resources/{resource}", params=query)

    def lock(self, resource: str, lock: str = "both", **body: Any) -> httpx.Response:
        return self.post(f"/resources/{resource}/lock", lock=lock, **body)

    def unlock(self, resource: str, lock: str = "both", **body: Any) -> httpx.Response:
        return self.post(f"/resources/{resource}/unlock", lock=lock, **body)

    def finish(self, resource: str, **body: Any) -> httpx.Response:
        return self.post(f"/resources/{resource}/finish", **body)


class Person(Caller):
    def __init__(self, cluster: Cluster, url: str = "") -> None:
        super().__init__(url or cluster.url, Authorization=f"Bearer {cluster.token}")

    def look(self, resource: str) -> Json:
        return dict(self.read(resource).json())

    def history(self, resource: str) -> list[Json]:
        found: list[Json] = []
        page: Json = {"next": ""}
        while page["next"] is not None:
            params = {"cursor": page["next"]} if page["next"] else {}
            page = self.send("GET", f"/resources/{resource}/history", params=params).json()
            found += page["items"]
        return found


class Run(Caller):
    """A robot in the run of a job, which lives until `end`."""

    def __init__(self, cluster: Cluster, process: str, robot: Robot, **fields: Any) -> None:
        self.robot = robot
        self._api, self._process, self._fields = cluster.api, process, fields
        self.job = cluster.api.ask_and_hand_out(process, robot=robot.name, **fields)
        robot.begin()
        self._cluster = cluster
        self._speak(cluster.url)

    def _speak(self, url: str) -> None:
        super().__init__(url, **{"Authorization": basic(self.robot.guid), "Botswain-Run": self.job})

    def through(self, url: str) -> "Run":
        """The same run at another API process."""
        twin = copy(self)
        twin._speak(url)
        return twin

    def end(self, status: int = SUCCESS) -> None:
        answer = self.robot.update(self.job, status)
        assert answer.status_code == 200, answer.text

    def next(self) -> "Run":
        """The same robot, started once more."""
        return Run(self._cluster, self._process, self.robot, **self._fields)

    def has_place_in(self, line: str) -> bool:
        """Whether it stands in the line of this queue (by name) or resource, which no request tells."""
        with closing(sqlite3.connect(make_url(self._cluster.database_url).database or "")) as database:
            return bool(database.execute(PLACES, [self.job, line, line]).fetchone()[0])

    @property
    def holder(self) -> Json:
        return {"kind": "run", "id": self.job}


class Background:
    """A request on a thread of its own: who waits."""

    def __init__(self, call: Callable[[], httpx.Response]) -> None:
        self.answer: httpx.Response | None = None
        self._thread = Thread(target=self._run, args=[call], daemon=True)
        self._thread.start()

    def _run(self, call: Callable[[], httpx.Response]) -> None:
        self.answer = call()

    def result(self, seconds: float = 60) -> httpx.Response:
        self._thread.join(seconds)
        assert self.answer is not None, f"no answer within {seconds} s"
        return self.answer

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()


def in_line(run: Run, line: str, call: Callable[[], httpx.Response]) -> Background:
    """Make the run's call, and be back when it has its place in the line of this queue or resource."""
    waiter = Background(call)
    eventually(lambda: not waiter.waits or run.has_place_in(line), "it stands in line")
    assert waiter.waits, waiter.answer
    return waiter


def new_queue(person: Person, **policy: Any) -> str:
    name = f"queue-{token_hex(4)}"
    answer = person.post("/queues", name=name, **policy)
    assert answer.status_code == 201, answer.text
    return name
