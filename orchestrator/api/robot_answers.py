"""The robot protocol's answers: its fields, whatever the outcome."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote

from flask import Response

from orchestrator.jobs.consume import Consumed
from orchestrator.jobs.for_resources import Input
from orchestrator.jobs.states import Status

BLANK = 0  # the outcome is told by the HTTP status; the protocol has no code for it
CODE_NO_NEW_JOB = 102
UPDATE = "/api/job/update"
NULLS = {"Job": "null", "ProcessVersion": "null", "Task": "null", " Task ": "null"}


def answer(fields: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(fields, ensure_ascii=False), status, mimetype="application/json")


def heartbeat_fields(code: int, text: str, has_new_job: bool) -> dict[str, Any]:
    return {"HeartbeatErrorCode": code, "ErrorText": text, "HasNewJob": int(has_new_job)}


def heartbeat_answer(code: int, text: str, has_new_job: bool) -> Response:
    return answer(heartbeat_fields(code, text, has_new_job))


def consume_answer(consumed: Consumed, version: Any, host_url: str) -> Response:
    """Each of the three documents is JSON in a string: the document's client calls `json.loads` on it."""
    if consumed.job is None:
        nothing = {"ConsumeJobErrorCode": CODE_NO_NEW_JOB, "ErrorText": "There is no new job.", **NULLS}
        return answer(nothing)
    job, name = consumed.job, version.process_name
    package = f"api/v1/processes/{quote(name, safe='')}/versions/{version.version}/package"
    documents = {
        "Job": {
            "GUID": job.guid,
            "Name": name,
            "Status": Status.PENDING.value,
            "Priority": job.priority,
            "Attempt": job.attempt,
            "MaxAttempts": job.max_attempts,
            "MaxRunSeconds": job.max_run_seconds,
            "CreatedAt": _time(job.created_at),
            "Fence": consumed.fence,
        },
        "ProcessVersion": {
            "GUID": version.public_id,
            "Name": version.entry,
            "Version": version.version,
            "Process": name,
            "FileName": version.file_name,
            "PackageURL": host_url + package,
            "Sha256": version.sha256,
        },
        "Task": _task(job, consumed.input, name),
    }
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in documents.items()}
    # The document's own sample reads the key with blanks around it; a client copied from it works.
    texts[" Task "] = texts["Task"]
    return answer({"ConsumeJobErrorCode": 0, "ErrorText": "", **texts})


def _task(job: Any, given: Input | None, name: str) -> dict[str, Any]:
    """The run's input: the resource that the job was created for, or the job's own arguments."""
    if given is None:
        return {
            "GUID": job.guid,
            "Name": name,
            "QueueGUID": None,
            "Parameters": job.arguments,
        }
    return {
        "GUID": given.guid,
        "Name": given.name,
        "QueueGUID": given.queue_guid,
        "Parameters": given.parameters,
    }


def refusal(
    path: str,
    http_status: int,
    code: int,
    text: str,
    retry_after: int = 0,
    *,
    guid: str | None = None,
    status: int | None = None,
) -> Response:
    """A refusal in the form of the path's own answer; `guid` and `status` are those of a job/update's job."""
    if path == UPDATE:
        response = answer({"guid": guid, "status": status, "ErrorText": text}, http_status)
    elif path == "/api/robot/consumeNextJob":
        fields = {"ConsumeJobErrorCode": code or CODE_NO_NEW_JOB, "ErrorText": text, **NULLS}
        response = answer(fields, http_status)
    else:
        response = answer(heartbeat_fields(code, text, False), http_status)
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
