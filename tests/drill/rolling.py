"""All nodes are restarted one after the other, again and again, under load: nobody tries more than twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from secrets import token_hex

import httpx

from tests.acceptance.cluster import Part, eventually
from tests.drill.ground import Ground, ground
from tests.drill.judgement import judge
from tests.drill.load import GROUP
from tests.drill.member import Member
from tests.drill.options import Options
from tests.drill.report import Finding, Progress, at_least, none_of
from tests.servers.ports import free_port

NAME = "rolling"
START_SECONDS = 180.0  # a busy machine takes its time, and that is not what is judged


def run(options: Options) -> Iterator[Finding]:
    with ground(2 if options.is_short else 4) as made:
        made.start_members()
        replicas = [made.cluster.parts["api"], made.cluster.start_replica("api-2", free_port())]
        eventually(lambda: serves(replicas[1]), "the second replica serves", START_SECONDS)
        clients = [_Client(made, replicas, number) for number in range(4)]
        for client in clients:
            client.start()
        progress, rounds = Progress(NAME, options.restarts), 0
        end = time.monotonic() + options.limit
        while rounds < options.restarts and time.monotonic() < end:
            for replica in replicas:
                _restart_replica(replica)
            for member in made.members:
                _restart_member(member)
            rounds += 1
            progress.tell(rounds, requests=sum(client.requests for client in clients))
        for client in clients:
            client.finish()
            made.load.accepted += client.accepted
        yield at_least(NAME, "rolling restarts of all nodes", rounds, options.restarts)
        yield Finding(NAME, "requests", sum(client.requests for client in clients))
        yield Finding(NAME, "requests repeated once", sum(client.repeated for client in clients))
        failed = [failure for client in clients for failure in client.failures]
        yield none_of(NAME, "requests failed beyond one retry", failed)
        yield from judge(NAME, made, options)


def serves(replica: Part) -> bool:
    try:
        return httpx.get(f"{address(replica)}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def address(replica: Part) -> str:
    return f"http://127.0.0.1:{replica.environment['BOTSWAIN_PORT']}"


def _restart_replica(replica: Part) -> None:
    replica.terminate()
    replica.exit_status()
    replica.start()
    eventually(lambda: serves(replica), f"{replica.name} serves again", START_SECONDS)


def _restart_member(member: Member) -> None:
    member.terminate()
    eventually(lambda: not member.is_alive, f"scheduler-{member.number} has ended", START_SECONDS)
    member.start()
    eventually(lambda: member.is_at_work, f"scheduler-{member.number} is at work again", START_SECONDS)


class _Client(threading.Thread):
    """Asks for a job and reads it, at one replica, and once more at the other where that fails."""

    def __init__(self, made: Ground, replicas: Sequence[Part], number: int) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._replicas, self._at = [address(replica) for replica in replicas], number % len(replicas)
        self._process = made.load.process
        self._http = httpx.Client(
            verify=False, headers={"Authorization": f"Bearer {made.cluster.token}"}, timeout=30
        )
        self._done = threading.Event()
        self.requests = self.repeated = 0
        self.accepted: list[str] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._done.wait(0.05):
            body = {"process": self._process, "group": GROUP}
            created = self._ask("POST", "/api/v1/jobs", json=body, headers={"Idempotency-Key": token_hex(16)})
            if created is not None:
                guid = str(created.json()["guid"])
                self.accepted.append(guid)
                self._ask("GET", f"/api/v1/jobs/{guid}")

    def finish(self) -> None:
        self._done.set()
        self.join(60)

    def _ask(self, method: str, path: str, **options: object) -> httpx.Response | None:
        self.requests += 1
        told: list[str] = []
        for _ in range(2):
            answer = self._try(method, self._replicas[self._at] + path, **options)
            if isinstance(answer, httpx.Response):
                self.repeated += len(told)
                return answer
            told.append(answer)
            self._at = (self._at + 1) % len(self._replicas)
        self.failures.append(f"{method} {path}: {told}")
        return None

    def _try(self, method: str, url: str, **options: object) -> httpx.Response | str:
        try:
            answer = self._http.request(method, url, **options)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            return repr(error)
        return answer if answer.status_code < 400 else f"{answer.status_code} {answer.text[:200]}"
