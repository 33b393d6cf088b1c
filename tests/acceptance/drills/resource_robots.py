"""Robots of the drill with resources: a program of its own, so that it can be killed with all of them.

    python -m tests.acceptance.drills.resource_robots URL QUEUE TESTIMONY ROBOT-GUID...

Each robot takes a job, works on resources in its run, ends the run after a while, and begins again. What
it was told goes into the file TESTIMONY, a JSON line for each answer, before the robot goes on.
"""

import json
import random
import sys
import threading
import time
from typing import Any

import httpx

from tests.acceptance.cluster.robot import IN_PROGRESS, NO_NEW_JOB, SUCCESS, Handed, Robot

ITEMS_A_RUN = 12
LOCK_SECONDS = 0.5
PAUSE = 0.05


class Worker:
    def __init__(self, url: str, queue: str, guid: str, testimony: Any) -> None:
        self._robot = Robot(url, guid)
        self._queue = queue
        self._testimony = testimony
        self._random = random.Random()
        self._job = ""

    def work(self) -> None:
        while True:
            self._robot.beat()  # ready: a run that was cut off is lost now
            answer = self._ask(self._robot.consume)
            if answer["ConsumeJobErrorCode"] == NO_NEW_JOB:
                time.sleep(PAUSE)
                continue
            if answer["ConsumeJobErrorCode"]:
                continue
            self._job = Handed.of(answer).guid
            if self._try(lambda: self._robot.update(self._job, IN_PROGRESS)).status_code == 200:
                for _ in range(ITEMS_A_RUN):
                    self._item()
                self._try(lambda: self._robot.update(self._job, SUCCESS))

    def _item(self) -> None:
        is_dated = self._random.random() < 0.4
        body: dict[str, Any] = {"wait_seconds": self._random.choice([0, 1])}
        if is_dated:
            body |= {"lock": "both", "for_seconds": LOCK_SECONDS}
        if is_dated or self._random.random() < 0.3:  # else as most robots ask, which is done in company
            body["where"] = {"status": {"in": ["New", "InProgress"]}}
        taken = self._call("POST", f"/queues/{self._queue}/take", body)
        if taken.status_code != 200:
            time.sleep(PAUSE)
            return
        item = taken.json()
        resource, fence = item["id"], item["fence"]
        self._note("take", resource, fence)
        if is_dated and self._random.random() < 0.2:
            time.sleep(LOCK_SECONDS * self._random.uniform(1, 2.5))  # sleeps through the end of its lock
        if self._call("PATCH", f"/resources/{resource}?fence={fence}", {"value": fence}).is_success:
            self._note("change", resource, fence)
        done = {"status": "Processed", "result": fence, "fence": fence}
        if self._call("POST", f"/resources/{resource}/finish", done).is_success:
            self._note("finish", resource, fence)

    def _call(self, method: str, path: str, body: Any) -> httpx.Response:
        header = {"Botswain-Run": self._job}
        return self._try(
            lambda: self._robot.http.request(method, f"/api/v1{path}", json=body, headers=header)
        )

    def _try(self, call: Any) -> httpx.Response:
        """Once: an answer that is lost stays lost, as with a robot that was cut off."""
        try:
            answer: httpx.Response = call()
        except httpx.TransportError:
            time.sleep(PAUSE)
            return httpx.Response(599)
        if answer.status_code >= 500:
            time.sleep(PAUSE)
            if answer.status_code != 503:
                self._note("mistake", answer.text[:300], answer.status_code)
        return answer

    def _ask(self, call: Any) -> dict[str, Any]:
        answer = self._try(call)
        return dict(answer.json()) if answer.status_code == 200 else {"ConsumeJobErrorCode": -1}

    def _note(self, what: str, resource: str, fence: int) -> None:
        line = {"what": what, "resource": resource, "run": self._job, "fence": fence}
        self._testimony.write(json.dumps(line) + "\n")


def main() -> None:
    url, queue, path, *guids = sys.argv[1:]
    with open(path, "a", buffering=1, encoding="utf-8") as testimony:  # a line is whole, or is not there
        threads = [
            threading.Thread(target=Worker(url, queue, guid, testimony).work, daemon=True) for guid in guids
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
