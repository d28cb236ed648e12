"""The benchmark against an older commit: two packages are told apart, and quotients are those of the times."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

import stichotrope
from benchmarks import against

pytestmark = [pytest.mark.integration, pytest.mark.extended]


def copied(folder: Path) -> Path:
    """A folder in which the installed package is."""
    shutil.copytree(Path(stichotrope.__file__).parent, folder / "stichotrope")
    return folder


def test_both_are_measured_in_turn(tmp_path):
    """Each pair of processes has a value for each round of each case, and for each start."""
    libraries = {side: copied(tmp_path / side) for side in ("then", "now")}
    stored = json.loads(json.dumps(against.measure(libraries, True, random.Random(1))))
    for case in stored["cases"].values():
        for side in libraries:
            assert [len(rounds) for rounds in case[side]] == [3] * 3
    assert {side: len(pairs) for side, pairs in stored["import_processor_ns"].items()} == {
        "then": 3,
        "now": 3,
        "bare": 3,
    }
    names = [figure.name for figure in against.figures(stored)]
    assert len(names) == len(against.CASES) + 1
    assert names[-1].startswith("import stichotrope")


def test_a_process_that_measures_another_package_is_refused(tmp_path):
    """The one that is installed would be taken where a folder has none."""
    refused = pytest.raises(RuntimeError, match="would be measured, and not what is in")
    with refused, against._worker(tmp_path):
        pass


def test_a_quotient_is_of_the_medians_less_what_is_subtracted():
    """Twice what it cost is 2; what is dearer throughout is not met."""

    def times(extra):
        return [[10 + extra] * 3] * 5

    cases = {
        name: {"title": name, "minus": "bare", "passes": 1, "then": times(4), "now": times(8)}
        for name in against.CASES
    }
    cases["bare"] = {"title": "bare", "minus": None, "passes": 1}
    cases["bare"] |= {"then": times(0), "now": times(0)}
    starts = {"bare": [[1]] * 5, "then": [[11]] * 5, "now": [[6]] * 5}
    found = against.figures({"cases": cases, "import_processor_ns": starts})
    assert [(figure.interval()[0], figure.verdict()) for figure in (found[0], found[-1])] == [
        (2.0, "not met"),
        (0.5, "met"),
    ]


def test_a_commit_that_is_none_is_named(capsys):
    """And nothing is measured."""
    assert against.main(["no-such-revision"]) == 2
    assert "no-such-revision" in capsys.readouterr().err
