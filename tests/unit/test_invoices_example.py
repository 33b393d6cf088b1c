"""The invoices example: its input, the process that robots run, the ledger, and the way to the cluster."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import importlib
import importlib.util
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

EXAMPLE = Path(__file__).parents[2] / "examples" / "invoices"
MODULES = ("checks", "invoice", "labels", "message", "rows", "values", "run", "ledger", "cluster", "generate")


class BusinessError(Exception):
    """As the agent's library has it."""


class Item:
    """An item of a queue in a script's hands, and how it ended."""

    def __init__(self, reference: str, value: Any) -> None:
        self.reference, self.value = reference, value
        self.result: Any = None
        self.error = ""

    def __enter__(self) -> Item:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self.error = str(error or "")
        return isinstance(error, BusinessError)

    def finish(self, result: Any) -> None:
        self.result = json.loads(json.dumps(result))  # as it comes back from the server


def _robot() -> ModuleType:
    """What the robot's agent gives to a script, with what the script said to it in `said`."""
    robot = ModuleType("botswain")
    robot.said = []  # type: ignore[attr-defined]
    robot.items = []  # type: ignore[attr-defined]
    robot.arguments = {}  # type: ignore[attr-defined]
    robot.result = robot.said.append  # type: ignore[attr-defined]
    robot.log = lambda message, **fields: None  # type: ignore[attr-defined]
    robot.BusinessError = BusinessError  # type: ignore[attr-defined]
    taking = SimpleNamespace(take=lambda **how: iter(robot.items))
    robot.queue = lambda name: taking  # type: ignore[attr-defined]
    return robot


def _load() -> SimpleNamespace:
    """The example's modules, whose plain names are kept out of everybody else's way."""
    robot, kept = _robot(), {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    paths = [str(EXAMPLE / "process"), str(EXAMPLE)]
    sys.path[:0] = paths
    sys.modules["botswain"] = robot
    try:
        modules = {name: importlib.import_module(name) for name in MODULES}
        modules["languages"] = importlib.import_module("generator.languages")
        modules["suppliers"] = importlib.import_module("generator.suppliers")
        spec = importlib.util.spec_from_file_location("invoices_main", EXAMPLE / "process" / "__main__.py")
        assert spec and spec.loader
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
    finally:
        sys.path[:] = [path for path in sys.path if path not in paths]
        for name in [*MODULES, "botswain", *(name for name in sys.modules if name.startswith("generator"))]:
            sys.modules.pop(name, None)
        sys.modules.update(kept)
    return SimpleNamespace(robot=robot, script=script, **modules)


example = _load()
TRUTH: dict[str, Any] = json.loads((EXAMPLE / "truth.json").read_text("utf-8"))


SUPPLIERS = [{"name": "A", "vat_id": "DE1", "iban": "X"}]


def work_off(items: list[Item], suppliers: Any) -> list[Item]:
    """The items after a run of the script, which says how many it has read."""
    example.script.arguments = {"suppliers": suppliers}
    example.robot.items[:] = items
    example.robot.said.clear()
    example.script.main()
    assert example.robot.said == [{"messages": sum(item.error == "" for item in items)}]
    return items


def process(raw: bytes) -> dict[str, Any]:
    value = {"content": base64.b64encode(raw).decode()}
    (item,) = work_off([Item("1.eml", value)], SUPPLIERS)
    return dict(item.result)


@pytest.fixture(scope="module")
def results() -> list[dict[str, Any]]:
    items = [Item(one["reference"], one["value"]) for one in example.run.messages(EXAMPLE)]
    job = example.run.job(EXAMPLE, version=1)
    return [item.result for item in work_off(items, job["arguments"]["suppliers"])]


def test_generating_again_gives_the_same_bytes() -> None:
    on_disk = {
        path.relative_to(EXAMPLE).as_posix(): path.read_bytes()
        for path in (*EXAMPLE.glob("inbox/*.eml"), EXAMPLE / "suppliers.csv", EXAMPLE / "truth.json")
    }
    assert example.generate.files() == on_disk
    assert len(on_disk) == 62


def test_the_inbox_has_every_encoding_that_the_suppliers_use() -> None:
    mail = b"\n".join(path.read_bytes() for path in EXAMPLE.glob("inbox/*.eml"))
    for supplier in (*example.suppliers.KNOWN, *example.suppliers.UNKNOWN):
        for channel in supplier.channels:
            marks = {"utf-16": "\r\n\r\n//5", "utf-8-sig": "\r\n\r\n77u/"}  # in base64, nothing declared
            mark = marks.get(channel.charset, f"charset={channel.charset}\r\n")
            assert mark.encode() in mail, channel


def test_every_message_has_its_outcome(results: list[dict[str, Any]]) -> None:
    books = example.ledger.build(results)
    assert example.run.differences(books, TRUTH) == []


def test_every_invoice_is_read_to_the_cent(results: list[dict[str, Any]]) -> None:
    for result in results:
        expected = TRUTH["messages"][result["message"]]["invoice"]
        found = result["invoice"]
        assert (found and {field: found[field] for field in expected or {}}) == expected, result["message"]


def test_every_sender_and_subject_is_legible(results: list[dict[str, Any]]) -> None:
    booked = [result for result in results if result["outcome"] == "booked"]
    for result in booked:
        assert result["invoice"]["supplier"] in result["sender"]
    (odd,) = [result for result in booked if result["invoice"]["number"] not in result["subject"]]
    assert (
        "\ufffd" in odd["subject"]
    )  # raw bytes of an unnamed charset: marked as lost, and no reason to fail


def test_a_summary_that_is_wrong_by_a_cent_is_a_difference(results: list[dict[str, Any]]) -> None:
    booked = next(one for one in results if one["outcome"] == "booked")
    dearer = f"{Decimal(booked['invoice']['net']) + Decimal('0.01'):.2f}"
    others = [one for one in results if one is not booked]
    books = example.ledger.build([*others, {**booked, "invoice": {**booked["invoice"], "net": dearer}}])
    assert [line.split(":")[0] for line in example.run.differences(books, TRUTH)] == [
        "summary, net",
        "summary, suppliers",
        "summary, vat_rates",
    ]
    missing = example.run.differences(example.ledger.build(others), TRUTH)
    assert missing[0] == f"{booked['message']}: expected booked, found no result"


@pytest.mark.parametrize("module", sorted((EXAMPLE / "process").glob("*.py")), ids=lambda path: path.name)
def test_the_process_needs_only_python_3_9_and_its_standard_library(module: Path) -> None:
    tree = ast.parse(module.read_text("utf-8"), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    own = {path.stem for path in module.parent.glob("*.py")} | {"botswain"}
    assert imported <= own | sys.stdlib_module_names


@pytest.mark.parametrize("value", [None, {}, {"content": 1}, {"content": "ä"}, {"content": "%%%"}])
def test_an_item_without_a_message_is_a_business_error_and_the_next_is_read(value: Any) -> None:
    good = {"content": base64.b64encode(b"\r\n").decode()}
    wrong, right = work_off([Item("1.eml", value), Item("2.eml", good)], SUPPLIERS)
    assert wrong.error.startswith("value.content") and wrong.result is None
    assert right.result["outcome"] == "review"


@pytest.mark.parametrize(
    ("suppliers", "named"),
    [
        ({}, "arguments.suppliers"),
        ([{"name": "A", "vat_id": 1, "iban": "X"}], "arguments.suppliers[0]"),
    ],
)
def test_a_job_with_wrong_arguments_fails_and_names_the_argument(suppliers: Any, named: str) -> None:
    with pytest.raises(SystemExit) as ended:
        work_off([], suppliers)
    assert str(ended.value).startswith(named)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message of the inbox with a few bytes changed, or cut short: what bad gateways make of mail."""
    raw = bytearray(draw(st.sampled_from(sorted(EXAMPLE.glob("inbox/*.eml")))).read_bytes())
    for place in draw(st.lists(st.integers(0, len(raw) - 1), max_size=12)):
        raw[place] = draw(st.integers(0, 255))
    return bytes(raw[: draw(st.integers(0, len(raw)))]) if draw(st.booleans()) else bytes(raw)


@given(raw=st.one_of(damaged(), st.binary(max_size=200)))
def test_no_message_makes_a_run_fail(raw: bytes) -> None:
    result = process(raw)
    assert (result["outcome"] == "booked") == (not result["problems"])
    assert result["invoice"] or result["problems"]


HEADS = b"MIME-Version: 1.0\r\nContent-Type: "


@pytest.mark.parametrize(
    "raw",
    [
        HEADS + b"text/html\r\n\r\n<table><tr><td>a<![x<td>b</table>",
        HEADS + b"text/plain; charset=idna\r\n\r\n\xff",
        HEADS + b"text/plain; charset=hex\r\n\r\nff",
        HEADS + b'text/csv; charset="utf-8\x00"\r\n\r\na;b',
        HEADS + b"text/csv\r\n\r\na;\x00;b\r\n" + b"x" * 140_000,
        HEADS + b"text/plain\r\n\r\nNIP: 1\r\nInvoice number: 1\r\nVAT rate: 9\r\nTotal due: " + b"9" * 5000,
        b"Subject: =?utf-8?B?////?=\r\nFrom: =?x?q?=ff?= <@>\r\n\r\n",
    ],
)
def test_mail_that_trips_parsers_goes_to_a_person(raw: bytes) -> None:
    result = process(raw)
    assert result["outcome"] == "review"
    assert result["problems"][0]["code"] in ("no_invoice", "broken_encoding", "unreadable_field")


CENTS = st.integers(-(10**11), 10**11)
STYLES = [
    (",", "."),
    (".", ","),
    ("\u00a0", ","),
    ("\u202f", ","),
    (" ", ","),
    ("'", "."),
    ("", ","),
    ("", "."),
]


@given(
    cents=CENTS,
    style=st.sampled_from(STYLES),
    frame=st.sampled_from(["{}", "{} €", "€{}", "EUR {}", "{} EUR"]),
)
def test_an_amount_is_read_as_it_was_written(cents: int, style: tuple[str, str], frame: str) -> None:
    value = Decimal(cents) / 100
    grouping, point = style
    written = f"{value:,.2f}".translate({ord(","): grouping, ord("."): point})
    assert example.values.amount(frame.format(written)) == value


@pytest.mark.parametrize(
    "written", ["1.234", "1,234", "1,23,45", "1.234.56", "USD 5.00", "12 34,00", "", "½", "٣"]
)
def test_an_amount_in_doubt_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        example.values.amount(written)


@given(
    when=st.dates(date(1990, 1, 1), date(2099, 12, 31)),
    language=st.sampled_from(["ENGLISH", "GERMAN", "FRENCH", "SPANISH", "RUSSIAN", "POLISH"]),
)
def test_a_date_is_read_as_it_was_written_in_each_language(when: date, language: str) -> None:
    spoken = getattr(example.languages, language)
    for pattern in spoken.dates:
        assert example.values.day(spoken.day(when, pattern)) == when


@pytest.mark.parametrize(
    "written", ["03/25/2026", "31.02.2026", "soon", "2026-13-01", "14 March", "1 May 2 June 2026"]
)
def test_a_date_in_doubt_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        example.values.day(written)


def _result(message: str, number: str, vat_id: str = "DE1", problems: tuple[str, ...] = ()) -> dict[str, Any]:
    invoice = {"number": number, "vat_id": vat_id, "supplier": "A", "date": "2026-01-02", "currency": "EUR"}
    return {
        "message": message,
        "sender": "a@example",
        "subject": "Invoice",
        "invoice": {**invoice, "net": "100.00", "vat_rate": "19", "vat": "19.00", "gross": "119.00"},
        "problems": [{"code": code, "text": "Why."} for code in problems],
        "outcome": "review" if problems else "booked",
    }


def test_the_later_message_is_the_duplicate_whatever_the_order_of_the_results() -> None:
    results = [
        _result("3.eml", "re 1"),
        _result("2.eml", "RE 1", vat_id="FR2"),
        _result("1.eml", "RE1", problems=("vat_mismatch",)),
    ]
    books = example.ledger.build(results)
    assert [one["message"] for one in books.booked] == ["2.eml"]
    assert [[problem["code"] for problem in one["problems"]] for one in books.review] == [
        ["vat_mismatch"],
        ["duplicate_number"],
    ]
    assert "1.eml" in books.review[1]["problems"][0]["text"]
    assert results[0]["problems"] == []


def test_the_ledger_is_written_for_spreadsheets_and_runs_no_formula(tmp_path: Path) -> None:
    booked = _result("1.eml", "=1+1")
    booked["invoice"] |= {"net": "-100.00", "supplier": "Żuraw"}
    looked_at = {**_result("2.eml", "R2", problems=("no_invoice",)), "invoice": None, "subject": "@SUM(A1)"}
    example.ledger.build([booked, looked_at]).write(tmp_path / "new")

    assert (tmp_path / "new/ledger.csv").read_bytes().startswith(b"\xef\xbb\xbfmessage,")
    (entry,) = _rows(tmp_path / "new/ledger.csv")
    assert (entry["number"], entry["net"], entry["supplier"]) == ("'=1+1", "-100.00", "Żuraw")
    (entry,) = _rows(tmp_path / "new/review.csv")
    assert (entry["subject"], entry["reason"], entry["number"]) == ("'@SUM(A1)", "Why.", "")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_package_is_the_same_bytes_whenever_and_wherever_it_is_made(tmp_path: Path) -> None:
    package = example.run.package(EXAMPLE / "process")
    for path in (EXAMPLE / "process").glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/rows.pyc").write_bytes(b"x")
    assert example.run.package(tmp_path) == package
    names = zipfile.ZipFile(io.BytesIO(package)).namelist()
    assert names == sorted(names) and "__main__.py" in names and all(name.endswith(".py") for name in names)


class Server:
    """As much of the REST API as run.py uses, in memory; the jobs end one poll after they were asked for."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.versions: list[dict[str, Any]] | None = None
        self.jobs: list[dict[str, Any]] = []
        self.queue: dict[str, dict[str, Any]] | None = None
        self.polls = 0
        self.away = 0
        self.runs: Callable[[], None] = self.run

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.away:
            self.away -= 1
            return httpx.Response(503, json={"title": "The database is away"})
        assert request.method != "POST" or request.headers["Idempotency-Key"]
        return self.answer(request.method, request.url.path, request)

    def answer(self, method: str, path: str, request: httpx.Request) -> httpx.Response:
        if path.endswith("/versions"):
            return self.publish(method, request)
        if path == "/api/v1/processes":
            self.versions = []
            return httpx.Response(201, json={"name": "invoices"})
        if "/queues" in path or "/resources" in path:
            return self.answer_of_queue(method, path, request)
        if method == "POST":
            asked = json.loads(request.content)
            start = len(self.jobs)
            self.jobs += [{"guid": f"g{start + n}", **job, **DONE} for n, job in enumerate(asked)]
            return httpx.Response(201, json={"items": self.jobs[start:]})
        self.polls += 1
        if self.polls > 1:
            self.runs()
        page = self.page(self.jobs[::-1], request)
        if self.polls == 1:
            page["items"] = [{**job, "status": 8, "state": "In_Progress"} for job in page["items"]]
        return httpx.Response(200, json=page)

    def answer_of_queue(self, method: str, path: str, request: httpx.Request) -> httpx.Response:
        if method == "DELETE":
            assert self.queue is not None
            del self.queue[path.rsplit("/", 1)[1]]
            return httpx.Response(204)
        if path == "/api/v1/queues":
            self.queue = {}
            return httpx.Response(201, json={})
        if self.queue is None:
            return httpx.Response(404, json={"title": "No such queue"})
        if not path.endswith("/resources"):
            counts = dict.fromkeys(("New", "InProgress", "Processed", "Error"), 0)
            for one in self.queue.values():
                counts[one["status"]] += 1
            return httpx.Response(200, json={"counts": counts})
        if method == "GET":
            return httpx.Response(200, json=self.page(list(self.queue.values()), request))
        for new in json.loads(request.content):
            assert new["reference"] not in {one["reference"] for one in self.queue.values()}
            number = f"{len(self.requests)}-{new['reference']}"
            self.queue[number] = {"id": number, "status": "New", "result": None, "error": None, **new}
        return httpx.Response(201, json={"items": list(self.queue.values())})

    def page(self, items: list[dict[str, Any]], request: httpx.Request) -> dict[str, Any]:
        start, limit = int(request.url.params.get("cursor", 0)), int(request.url.params["limit"])
        following = str(start + limit) if start + limit < len(items) else None
        return {"items": items[start : start + limit], "next": following}

    def publish(self, method: str, request: httpx.Request) -> httpx.Response:
        if self.versions is None:
            return httpx.Response(404, json={"title": "No such process"})
        if method == "GET":
            return httpx.Response(200, json={"items": self.versions, "next": None})
        start = request.content.index(b"PK\x03\x04")
        package = request.content[start : request.content.rindex(b"\r\n--")]
        version = {"version": len(self.versions) + 1, "sha256": hashlib.sha256(package).hexdigest()}
        self.versions.append(version)
        return httpx.Response(201, json=version)

    def run(self) -> None:
        """The robots work the queue off."""
        for one in (self.queue or {}).values():
            if one["status"] == "New":
                (item,) = work_off(
                    [Item(one["reference"], one["value"])], self.jobs[-1]["arguments"]["suppliers"]
                )
                one.update(status="Processed", result=item.result)


DONE = {"status": 4, "state": "Success", "error": None, "result": {"messages": 20}}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def cluster(server: Server) -> Iterator[Any]:
    with httpx.Client(base_url="http://server", transport=httpx.MockTransport(server)) as http:
        yield example.cluster.Cluster(http, pause=0)


def _work(cluster: Any, out: Path) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120)
    status = example.run.work(cluster, out, 5, console)
    return status, console.file.getvalue()  # type: ignore[attr-defined]


def test_the_whole_example(server: Server, cluster: Any, tmp_path: Path) -> None:
    status, printed = _work(cluster, tmp_path)
    assert status == 0
    assert "matches the generator's truth: yes" in printed
    assert "60/60" in printed
    assert len(_rows(tmp_path / "ledger.csv")) == 37
    assert len(_rows(tmp_path / "review.csv")) == 23
    assert [job["arguments"].keys() for job in server.jobs] == [{"suppliers"}] * 3
    assert len(server.requests) == 15


def test_a_second_run_publishes_nothing_and_finds_its_own_jobs(
    server: Server, cluster: Any, tmp_path: Path
) -> None:
    _work(cluster, tmp_path)
    server.requests.clear()
    assert _work(cluster, tmp_path)[0] == 0
    assert server.versions is not None and len(server.versions) == 1
    methods = [request.method for request in server.requests]
    assert (methods.count("POST"), methods.count("DELETE")) == (2, 60)  # items and jobs; the earlier items
    assert server.queue is not None and len(server.queue) == 60


def test_a_changed_process_becomes_a_new_version(cluster: Any) -> None:
    published = [
        cluster.publish("invoices", package) for package in (b"PK\x03\x04a", b"PK\x03\x04b", b"PK\x03\x04b")
    ]
    assert published == [1, 2, 2]


def test_a_failed_message_is_named_and_the_exit_status_says_so(
    server: Server, cluster: Any, tmp_path: Path
) -> None:
    def third_fails() -> None:
        server.run()
        for one in (server.queue or {}).values():
            if one["reference"] == "003.eml":
                one.update(status="Error", error="KeyError: 'vat'", result=None)

    server.runs = third_fails
    status, printed = _work(cluster, tmp_path)
    assert status == 1
    assert "message 003.eml: Error. KeyError: 'vat'" in printed
    assert "matches the generator's truth: no" in printed
    assert "003.eml: expected booked, found no result" in printed


def test_a_failed_job_is_named_and_the_exit_status_says_so(
    server: Server, cluster: Any, tmp_path: Path
) -> None:
    def one_is_lost() -> None:
        server.run()
        server.jobs[1].update(status=5, state="Failed", error="robot lost")

    server.runs = one_is_lost
    status, printed = _work(cluster, tmp_path)
    assert status == 1
    assert "job g1: Failed. robot lost" in printed
    assert "matches the generator's truth: yes" in printed


def test_a_repeated_post_has_the_same_key_and_the_same_bytes(server: Server, cluster: Any) -> None:
    server.versions, server.away = [], 2
    cluster.submit([])
    cluster.publish("invoices", b"PK\x03\x04")
    posts = [request for request in server.requests if request.url.path == "/api/v1/jobs"]
    assert len(posts) == 3
    assert len({(post.headers["Idempotency-Key"], post.content) for post in posts}) == 1


def test_waiting_ends_and_says_what_to_ask(server: Server, cluster: Any) -> None:
    server.jobs = [{"guid": "g1", "status": 1, "state": "Pending"}]
    server.queue, server.runs = {}, lambda: None
    with pytest.raises(example.cluster.RefusedError, match=r"1 of 1 jobs .* GET /api/v1/jobs/g1/explain"):
        list(cluster.follow("invoices", ["g1"], "invoices", seconds=0))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            httpx.Response(403, json={"title": "Forbidden", "detail": "A viewer creates no jobs"}),
            "403 Forbidden: A v",
        ),
        (httpx.Response(502, text="<html>"), "502 Bad Gateway"),
        (httpx.Response(200, text="<html>"), "not JSON"),
    ],
)
def test_a_refusal_is_one_sentence(answer: httpx.Response, said: str) -> None:
    http = httpx.Client(base_url="http://server", transport=httpx.MockTransport(lambda request: answer))
    with pytest.raises(example.cluster.RefusedError, match=said):
        example.cluster.Cluster(http, pause=0).submit([{}])


def test_a_missing_token_is_said_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BOTSWAIN_TOKEN", raising=False)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    assert example.run.main() == 2
    assert "BOTSWAIN_TOKEN is not set" in capsys.readouterr().err
