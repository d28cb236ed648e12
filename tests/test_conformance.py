"""The conformance programs: each runs through without a tool, and our own column has no wrong cell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tools.conformance import judge, page, run  # noqa: E402
from tools.conformance.adapters import TOOLS, of_timeline  # noqa: E402
from tools.conformance.cases import load  # noqa: E402

pytestmark = pytest.mark.integration

CASES = load()
STORED = ROOT / "docs" / "conformance.json"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_stichotrope_is_right_in_every_row(case: Any) -> None:
    """Counts, threads and checks are exact, times are the program's own, and it ends as without."""
    reason = run.cannot_run(case)
    if reason is not None:
        pytest.skip(reason)
    cell = run.run(case, "stichotrope")
    assert (cell["verdict"], cell.get("wrong"), cell.get("reason")) == ("right", [], None)
    assert cell["figures"] or case.id == "introspection"


def test_the_page_is_that_of_the_stored_run() -> None:
    """Nothing in it is typed."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert page.render(stored) == (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert [one["id"] for one in stored["cases"]] == list(CASES)
    assert list(stored["tools"]) == list(TOOLS)


def test_our_column_of_the_stored_run_is_right_in_every_row() -> None:
    """On the Python and the machine that it was made on, every program ran."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    ours = {one: cells["stichotrope"]["verdict"] for one, cells in stored["cells"].items()}
    assert ours == dict.fromkeys(CASES, "right")


def told(**figures: Any) -> dict[str, dict[str, Any]]:
    """What a program says of its one name."""
    empty = {"hits": 1, "time": 100, "active": None, "ran": None, "threads": 1}
    return {"f": {**empty, **figures}}


@pytest.mark.parametrize(
    ("truth", "found", "verdict", "wrong"),
    [
        (told(), {"f": {"hits": 1, "time": 100}}, "right", []),
        (told(), {"f": {"hits": 1, "time": 115}}, "right", []),
        (told(), {}, "not recorded", []),
        (told(), {"f": {"hits": None, "time": 90}}, "right", []),
        (told(), {"f": {"hits": 2, "time": 100}}, "wrong", ["f: hits 2 instead of 1"]),
        (told(active=50), {"f": {"hits": 1, "time": 50}}, "right", []),
        (told(active=50), {"f": {"hits": 1, "time": 100}}, "right", []),
        (told(active=50), {"f": {"hits": 1, "time": 100, "active": 50}}, "right", []),
        (told(ran=50), {"f": {"hits": 1, "time": 50}}, "right", []),
        (
            told(time=10**8),
            {"f": {"hits": 1, "time": 8 * 10**7}},
            "wrong",
            ["f: time 80.0 ms instead of 100.0 ms"],
        ),
        (
            told(time=10**8, active=5 * 10**7),
            {"f": {"hits": 1, "time": 10**8, "active": 10**8}},
            "wrong",
            ["f: active 100.0 ms instead of 50.0 ms"],
        ),
        (
            told(time=10**8, active=5 * 10**7),
            {"f": {"hits": 1, "time": 5 * 10**7, "active": 5 * 10**7}},
            "wrong",
            ["f: time 50.0 ms instead of 100.0 ms (from the first resume to the end)"],
        ),
        (
            {**told(), "g": told()["f"]},
            {"f": {"hits": 1, "time": 100}},
            "wrong",
            ["g: not recorded"],
        ),
    ],
)
def test_a_verdict_is_computed_figure_by_figure(
    truth: Any, found: Any, verdict: str, wrong: list[str]
) -> None:
    """A count that differs, or a time that differs by more than the ratio, is wrong, and named."""
    cell = judge.judge(truth, found, {}, per_thread=False)
    assert (cell["verdict"], cell["wrong"]) == (verdict, wrong)


def test_threads_and_checks_are_judged_too() -> None:
    """The number of threads only where the row asks for it; a sentence that does not hold always."""
    found: Any = {"f": {"hits": 1, "time": 100, "threads": 2}}
    assert judge.judge(told(), found, {}, per_thread=False)["verdict"] == "right"
    assert judge.judge(told(), found, {}, per_thread=True)["wrong"] == ["f: threads 2 instead of 1"]
    assert judge.judge(told(), found, {"it is so": False}, per_thread=False)["wrong"] == [
        "not so: it is so"
    ]


def test_the_time_of_a_timeline_is_what_its_events_cover(tmp_path: Path) -> None:
    """Nested events of one name count once, those of two threads add up."""
    event = {"ph": "X", "name": "f", "pid": 1}
    events = [
        {**event, "tid": 1, "ts": 0.0, "dur": 10.0},
        {**event, "tid": 1, "ts": 2.0, "dur": 3.0},
        {**event, "tid": 1, "ts": 20.0, "dur": 1.0},
        {**event, "tid": 2, "ts": 5.0, "dur": 4.0},
        {"ph": "B", "name": "f", "pid": 1, "tid": 1, "ts": 30.0},
    ]
    path = tmp_path / "timeline.json"
    path.write_text(json.dumps({"traceEvents": events}))
    assert of_timeline(path) == {"f": {"hits": 4, "time": 15_000, "threads": 2}}


def test_a_program_that_fails_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell says how the process ended."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    failing = next(iter(CASES.values()))._replace(id="no such program")
    cell = run.run_once(failing, "stichotrope")
    assert cell == {"verdict": "crash", "reason": "status 1: KeyError: 'no such program'"}
