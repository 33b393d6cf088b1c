"""What POST answers of a new job is what GET finds, though it is not read again."""

from __future__ import annotations

from tests.integration.api.conftest import Caller


def test_the_answer_to_a_new_job_is_the_job(admin: Caller, process: str) -> None:
    admin.post("/api/v1/robots", {"name": "Ann", "group": "clerks"})
    orders = [
        {"process": process},
        {
            "process": process,
            "version": 1,
            "robot": "Ann",
            "arguments": {"números": [1, 2.5, None, "ё"], "deep": {"er": True}},
            "priority": 7,
            "not_before": "2099-01-02T03:04:05.678901+03:00",
            "max_attempts": 3,
            "on_lost": "requeue",
            "max_run_seconds": 60,
        },
        {"process": process, "group": "clerks"},
    ]
    answer = admin.post("/api/v1/jobs", orders)
    alone = admin.post("/api/v1/jobs", orders[1])
    assert (answer.status_code, alone.status_code) == (201, 201)
    for made in [*answer.json["items"], alone.json]:
        assert made == admin.get(f"/api/v1/jobs/{made['guid']}").json


def test_a_process_named_by_its_id_is_answered_by_its_name(admin: Caller, process: str) -> None:
    found = admin.get(f"/api/v1/processes/{process}").json
    made = admin.post("/api/v1/jobs", {"process": found["id"].upper()}).json
    assert (made["process"], made["version"]) == (process, 1)
