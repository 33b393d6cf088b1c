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

    def make_token(self, name: str, role: str) -> str:
        """A new API token."""
        return str(self._make("/api/v1/tokens", {"name": name, "role": role})["token"])

    def has_robot(self, name: str) -> bool:
        return self.call("GET", f"/api/v1/robots/{quote(name, safe='')}")[0] == 200

    def make_robot(self, name: str, guid: str) -> None:
        self._make("/api/v1/robots", {"name": name, "guid": guid})

    def _make(self, path: str, body: Any) -> Any:
        status, answer = self.call("POST", path, body)
        if status != 201 or not isinstance(answer, dict):
            said = answer.get("detail") if isinstance(answer, dict) else "no answer"
            raise Refusal(f"{body['name']} could not be made ({status}): {said}")
        return answer
