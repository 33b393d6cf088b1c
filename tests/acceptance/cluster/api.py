"""REST v1 as an administrator's program sees it."""

from collections.abc import Iterable
from typing import Any

import httpx

from tests.acceptance.cluster.waiting import eventually

Json = Any
CREATED, PENDING = 0, 1
TERMINAL = {3, 4, 5, 7}


class Problem(AssertionError):  # noqa: N818 - RFC 9457 calls it so
    """An answer of 4xx or 5xx, with its document."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.response = response
        super().__init__(f"{response.request.method} {response.request.url}: {self.status} {response.text}")


class Api:
    """Calls with one token; an answer of 400 and above raises Problem."""

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        self._http = httpx.Client(
            verify=False,  # plain HTTP; reading the system's certificates takes 50 ms a client
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=70,
            limits=httpx.Limits(max_connections=50, keepalive_expiry=2),
            transport=transport,
        )

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> Json:
        response = self._http.request(method, path, **options)
        if response.is_error:
            raise Problem(response)
        return response.json() if response.content else None

    def get(self, path: str, **parameters: Any) -> Json:
        return self.call("GET", path, params=parameters)

    def post(self, path: str, body: Json = None) -> Json:
        return self.call("POST", path, json={} if body is None else body)

    def every(self, path: str, **parameters: Any) -> Iterable[Json]:
        """All items of a list, page by page."""
        cursor = None
        while True:
            more: dict[str, str] = {"cursor": cursor} if cursor else {}
            page = self.get(path, limit=500, **parameters, **more)
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def publish(self, name: str, script: str = "print('done')\n") -> str:
        """A process with one version, and its name back."""
        self.post("/processes", {"name": name})
        package = {"package": (f"{name}.py", script.encode())}
        self.call("POST", f"/processes/{name}/versions", files=package)
        return name

    def ask(self, process: str, **fields: object) -> str:
        """The GUID of a new job."""
        return str(self.post("/jobs", {"process": process, **fields})["guid"])

    def ask_and_hand_out(self, process: str, **fields: object) -> str:
        """The GUID of a new job that a scheduler has handed out, so that its robot can take it."""
        guid = self.ask(process, **fields)
        self.until_status(guid, PENDING)
        return guid

    def job(self, guid: str) -> Json:
        return self.get(f"/jobs/{guid}")

    def history(self, guid: str) -> list[Json]:
        items: list[Json] = self.get(f"/jobs/{guid}/history")["items"]
        return items

    def until_status(self, guid: str, *statuses: int, seconds: float = 45) -> Json:
        """The job as soon as it is in one of `statuses`."""

        def job() -> Json:
            job = self.job(guid)
            assert job["status"] in statuses, job
            return job

        return eventually(job, f"job {guid} in status {statuses}", seconds)

    def nodes(self) -> dict[str, Json]:
        """Schedulers by name, as the cluster page shows them."""
        return {node["name"]: node for node in self.get("/cluster")["nodes"]}
