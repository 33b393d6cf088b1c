"""Load on one server: by wrk where it is installed, else by a client of our own in processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.benchmarks import wire

OWN_PROCESSES = 2

# The same for every route: the requests are made before the start, and sent in turn.
SCRIPT = """
local requests = {}
local turn = 0
init = function(arguments)
  for path in io.lines(arguments[1]) do
    local file = io.open(path, "rb")
    requests[#requests + 1] = file:read("*a")
    file:close()
  end
end
request = function()
  turn = turn % #requests + 1
  return requests[turn]
end
done = function(summary)
  local wrong = summary.errors
  local broken = wrong.connect + wrong.read + wrong.write + wrong.timeout
  io.write(string.format('\\nJSON {"requests": %d, "us": %d, "status": %d, "socket": %d}\\n',
    summary.requests, summary.duration, wrong.status, broken))
end
"""


def requests_per_second(port: int, requests: list[bytes], connections: int, seconds: float) -> float:
    """How many of `requests`, sent in turn on `connections`, are answered in a second. Raises at an error."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return _by_own_client(port, requests, connections, seconds)
    with tempfile.TemporaryDirectory(prefix="botswain-wrk-") as folder:
        return _by_wrk(wrk, Path(folder), port, requests, connections, seconds)


def client() -> str:
    return "wrk" if shutil.which("wrk") else "own client"


def _by_wrk(
    wrk: str, folder: Path, port: int, requests: list[bytes], connections: int, seconds: float
) -> float:
    script, index = folder / "load.lua", folder / "requests"
    script.write_text(SCRIPT)
    paths = [folder / f"request-{number}" for number in range(len(requests))]
    for path, content in zip(paths, requests, strict=True):
        path.write_bytes(content)
    index.write_text("".join(f"{path}\n" for path in paths))
    command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    command += [f"http://{wire.HOST}:{port}/", "--", str(index)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(printed.rpartition("JSON ")[2])
    if found["status"] or found["socket"]:
        raise RuntimeError(f"wrk saw errors: {found}")
    return float(found["requests"] / (found["us"] / 1e6))


def _by_own_client(port: int, requests: list[bytes], connections: int, seconds: float) -> float:
    share = (port, requests, max(1, connections // OWN_PROCESSES), seconds)
    with multiprocessing.get_context("spawn").Pool(OWN_PROCESSES) as pool:
        return sum(pool.starmap(wire.rate, [share] * OWN_PROCESSES))
