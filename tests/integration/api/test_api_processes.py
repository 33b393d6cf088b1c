"""Processes and their versions over REST v1."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import pytest
from flask import Flask

from tests.integration.api.conftest import Caller, publish

PROCESSES = "/api/v1/processes"


def archive(**entries: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, text in entries.items():
            made.writestr(name.replace("_DOT_", "."), text)
    return out.getvalue()


def upload(caller: Caller, process: str, data: bytes, name: str = "main.py", **texts: str) -> Any:
    content = {"package": (io.BytesIO(data), name), **texts}
    return caller("POST", f"{PROCESSES}/{process}/versions", data=content)


def test_a_process_grows_versions_that_never_change(admin: Caller) -> None:
    made = admin.post(PROCESSES, {"name": "Счета", "description": "reads invoices"})
    assert made.status_code == 201
    assert (made.json["newest_version"], made.json["description"]) == (None, "reads invoices")
    scripts = [b"print(1)\n", b"print(2)\n", b"print(1)\n"]
    for number, script in enumerate(scripts, 1):
        version = publish(admin, "Счета", script)
        assert (version["version"], version["process"], version["entry"]) == (number, "Счета", "main.py")
        assert (version["sha256"], version["size"]) == (hashlib.sha256(script).hexdigest(), len(script))
    assert [one["version"] for one in admin.get(f"{PROCESSES}/Счета/versions").json["items"]] == [3, 2, 1]
    assert admin.get(f"{PROCESSES}/{made.json['id']}").json["newest_version"] == 3
    for number, script in enumerate(scripts, 1):
        package = admin.get(f"{PROCESSES}/Счета/versions/{number}/package")
        assert package.data == script
        same = {"If-None-Match": package.headers["ETag"]}
        assert admin("GET", f"{PROCESSES}/Счета/versions/{number}/package", headers=same).status_code == 304
    assert admin.get(f"{PROCESSES}/Счета/versions/4").status_code == 404
    assert admin.post(PROCESSES, {"name": "Счета"}).status_code == 409


def test_a_zip_names_the_script_to_run(admin: Caller) -> None:
    admin.post(PROCESSES, {"name": "p"})
    data = archive(__main___DOT_py="print(1)", other_DOT_py="print(2)")
    assert upload(admin, "p", data, "p.zip").json["entry"] == "__main__.py"
    assert upload(admin, "p", data, "p.zip", entry="other.py").json["entry"] == "other.py"
    refused = upload(admin, "p", data, "p.zip", entry="missing.py")
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "entry")


def test_a_package_of_many_chunks_comes_back_whole(admin: Caller, parts: Any) -> None:
    admin.post(PROCESSES, {"name": "p"})
    line = b"# " + b"x" * 97 + b"\n"
    data = line * (parts.config.max_package_bytes // len(line))
    assert len(data) > 7 * 1024 * 1024
    assert upload(admin, "p", data).status_code == 201
    assert admin.get(f"{PROCESSES}/p/versions/1/package").data == data


BAD_PACKAGES: list[Any] = [
    ("main.py", b"", "package"),
    ("main.py", b"def (:\n", "package"),
    ("main.txt", b"print(1)", "package"),
    ("p.zip", b"not a zip", "package"),
    ("p.zip", archive(**{"../evil.py": "x", "__main__.py": "x"}), "package"),
    ("p.zip", archive(**{"/etc/evil.py": "x", "__main__.py": "x"}), "package"),
    ("p.zip", archive(**{"other.py": "x"}), "entry"),
]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_bad_package_is_refused(admin: Caller, subtests: pytest.Subtests) -> None:
    admin.post(PROCESSES, {"name": "p"})
    for name, data, field in BAD_PACKAGES:
        with subtests.test(name=name):
            answer = upload(admin, "p", data, name)
            assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, field)
            assert admin.get(f"{PROCESSES}/p").json["newest_version"] is None


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_an_upload_is_a_form_with_one_file(admin: Caller, app: Flask) -> None:
    admin.post(PROCESSES, {"name": "p"})
    path = f"{PROCESSES}/p/versions"
    assert admin.post(path, {"package": "x"}).status_code == 415
    assert admin("POST", path, data=b"x").status_code == 415
    missing = admin("POST", path, data={"other": (io.BytesIO(b"x"), "x.py")})
    assert (missing.status_code, missing.json["errors"][0]["field"]) == (400, "other")
    text = admin("POST", path, data={"package": "print(1)"}, content_type="multipart/form-data")
    assert (text.status_code, text.json["errors"][0]["field"]) == (400, "package")
    broken = admin("POST", path, data=b"--x\r\ngarbage", content_type="multipart/form-data; boundary=x")
    assert broken.status_code == 400
    assert upload(admin, "missing", b"print(1)").status_code == 404


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_package_beyond_the_limit_is_refused(admin: Caller, parts: Any) -> None:
    admin.post(PROCESSES, {"name": "p"})
    limit = parts.config.max_package_bytes
    for size in (limit + 1, limit + 1024 * 1024):
        answer = upload(admin, "p", b"#" * size)
        assert (answer.status_code, answer.json["code"]) == (413, "too_large")
        assert str(limit) in answer.json["detail"]
    assert upload(admin, "p", b"#" * limit).status_code == 201
