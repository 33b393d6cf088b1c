"""The supervisor's own few calls of the API that it has started. Standard library, for a quick start."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

from orchestrator.cli.refusal import Refusal


class LocalApi:
    """`token` is the admin token."""

    def __init__(self, address: str, token: str) -> None:
        self._place = urlsplit(address)
        self._token = token

    def call(
        self, method: str, path: str, body: Any = None, token: str = "", timeout: float = 10.0
    ) -> tuple[int, Any]:
        """HTTP status and JSON document; status 0 when there is no answer."""
        line = http.client.HTTPConnection(self._place.hostname or "", self._place.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {token or self._token}", "Content-Type": "application/json"}
        try:
            line.request(method, path, None if body is None else json.dumps(body), headers)
            answer = line.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            line.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, None

    def is_ready(self) -> bool:
        return self.call("GET", "/readyz", timeout=2.0)[0] == 200

    def living(self, kind: str) -> set[str]:
        """The names of the schedulers that are up."""
        status, cluster = self.call("GET", "/api/v1/cluster", timeout=5.0)
        if status != 200 or not isinstance(cluster, dict):
            return set()
        names = {str(node["name"]) for node in cluster.get("nodes", []) if node.get("state") == "up"}
        return {name for name in names if name.startswith(f"{kind}-")}

    def accepts(self, token: str) -> bool:
        """Whether the token is known: what it may not do is answered otherwise than what nobody may."""
        return self.call("GET", "/api/v1/cluster", token=token)[0] != 401

    def make_robot(self, name: str) -> str:
        """Make a robot with this name and return its GUID, or nothing when the name is taken."""
        status, answer = self.call("GET", f"/api/v1/robots/{quote(name, safe='')}")
        if status == 200:
            return ""
        status, answer = self.call("POST", "/api/v1/robots", {"name": name})
        if status not in (200, 201) or not isinstance(answer, dict) or not answer.get("guid"):
            said = answer.get("detail") if isinstance(answer, dict) else "no answer"
            raise Refusal(f"{name} could not be made: {said}")
        return str(answer["guid"])
