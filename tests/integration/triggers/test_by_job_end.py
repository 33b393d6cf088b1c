"""Triggers by the end of another job: noted with the end, carried out once, and no endless chains."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select

from orchestrator.errors import Invalid
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import Status
from orchestrator.triggers import by_job_end, noted
from orchestrator.triggers import lifecycle as verbs
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.triggers.conftest import Triggers


class Chain:
    """A process whose ends start jobs of another."""

    def __init__(self, scene: Scene, triggers: Triggers) -> None:
        self.scene, self.triggers = scene, triggers
        by_job_end.accompany(scene.transactions)
        scene.publish("following")
        scene.process = "invoices"
        self.robot = scene.robot("r1")

    def trigger(self, process: str = "following", **more: Any) -> Any:
        settings = {"process": "invoices", **more.pop("settings", {})}
        return self.triggers.create(kind="job_end", process=process, settings=settings, **more)

    def run(self, status: Status = Status.SUCCESS, **told: Any) -> str:
        """A job of the watched process that a robot ends so."""
        guid = self.scene.in_progress(self.robot)
        self.scene.report(self.robot, guid, status, **told)
        return guid

    def carry_out(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for trigger_id in self.scene.run(noted.triggers):
            counts += self.scene.run(lambda tx, number=trigger_id: noted.carry_out(tx, number))
        return counts

    def latest(self) -> Any:
        return self.scene.job(self.triggers.firings()[-1].jobs[0])


@pytest.fixture
def chain(scene: Scene, triggers: Triggers) -> Chain:
    return Chain(scene, triggers)


def test_the_end_of_a_job_starts_another_with_its_result(chain: Chain) -> None:
    chain.trigger(arguments={"mode": "full"})
    guid = chain.run(result={"rows": 3})
    (firing,) = chain.triggers.firings()
    assert (firing.state, firing.due_key) == ("noted", f"job {guid}"), "with the end itself, and not later"
    assert (chain.carry_out(), chain.carry_out()) == ({"fired": 1}, {})
    job = chain.latest()
    told = {
        "guid": guid,
        "state": "Success",
        "result": {"rows": 3},
        "error": None,
        "reason": None,
        "chain": 1,
    }
    assert job.arguments == {"mode": "full", "ended_job": told}
    assert job.created_by == "trigger:nightly"


def test_only_the_states_that_are_named(chain: Chain) -> None:
    chain.trigger(settings={"states": ["Failed", "Stopped"]})
    chain.run()
    assert chain.carry_out() == {}
    chain.run(Status.FAILED, error="no paper")
    assert chain.carry_out() == {"fired": 1}
    told = chain.latest().arguments["ended_job"]
    assert (told["state"], told["error"], told["reason"]) == ("Failed", "no paper", "robot_reported")
    (waiting,) = chain.scene.create(1)
    chain.scene.stop(waiting)
    assert chain.carry_out() == {"fired": 1}, "cancelled before it began"
    assert chain.latest().arguments["ended_job"]["state"] == "Stopped"


def test_other_processes_disabled_triggers_and_other_tenants_are_not_concerned(chain: Chain) -> None:
    chain.trigger(enabled=False)
    chain.triggers.create("other", kind="job_end", settings={"process": "following"})
    chain.run()
    assert chain.triggers.firings() == [] == chain.triggers.firings("other")


def test_an_end_that_is_undone_leaves_no_firing(chain: Chain) -> None:
    chain.trigger()
    guid = chain.scene.in_progress(chain.robot)

    def ending(tx: Any) -> None:
        from orchestrator.jobs import report
        from orchestrator.jobs.report import Report

        report.report(tx, chain.robot, Report(guid, Status.SUCCESS))
        raise RuntimeError("the power fails before the commit")

    with pytest.raises(RuntimeError):
        chain.scene.run(ending)
    assert chain.triggers.firings() == []


def test_disabled_between_the_end_and_the_firing(chain: Chain) -> None:
    chain.trigger()
    chain.run()
    chain.scene.run(lambda tx: verbs.disable(tx, "nightly"))
    assert chain.carry_out() == {"skipped": 1}
    (firing,) = chain.triggers.firings()
    assert (firing.state, firing.reason, firing.is_open) == ("skipped", "disabled", False)


def test_overlap_goes_as_the_policy_says(chain: Chain) -> None:
    chain.trigger(on_overlap="skip", group="others")
    chain.run()
    assert chain.carry_out() == {"fired": 1}
    chain.run()
    assert chain.carry_out() == {"skipped": 1}


def test_a_trigger_that_starts_itself_stops_at_the_limit(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_job_end, "CHAIN_LIMIT", 3)
    chain.trigger(process="invoices")
    chain.run()
    for depth in range(1, 4):
        assert chain.carry_out() == {"fired": 1}
        chain.scene.dispatch()
        guid = chain.scene.consume(chain.robot).job.guid
        assert chain.scene.job(guid).arguments["ended_job"]["chain"] == depth
        chain.scene.report(chain.robot, guid, Status.IN_PROGRESS)
        chain.scene.report(chain.robot, guid, Status.SUCCESS)
    assert chain.carry_out() == {}
    last = chain.triggers.firings()[-1]
    assert (last.state, last.reason) == ("skipped", "chain_too_long")
    assert "last of 3 that followed each other" in last.detail


@on("mariadb", "postgres")
def test_two_masters_carry_it_out_once(chain: Chain) -> None:
    trigger = chain.trigger()
    chain.run()

    def carry_out(tx: Any) -> Counter[str]:
        return noted.carry_out(tx, trigger.id)

    assert chain.scene.one_after_the_other(carry_out, carry_out) == ({"fired": 1}, {}, "waited")
    assert len(chain.scene.run(lambda tx: tx.execute(select(Job.id)).all())) == 2, (
        "the one that ended, and one"
    )


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"process": "none"}, "settings.process"),
        ({"states": []}, "settings.states"),
        ({"states": ["Pending"]}, "settings.states.0"),
    ],
)
@on("sqlite")
def test_settings_that_cannot_be_are_refused(chain: Chain, settings: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        chain.trigger(settings=settings)
    assert [error.field for error in refused.value.errors] == [field]
