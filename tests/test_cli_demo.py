"""``stichotrope demo`` is a first look that needs nothing but the installation."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from clihelp import recorded_hits, stichotrope
from stichotrope.cli import main
from stichotrope.cli._demo_program import WORDS

pytestmark = pytest.mark.integration


def test_the_demo_shows_a_report_and_says_what_to_try(tmp_path: Path) -> None:
    """The table, where the page is, and three commands; the searches are as many as it makes."""
    done = stichotrope("demo", "-o", "there", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("demo\n")
    assert re.findall(r"^Track \d  (\S+)", done.stdout, re.MULTILINE) == [
        *("index", "files", "search", "demo"),
    ]
    there = tmp_path.resolve() / "there"
    assert f"The page is {there / 'demo.html'}\n" in done.stdout
    assert "The program is " in done.stdout
    tries = done.stdout.partition("\nTry:\n")[2].splitlines()
    assert [line.split()[:2] for line in tries] == [
        ["stichotrope", "report"],
        *[["stichotrope", "run"]] * 2,
    ]
    hits = recorded_hits(there / "demo.json")
    searches = len(WORDS) * 5
    assert hits["search"] == {"search": searches, "wait": searches, "rank": searches}
    assert hits["files"]["read"] == hits["index"]["count"] == hits["index"]["merge"] > 10
    assert "demo" in (there / "demo.html").read_text(encoding="utf-8")
    again = stichotrope("report", *tries[0].split()[2:], cwd=tmp_path)
    assert again.returncode == 0
    assert "main" in again.stdout


def test_the_page_is_opened_where_somebody_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal of a desktop, unless told not to."""
    opened: list[str] = []

    def note(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", note)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(["demo", "-o", str(tmp_path / "one")]) == 0
    assert opened == [(tmp_path / "one" / "demo.html").as_uri()]
    assert "The page is open in the browser: " in capsys.readouterr().out
    assert main(["demo", "-o", str(tmp_path / "two"), "--no-open"]) == 0
    assert len(opened) == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these have windows always")
def test_without_a_display_no_browser_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for the terminal would take the terminal."""
    monkeypatch.setattr("webbrowser.open", lambda address: pytest.fail(address))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["demo", "-o", str(tmp_path)]) == 0


def test_where_nothing_can_be_written_is_a_sentence(tmp_path: Path) -> None:
    """With the file that is in the way."""
    (tmp_path / "taken").write_text("")
    done = stichotrope("demo", "-o", "taken", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("stichotrope demo: ")
    assert "taken" in done.stderr
    assert done.stderr.count("\n") == 1
