"""The robot protocol's three operations in the OpenAPI document. Their errors have the protocol's fields."""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string", "maxLength": 255}
GUID = {
    "type": "string",
    "format": "uuid",
    "description": "Braces, blanks and capital letters are tolerated.",
}
SHORT = {"type": "string", "maxLength": 64}
WAIT = {
    "type": "number",
    "minimum": 0,
    "maximum": 55,
    "description": "Seconds to hold the answer of a Ready robot until there is a job for it.",
}
DOCUMENT = {"type": "string", "description": "A JSON document in a string, or the text null."}

HEARTBEAT = {
    "type": "object",
    "required": ["Status"],
    "properties": {
        "RobotGUID": GUID,
        "Machine": TEXT,
        "IP": SHORT,
        "MAC": SHORT,
        "Status": {"type": "integer", "minimum": 0, "maximum": 3},
        "JobGUID": {"type": "string", "maxLength": 64},
        "JobName": {"type": "string", "maxLength": 1000},
        "JobType": {"type": "integer", "const": 1},
        "Wait": WAIT,
    },
}
CONSUME = {
    "type": "object",
    "properties": {"RobotGUID": GUID, "Status": {"type": "integer", "minimum": 0, "maximum": 3}},
}
UPDATE = {
    "type": "object",
    "required": ["guid", "status"],
    "properties": {
        "guid": GUID,
        "status": {"type": "integer", "minimum": 0, "maximum": 8},
        "result": {"description": "Any JSON value; in a form, its text."},
        "error": {"type": "string", "maxLength": 100_000},
        "progress": {"type": "integer", "minimum": 0, "maximum": 100},
        "fence": {"type": "integer", "minimum": 0, "maximum": 2**40},
    },
}


def _answer(required: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": required}


SCHEMAS: dict[str, Any] = {
    "HeartbeatAnswer": _answer(
        {
            "HeartbeatErrorCode": {"type": "integer", "enum": [0, 10, 20, 101]},
            "ErrorText": {"type": "string"},
            "HasNewJob": {"type": "integer", "enum": [0, 1]},
        }
    ),
    "ConsumeAnswer": _answer(
        {
            "ConsumeJobErrorCode": {"type": "integer", "enum": [0, 101, 102]},
            "ErrorText": {"type": "string"},
            "Job": DOCUMENT,
            "ProcessVersion": DOCUMENT,
            "Task": DOCUMENT,
        }
    ),
    "UpdateAnswer": _answer(
        {
            "guid": {"type": ["string", "null"]},
            "status": {"type": ["integer", "null"]},
            "ErrorText": {"type": "string"},
        }
    ),
}


def _operation(name: str, summary: str, body: dict[str, Any], answer: str, more: list[int]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{answer}"}
    own = {"content": {"application/json": {"schema": schema}}}
    problem = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    statuses = [400, 401, 403, 429, 503, *more]
    responses: dict[str, Any] = {
        str(status): {"description": "Refused; ErrorText says why.", **own} for status in sorted(statuses)
    }
    responses["200"] = {"description": "The protocol's answer, its code included.", **own}
    responses["413"] = {
        "description": "The body is too large.",
        "content": own["content"] | problem["content"],
    }
    return {
        "operationId": name,
        "tags": ["robot protocol"],
        "summary": summary,
        "security": [{"robot": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {"schema": body},
                "application/json": {"schema": body},
            },
        },
        "responses": responses,
    }


PATHS: dict[str, Any] = {
    "/api/robot/heartbeat": {
        "post": _operation(
            "heartbeat", "Say that the robot lives, and hear of orders", HEARTBEAT, "HeartbeatAnswer", []
        )
    },
    "/api/robot/consumeNextJob": {
        "post": _operation("consume_next_job", "Take the next job", CONSUME, "ConsumeAnswer", [409])
    },
    "/api/job/update": {
        "put": _operation("update_job", "Report the state of a job", UPDATE, "UpdateAnswer", [404, 409])
    },
}
