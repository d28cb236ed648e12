"""The benchmark of the timeline: every case runs, no pass is lost, and the figures are those of the times."""

from __future__ import annotations

import json

import pytest

from benchmarks import timeline

pytestmark = [pytest.mark.integration, pytest.mark.extended]


def test_a_short_look_measures_every_case_and_a_dump(tmp_path, capsys):
    """With each pass of the dump in its file, and every figure from the values that are stored."""
    path = tmp_path / "run.json"
    timeline.main(["--quick", "--output", str(path)])
    stored = json.loads(path.read_text())["subjects"][timeline.SUBJECT]
    assert {"anonymous", "timeline", "inline_timeline", "call_timeline"} <= {*stored["cases"]}
    assert {len(case["elapsed_ns"]) for case in stored["cases"].values()} == {timeline.QUICK_ROUNDS}
    assert stored["dump"]["events"] == timeline.QUICK_EVENTS
    assert len(stored["dump"]["seconds"]) == timeline.QUICK_DUMPS
    said = capsys.readouterr().out
    for figure in [*timeline.limits(stored), *timeline.figures(stored)]:
        assert figure.name in said
