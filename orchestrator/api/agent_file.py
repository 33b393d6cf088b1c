"""The robot agent as one file, built once from the sources beside this package.

It is found without being imported: the orchestrator and the agent know nothing of each other's code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.errors import NotFound


@dataclass(frozen=True)
class AgentFile:
    data: bytes
    sha256: bytes


@cache
def agent_file() -> AgentFile:
    """Raises `NotFound` where this installation has no agent."""
    found = importlib.util.find_spec("workers")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    source = next((path for place in places if (path := Path(place, "robot", "build.py")).is_file()), None)
    spec = importlib.util.spec_from_file_location("botswain_robot_build", source) if source else None
    if spec is None or spec.loader is None:
        raise NotFound("This installation has no robot agent to give out.")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "robot.pyz")
        build.build_pyz(target)
        data = target.read_bytes()
    return AgentFile(data, hashlib.sha256(data).digest())
