"""``stichotrope history``: what each commit took, kept; where it changed for good, found."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from handmade import block, single
from stichotrope import ResultsFormatError
from stichotrope.cli import main
from stichotrope.report.history import render
from stichotrope.results import ProcessorTime, ProfilerResults
from stichotrope.statistics import (
    KEPT,
    HistoryEntry,
    Runs,
    add_to_history,
    changes,
    comparable,
    entry_of,
    load_history,
)

pytestmark = pytest.mark.unit

KEY = ("track 0", "price", 0)


def run(ns: float, *, host: str = "here", name: str = "price") -> ProfilerResults:
    """A run whose passes of one block take about a time."""
    results = single(block(name, tuple(round(ns * (1 + place / 100)) for place in range(5))))
    results.metadata["host"] = host
    return results


def entry(commit: str, ns: float, *, host: str = "here", name: str = "price") -> HistoryEntry:
    """The entry of one such run, of the day that the commit's number says."""
    day = f"2026-01-{int(commit, 16) % 28 + 1:02}T00:00:00+00:00"
    return entry_of(Runs.of_results(run(ns, host=host, name=name)), commit, day)


def series(
    levels: list[tuple[int, float]], spread: float = 0.01, seed: int = 1
) -> list[HistoryEntry]:
    """Entries at levels, each for so many commits, which vary by a share."""
    rng = random.Random(seed)
    times = [level * (1 + rng.gauss(0, spread)) for count, level in levels for _ in range(count)]
    return [
        HistoryEntry(
            f"{number:07x}",
            f"2026-01-{number % 28 + 1:02}T00:00:00+00:00",
            1,
            {"host": "here"},
            {KEY: dict.fromkeys(KEPT[:3], round(1.02 * ns))},
        )
        for number, ns in enumerate(times)
    ]


# The file


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    """An entry for each commit, with the medians of its runs, in order; the file is only added to."""
    path = tmp_path / "history.jsonl"
    first = entry_of(Runs.of_results(run(1000), run(3000), run(1100)), "abc", "2026-01-01T00:00:00")
    add_to_history(path, first)
    before = path.read_bytes()
    add_to_history(path, entry("1", 2000))
    assert path.read_bytes().startswith(before)
    entries = load_history(path)
    assert entries[0] == first
    assert (entries[0].commit, entries[0].runs, entries[0].facts) == ("abc", 3, {"host": "here"})
    assert entries[0].blocks[KEY] == {"typical": 1122, "mean": 1122, "self-mean": 1122}
    assert entries[1].blocks[KEY]["mean"] == 2040


def test_blocks_of_one_name_are_told_apart_by_their_order(tmp_path: Path) -> None:
    """In file and line, whatever the lines are."""
    results = single(block("query", (5,), line=90), block("query", (7,), idx=1, line=10))
    found = entry_of(Runs.of_results(results), "1", "")
    assert {key[2]: figures["mean"] for key, figures in found.blocks.items()} == {0: 7, 1: 5}


def test_processor_time_is_kept_where_it_was_taken(tmp_path: Path) -> None:
    """Entries of before go on beside it; a figure that the last entry has not is a sentence."""
    found = run(1000)
    (timed,) = found.tracks[0].blocks
    timed.cpu = ProcessorTime(5, 500, 500, timed.sum_time_ns, 100, 100)
    path = tmp_path / "h.jsonl"
    entries = [entry("1", 1000), entry_of(Runs.of_results(found), "2", "2026-01-02T00:00:00+00:00")]
    for one in entries:
        add_to_history(path, one)
    assert load_history(path) == entries
    assert [one.blocks[KEY].get("cpu") for one in entries] == [None, 100]
    assert list(changes(entries, "cpu")) == [KEY]
    assert changes(entries[:1], "cpu") == {}
    page = Page(render(entries, {KEY: []}, "cpu"))
    assert page.elements.count("circle") == 1


def test_results_of_another_program_are_refused(tmp_path: Path) -> None:
    """With no block in common with the last entry, they belong to another history."""
    path = tmp_path / "history.jsonl"
    add_to_history(path, entry("1", 1000))
    with pytest.raises(
        ValueError, match=r"results of another program: .* has 'price'; they have 'x'"
    ):
        add_to_history(path, entry("2", 1000, name="x"))
    assert len(load_history(path)) == 1


def test_runs_of_several_machines_are_no_entry() -> None:
    """Their median would be of neither."""
    with pytest.raises(ValueError, match="several machines, clocks or Pythons; add each"):
        entry_of(Runs.of_results(run(1), run(1, host="there")), "1", "")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("no json", "line 2: not JSON, or cut short"),
        ("[1]", 'line 2: no entry of a history; it would have "format": "stichotrope-history"'),
        ('{"format": "stichotrope"}', "line 2: no entry of a history"),
        ('{"format": "stichotrope-history", "format_version": 9}', "line 2: format_version is 9; "),
        ('{"format": "stichotrope-history", "format_version": 1}', 'line 2: field "facts" is miss'),
    ],
)
def test_what_is_no_history_is_refused_by_its_line(
    tmp_path: Path, line: str, sentence: str
) -> None:
    """Also when something is to be added: nothing is lost in what is not ours."""
    path = tmp_path / "history.jsonl"
    add_to_history(path, entry("1", 1000))
    path.write_text(path.read_text() + line + "\n")
    for act in (lambda: load_history(path), lambda: add_to_history(path, entry("2", 1000))):
        with pytest.raises(ResultsFormatError, match=re.escape(sentence)):
            act()


# Changes


def test_a_change_for_good_is_found_where_it_is() -> None:
    """Ten percent up after twenty commits, and down again after forty."""
    pytest.importorskip("ruptures")
    entries = series([(20, 1000), (20, 1100), (12, 1000)])
    up, down = changes(entries)[KEY]
    assert (up.place, up.commit) == (20, "0000014")
    assert down.place == 40
    assert up.ratio == pytest.approx(1.1, rel=0.01)
    assert down.ratio == pytest.approx(1 / 1.1, rel=0.01)
    assert up.old_ns == pytest.approx(1020, rel=0.01)
    assert max(up.p_value, down.p_value) < 1e-6


def test_an_outlier_is_no_level() -> None:
    """Two commits that were measured on a bad day."""
    pytest.importorskip("ruptures")
    entries = series([(20, 1000), (2, 1600), (20, 1000)])
    assert changes(entries) == {KEY: []}


def test_a_change_within_the_threshold_does_not_count() -> None:
    """However clear it is; a smaller threshold shows it."""
    pytest.importorskip("ruptures")
    entries = series([(20, 1000), (20, 1015)], spread=0.001)
    assert changes(entries)[KEY] == []
    assert [one.place for one in changes(entries, threshold=0.005)[KEY]] == [20]


def test_histories_without_a_change_have_none() -> None:
    """Of two hundred, at most two show one: so seldom is any called."""
    pytest.importorskip("ruptures")
    alarms = sum(
        bool(changes(series([(40, 1000)], 0.03, seed), threshold=0.0)[KEY]) for seed in range(200)
    )
    assert alarms <= 2


def test_a_few_entries_show_nothing() -> None:
    """It takes three on each side."""
    assert changes(series([(2, 1000), (3, 2000)])) == {KEY: []}
    assert changes([]) == {}


def test_only_what_was_made_alike_is_compared() -> None:
    """As the last entry was."""
    entries = [entry("1", 1000), entry("2", 5000, host="there"), entry("3", 1000)]
    assert [one.commit for one in comparable(entries)] == ["1", "3"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"figure": "min"}, "figure must be one of typical, mean, self-mean, cpu, not 'min'"),
        ({"confidence": 1.0}, "a confidence must lie between 0 and 1"),
        ({"threshold": 1.0}, "a threshold is a share from 0 on and below 1, not 1.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], sentence: str) -> None:
    """With what would do."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        changes(series([(8, 1000)]), **options)


# The page


class Page(HTMLParser):
    """Which elements a page has, and what its text says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_a_line_for_each_block() -> None:
    """A point for each entry that has it, with what it was; names from the program are text."""
    entries = [entry("1", 1000, name="<b>"), entry("2", 1500, name="<b>")]
    page = render(entries, {key: [] for key in entries[-1].blocks})
    parsed = Page(page)
    assert (parsed.elements.count("polyline"), parsed.elements.count("circle")) == (1, 2)
    assert not {"b", "script"} & {*parsed.elements}
    assert "<b>" in parsed.text
    assert "1, 2026-01-02: 1.02 µs" in parsed.text
    assert "2, 2026-01-03: 1.53 µs" in parsed.text


def test_the_page_marks_changes() -> None:
    """By how much, since which commit, and where in the line."""
    pytest.importorskip("ruptures")
    entries = series([(20, 1000), (20, 1200)])
    page = render(entries, changes(entries))
    assert page.count('<line class="slower"') == 1
    assert re.search(r'class="slower">\+(19|20|21)\.\d %</span> 0000014', page)


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a run."""
    monkeypatch.chdir(tmp_path)
    run(1000).save("run.json")
    return tmp_path


def history(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    status = main(["history", *arguments])
    return (status, *capfd.readouterr())


def test_add_takes_the_commit_that_is_checked_out(folder, capfd):
    """Or the one that is given."""
    for words in ("init -q", "-c user.name=a -c user.email=a@b commit -q --allow-empty -m x"):
        subprocess.run(["git", *words.split()], check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    commit = done.stdout.strip()
    status, out, err = history(capfd, "add", "h.jsonl", "run.json", "run.json")
    assert (status, err) == (0, "")
    assert out == f"{commit[:12]}: 2 runs, 1 block added to h.jsonl\n"
    status, out, err = history(capfd, "add", "h.jsonl", "run.json", "--commit", "HEAD")
    assert (status, out) == (0, f"{commit[:12]}: 1 run, 1 block added to h.jsonl\n")
    assert f"h.jsonl has 2 entries of {commit[:12]} now" in err
    assert [one.commit for one in load_history("h.jsonl")] == [commit, commit]
    assert json.loads(Path("h.jsonl").read_text().splitlines()[0])["format_version"] == 1


@pytest.mark.parametrize("name", ["deadbeef", "--all", "HEAD:x", "x\0y"])
def test_a_commit_that_is_not_there_is_not_added(folder, capfd, name):
    """Where git can tell; elsewhere any name will do but an empty one."""
    if "\0" not in name:
        status, out, err = history(capfd, "add", "h.jsonl", "run.json", f"--commit={name}")
        assert (status, err) == (0, "")
        assert load_history("h.jsonl")[0].commit == name
        Path("h.jsonl").unlink()
    subprocess.run(["git", "init", "-q"], check=True)
    status, out, err = history(capfd, "add", "h.jsonl", "run.json", f"--commit={name}")
    assert status != 0
    assert out == ""
    assert "git knows no commit" in err
    assert not Path("h.jsonl").exists()
    assert "--commit takes the name" in history(capfd, "add", "h", "run.json", "--commit=")[2]


def written(entries: list[HistoryEntry]) -> None:
    """Writes a history."""
    for one in entries:
        add_to_history("h.jsonl", one)


def test_check_fails_on_a_block_that_became_slower(folder, capfd):
    """Lately: what is older was seen, and what became faster is told and no failure."""
    pytest.importorskip("ruptures")
    written(series([(20, 1000), (8, 1200)]))
    status, out, err = history(capfd, "check", "h.jsonl")
    assert (status, err) == (1, "")
    assert re.fullmatch(
        r"slower  track 0: price  1\.0\d µs → 1\.2\d µs  \+(19|20|21)\.\d % since 0000014\n", out
    )
    status, out, _ = history(capfd, "check", "h.jsonl", "--last", "7")
    assert (status, out) == (0, "no block has become slower for good within the last 7 entries\n")
    written(series([(1, 900), (9, 900)]))
    status, out, _ = history(capfd, "check", "h.jsonl")
    assert status == 0
    assert out.startswith("faster  track 0: price  ")


def test_show_has_a_line_for_each_block(folder, capfd):
    """With its bars from the least to the greatest, and its last change."""
    pytest.importorskip("ruptures")
    written(series([(20, 1000), (8, 2000)], spread=0.001))
    status, out, err = history(capfd, "show", "h.jsonl")
    assert (status, err) == (0, "")
    row = out.splitlines()[1]
    assert row.startswith("track 0  price  ")
    assert "0000014" in row
    assert row.endswith("▁" * 20 + "█" * 8)
    assert "what a typical pass takes, of each block; 28 entries, 2026-01-01 to 2026-01-28" in out


def test_show_writes_a_page(folder, capfd):
    """And says what is left out."""
    pytest.importorskip("ruptures")
    written([entry("1", 1000, host="there"), *series([(3, 1000)])])
    status, out, err = history(capfd, "show", "h.jsonl", "-o", "h.html")
    assert (status, out) == (0, "")
    assert err == (
        "stichotrope history: 1 entries of another machine, clock or Python are left out\n"
    )
    assert Path("h.html").read_text(encoding="utf-8").count("<circle") == 3


def test_without_ruptures_lines_are_shown_and_checks_refused(folder, capfd, monkeypatch):
    """The package that finds changes is an extra."""
    monkeypatch.setitem(sys.modules, "ruptures", None)
    written(series([(8, 1000)]))
    sentence = (
        "changes in a history are found by ruptures, which is not installed: pip install stich"
    )
    status, out, err = history(capfd, "show", "h.jsonl")
    assert (status, "price" in out) == (0, True)
    assert sentence in err
    status, out, err = history(capfd, "check", "h.jsonl")
    assert (status, out) == (2, "")
    assert sentence in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "h.jsonl"), "add takes the results of one run or more"),
        (("add", "h.jsonl", "no.json", "--commit", "x"), "no.json: No such file or directory"),
        (("add", "run.json", "run.json", "--commit", "x"), "run.json, line 1: "),
        (("show", "no.jsonl"), "no.jsonl: No such file or directory"),
        (("show", "empty.jsonl"), "empty.jsonl has no entry yet; `stichotrope history add` makes"),
        (("show", "h.jsonl", "run.json"), "show takes a history and no results"),
        (("check", "h.jsonl", "-o", "x"), "-o is for show; check writes no page"),
        (("check", "h.jsonl", "--last", "0"), "--last takes 1 or more, not 0"),
        (("check", "h.jsonl", "--since", "ffff"), "there is no commit ffff in h.jsonl; last: 0000"),
        (("show", "h.jsonl", "--figure", "cpu"), "no block of the last entry has cpu time"),
        (("show", "h.jsonl", "--figure", "p99"), "--figure takes one of typical, mean, self-mean"),
    ],
)
def test_a_mistake_is_a_sentence(folder, capfd, arguments, sentence):
    """And status 2, which is not that of a block that became slower."""
    Path("empty.jsonl").write_text("")
    written(series([(8, 1000)]))
    status, out, err = history(capfd, *arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_add_without_a_commit_is_a_sentence(folder, capfd, monkeypatch):
    """Where git knows of none."""
    monkeypatch.setenv("GIT_DIR", str(folder / "nowhere"))
    status, _, err = history(capfd, "add", "h.jsonl", "run.json")
    assert status == 2
    assert "git says of no commit that it is checked out here; give one with --commit" in err
