"""Real worker nodes beside a real cluster."""

import json
import sys
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from celery import Celery

from orchestrator.tasks.hints import celery_sender
from tests.acceptance.cluster import Cluster, Part, eventually
from tests.acceptance.cluster.cluster import BOTSWAIN

FAILING = "import sys; sys.exit('out of paper')"
SLOW = "import time, pathlib; pathlib.Path('slow-began').touch(); time.sleep(60)"


@dataclass(eq=False)
class Office:
    """A cluster, and the worker nodes of a test, which end with it."""

    cluster: Cluster
    token: str = ""
    nodes: list[Part] = field(default_factory=list)

    def node(self, name: str = "", **settings: str) -> Part:
        """A worker node, and back when the server knows it."""
        part = self.start_node(name or f"worker-{token_hex(3)}", **settings)
        eventually(lambda: self.state(part.name) == "up", f"{part.name} is up:\n{part.tail()}", seconds=60)
        return part

    def start_node(self, name: str, part_name: str = "", **settings: str) -> Part:
        cluster, folder = self.cluster, self.cluster.folder
        self.token = self.token or cluster.api.post("/tokens", {"role": "node"})["token"]
        commands = folder / "commands.json"
        allowed = {"fail": FAILING, "slow": SLOW, "show": "import sys; print(sys.stdin.read())"}
        commands.write_text(
            json.dumps({key: {"argv": [sys.executable, "-c", text]} for key, text in allowed.items()})
        )
        environment = cluster.environment(
            **{
                "BOTSWAIN_SERVER": cluster.url,
                "BOTSWAIN_NODE_TOKEN": self.token,
                "BOTSWAIN_NODE_NAME": name,
                "BOTSWAIN_NODE_PATH": str(folder / name),
                "BOTSWAIN_COMMANDS": str(commands),
                "BOTSWAIN_WEBHOOK_ALLOW": "127.0.0.1",
                "BOTSWAIN_SHUTDOWN_SECONDS": "5",
                "BOTSWAIN_SESSION_CLOSING_SECONDS": "5",
                "BOTSWAIN_WORKER_THREADS": "4",
                **settings,
            }
        )
        for inner in ("DATABASE_URL", "BOTSWAIN_SECRET_KEY", "BOTSWAIN_ADMIN_TOKEN"):
            del environment[inner]  # a worker node has none of these
        part = Part(part_name or name, [BOTSWAIN, "worker"], environment, folder)
        cluster.parts[part.name] = part
        self.nodes.append(part)
        return part.start()

    def state(self, name: str) -> str:
        nodes = {node["name"]: node for node in self.cluster.api.every("/nodes")}
        return str(nodes[name]["state"]) if name in nodes else ""

    def task(self, activity: str, arguments: Any = None, **fields: Any) -> str:
        told = {"activity": activity, "arguments": {} if arguments is None else arguments, **fields}
        return str(self.cluster.api.post("/tasks", told)["id"])

    def until(self, task: str, state: str, seconds: float = 45) -> dict[str, Any]:
        def found() -> dict[str, Any]:
            now: dict[str, Any] = self.cluster.api.get(f"/tasks/{task}")
            assert now["state"] == state, now
            return now

        return eventually(found, f"task {task} is {state}", seconds)

    def celery(self) -> Celery:
        return celery_sender(self.cluster.redis_url)

    def celery_name(self, node: str) -> str:
        """What `celery inspect` calls the node."""

        def found() -> str | None:
            answers = self.celery().control.inspect(timeout=2).ping() or {}
            return next((name for name in answers if name.startswith(f"{node}@")), None)

        return eventually(found, f"Celery sees {node}")

    def sessions(self, **filters: str) -> list[dict[str, Any]]:
        """Oldest first."""
        return list(self.cluster.api.every("/sessions", **filters))[::-1]

    def close(self) -> None:
        for part in self.nodes:
            part.kill()
            self.cluster.parts.pop(part.name, None)
