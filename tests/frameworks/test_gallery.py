"""Frameworks make of marked functions what they make of bare ones: make frameworks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frameworks.gallery import all_cases

HERE = Path(__file__).parent

CASES = all_cases()

pytestmark = pytest.mark.frameworks


@pytest.mark.parametrize("name", CASES)
def test_marked_it_is_as_bare_and_recorded(name: str) -> None:
    """The same comes out, and every call is in the report. In a process of its own: frameworks keep what they were given."""
    case = CASES[name]
    for module in case.needs:
        pytest.importorskip(module)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", HERE / "gallery.py", name],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(HERE.parent)},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["marked"] == told["bare"]
    if case.hits is not None:
        assert told["hits"] == case.hits
