"""``stichotrope report`` shows saved results in each form, merged and reduced as asked."""

from __future__ import annotations

import json
import os
import pstats
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clihelp import environment, recorded_hits, stichotrope
from handmade import block, node, root, sample, single, thread, troubled
from stichotrope import ProfilerResults
from stichotrope.cli import main
from stichotrope.results import ProcessResults

pytestmark = pytest.mark.integration


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with one file of results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    sample().save("sample.json")
    return tmp_path


def report(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints when all goes well."""
    assert main(["report", *arguments]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    return out


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentence that the command says when something is wrong."""
    assert main(["report", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("stichotrope report: ")
    assert err.count("\n") == 1
    return err.removeprefix("stichotrope report: ").rstrip("\n")


# Forms


def test_a_profiler_that_recorded_nothing_is_left_out_beside_one_that_did(saved, capfd):
    """As the one of a run whose program has marks of its own; alone, it is shown."""
    os.makedirs("runs")
    sample().save("runs/a.json")
    ProfilerResults("runner").save("runs/b.json")
    assert report(capfd, "runs") == report(capfd, "sample.json")
    assert "Nothing was recorded" in report(capfd, "runs/b.json")


def test_a_table_is_what_is_printed_unless_told_otherwise(saved, capfd):
    """Without options, the report is the table that `print_results` prints."""
    text = report(capfd, "sample.json")
    assert text.startswith("census\n1.00 ms in blocks")
    assert re.findall(r"^Track \d  (\S+)", text, re.MULTILINE) == ["I/O", "parsing"]
    assert text == report(capfd, "sample.json", "--format", "table")


def test_the_tree_shows_what_led_to_what(saved, capfd):
    """``--format tree`` prints the call tree."""
    text = report(capfd, "sample.json", "--format", "tree")
    assert "└─ decode µ" in text
    rows = re.findall(r"^([└─ ]*[a-zµ ]+?)  ", text, re.MULTILINE)
    assert rows == ["parse", "read", "└─ decode µ"]


@pytest.fixture
def in_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProfilerResults:
    """What is in the only file of a folder to be in: passes that are open, failed or were cancelled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    troubled().save("troubled.json")
    return troubled()


@pytest.mark.parametrize("form", ["table", "tree"])
def test_what_failed_most_comes_first_when_asked_for(in_trouble, capfd, form):
    """``--sort errors`` and its kin, in both printed forms."""
    del in_trouble.tree.children[:]
    in_trouble.tree = root(*(node(one) for one in in_trouble.tracks[0].blocks))
    in_trouble.save("flat.json")
    for sort in ("errors", "cancelled", "concurrency"):
        text = report(capfd, "flat.json", "-f", form, "--sort", sort)
        assert re.findall(r"^(serve|handle) ", text, re.MULTILINE) == ["handle", "serve"], sort
    text = report(capfd, "flat.json", "-f", form)
    assert re.findall(r"^(serve|handle) ", text, re.MULTILINE) == ["serve", "handle"]


def test_files_are_merged_with_what_is_open_and_how_passes_ended(in_trouble, capfd):
    """Two files with the same give twice as many."""
    text = report(capfd, "troubled.json", "troubled.json", "-f", "json")
    whole = json.loads(text)
    totals = [whole[f"total_{name}"] for name in ("hits", "open", "errors", "cancelled")]
    assert totals == [8, 4, 4, 2]


def test_warnings_of_several_files_say_whose_they_are(tmp_path, monkeypatch, capfd):
    """Of each with a process that is known; the span is that of all."""
    monkeypatch.chdir(tmp_path)
    for pid in (7, 8):
        one = ProfilerResults(
            "app",
            single(block("a", (5,))).tracks,
            metadata={
                "process": pid,
                "host": "web",
                "start_ns": 1000 * pid,
                "duration_ns": 500,
                "warnings": [f"{pid} passes lost"],
            },
        )
        one.save(f"{pid}.json")
    single(block("a", (5,))).save("by-hand.json")
    found = json.loads(report(capfd, "7.json", "8.json", "by-hand.json", "-f", "json"))
    assert found["metadata"]["warnings"] == [
        "process 7 on web: 7 passes lost",
        "process 8 on web: 8 passes lost",
    ]
    assert (found["metadata"]["start_ns"], found["metadata"]["duration_ns"]) == (7000, 1500)


def test_a_part_keeps_what_is_open_and_how_passes_ended(in_trouble, capfd):
    """Paths that become one when others are left out are added up."""
    twice = single(block("a", (5,)), block("b", (6,), idx=1))
    inner = block("handle", (10, 20), idx=2, total_ns=20, now_open=2, errors=1, cancelled=1)
    outer = [node(one, node(inner)) for one in twice.tracks[0].blocks]
    twice.tree = root(*outer)
    twice.tracks[0].blocks.append(inner)
    twice.save("twice.json")
    found = json.loads(report(capfd, "twice.json", "-f", "json", "--match", "handle"))
    (kept,) = found["tracks"][0]["blocks"]
    assert (kept["open_count"], kept["error_count"], kept["cancelled_count"]) == (2, 1, 1)
    assert kept["concurrency"] == 1.5
    _, path = found["tree"]
    assert path["hit_count"] == 4
    assert (path["open_count"], path["error_count"], path["cancelled_count"]) == (4, 2, 2)
    assert (path["sum_time_ns"], path["total_time_ns"]) == (60, 40)


def test_results_of_which_no_pass_has_ended_are_results(in_trouble, capfd):
    """A file from within the first block is not dropped beside one with hits."""
    single(block("main", total_ns=70, now_open=1)).save("begun.json")
    single(block("main", (30,))).save("ended.json")
    text = report(capfd, "begun.json", "ended.json", "-f", "json")
    (main_,) = json.loads(text)["tracks"][0]["blocks"]
    assert (main_["hit_count"], main_["open_count"], main_["total_time_ns"]) == (1, 1, 100)
    assert re.search(r"^main +0 +1 +70 ns", report(capfd, "begun.json"), re.MULTILINE)


def test_the_saved_document_comes_out_as_it_went_in(saved, capfd):
    """``--format json`` gives what was saved."""
    text = report(capfd, "sample.json", "--format", "json")
    assert text == (saved / "sample.json").read_text(encoding="utf-8")


def test_the_forms_for_other_programs(saved, capfd):
    """CSV, collapsed stacks and speedscope are printed as their exports write them."""
    assert report(capfd, "sample.json", "-f", "csv").splitlines()[1].startswith("0,read,3,600,")
    stacks = report(capfd, "sample.json", "-f", "collapsed")
    assert re.search(r"^\S*read\S*;decode.* 250$", stacks, re.MULTILINE)
    assert "speedscope" in json.loads(report(capfd, "sample.json", "-f", "speedscope"))["$schema"]


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("out.html", "<!doctype html>"),
        ("out.json", '{"format": "stichotrope-results"'),
        ("out.speedscope.json", '{"$schema"'),
        ("out.csv", "Track,Block Name,"),
        ("out.wide.csv", "profiler,track_idx,track,"),
        ("out.txt", "census\n"),
        ("out", "census\n"),
    ],
)
def test_the_suffix_says_the_form(saved, capfd, name, beginning):
    """A file gets the form that its name says, or a table."""
    assert report(capfd, "sample.json", "-o", name) == ""
    text = (saved / name).read_text(encoding="utf-8")
    assert text.lower().replace(" ", "").startswith(beginning.lower().replace(" ", ""))


def test_a_file_for_pstats_opens_in_pstats(saved, capfd):
    """``-o out.pstats`` writes what the standard library's module reads."""
    assert report(capfd, "sample.json", "-o", "out.pstats") == ""
    stats = pstats.Stats(str(saved / "out.pstats"))
    assert stats.total_calls == 6  # type: ignore[attr-defined]


def test_the_format_counts_more_than_the_suffix(saved, capfd):
    """``--format`` is the form, whatever the file is called."""
    report(capfd, "sample.json", "-f", "csv", "-o", "out.json")
    assert (saved / "out.json").read_text(encoding="utf-8").startswith("Track,Block Name")


def test_a_file_for_pprof_is_known_by_its_suffix(saved, capfd):
    """``-o out.pb.gz`` is what ``-f pprof`` writes."""
    assert report(capfd, "sample.json", "-o", "out.pb.gz") == ""
    assert report(capfd, "sample.json", "-f", "pprof", "-o", "other") == ""
    assert (saved / "out.pb.gz").read_bytes() == (saved / "other").read_bytes()


FORMS_FOR_NO_TERMINAL = {"html": "out.html", "pprof": "out.pb.gz", "pstats": "out.prof"}


@pytest.mark.parametrize("form", FORMS_FOR_NO_TERMINAL)
def test_what_is_for_no_terminal_can_be_sent_to_a_file_or_a_pipe(saved, form):
    """``> FILE`` and ``| PROGRAM`` get the bytes that ``-o FILE`` gets."""
    name = FORMS_FOR_NO_TERMINAL[form]
    stichotrope("report", "sample.json", "-o", name, cwd=saved)
    command = [sys.executable, "-m", "stichotrope", "report", "sample.json", "-f", form]
    done = subprocess.run(command, cwd=saved, env=environment(), capture_output=True, check=True)
    assert (done.stdout, done.stderr) == ((saved / name).read_bytes(), b"")


@pytest.mark.parametrize("form", FORMS_FOR_NO_TERMINAL)
def test_what_is_for_no_terminal_is_refused_there(saved, capfd, monkeypatch, form):
    """One sentence, before anything is read."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    sentence = f"{form} is not for a terminal: give it a file, with -o FILE or > FILE"
    assert refused(capfd, "nowhere.json", "--format", form) == sentence


def test_a_suffix_that_no_form_has_is_refused(saved, capfd):
    """Nobody gets a text that is called a spreadsheet; where the form is said, any name will do."""
    sentence = refused(capfd, "sample.json", "-o", "out.xlsx")
    assert sentence.startswith("no form of report has the suffix .xlsx (they are .speedscope.json,")
    assert not (saved / "out.xlsx").exists()
    assert report(capfd, "sample.json", "-f", "csv", "-o", "out.xlsx") == ""


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX closes it")
@pytest.mark.parametrize(
    "command", [("report",), ("report", "-f", "html"), ("compare", "sample.json")]
)
def test_a_standard_output_that_is_closed_is_one_sentence(saved, command):
    """And status 2; not a traceback."""
    line = ["-m", "stichotrope", *command, "sample.json"]
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&-', "sh", sys.executable, *line],
        cwd=saved, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    sentence = f"stichotrope {command[0]}: standard output is closed\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence)


# What is shown of it


def test_blocks_are_sorted_and_limited(saved, capfd):
    """``--sort`` and ``--limit`` are those of the report."""
    text = report(capfd, "sample.json", "--sort", "name", "--limit", "1")
    assert "decode µ" in text
    assert "read" not in text.replace("thread", "")
    assert text.count("… and 1 more block") == 2


def test_colours_are_as_asked(saved, capfd):
    """``--color always`` colours what is no terminal, and ``never`` nothing."""
    assert "\x1b[" in report(capfd, "sample.json", "--color", "always")
    assert "\x1b[" not in report(capfd, "sample.json", "--color", "never")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--track", "1"), {"parsing": {"parse": 1, "never": 0}}),
        (("--track", "I/*"), {"I/O": {"read": 3, "decode µ": 2}}),
        (("--match", "[pr]*"), {"I/O": {"read": 3}, "parsing": {"parse": 1}}),
        (("--track", "0", "--track", "parsing", "--match", "read"), {"I/O": {"read": 3}}),
        (("--match", "decode ?"), {"I/O": {"decode µ": 2}}),
        (("--thread", "2"), {"parsing": {"parse": 1, "never": 0}}),
        (("--thread", "Main*"), {"I/O": {"read": 3, "decode µ": 2}}),
        (("--thread", "*", "--match", "read"), {"I/O": {"read": 3}}),
    ],
)
def test_only_what_is_asked_for_is_shown(saved, capfd, options, expected):
    """Tracks, blocks and threads are chosen by name, with wildcards, or by number."""
    report(capfd, "sample.json", *options, "-o", "part.json")
    assert recorded_hits(saved / "part.json") == expected


def test_shares_stay_those_of_the_whole(saved, capfd):
    """A part of the results is measured against all of them, and its numbers are dense again."""
    report(capfd, "sample.json", "--match", "decode*", "-o", "part.json")
    part = ProfilerResults.load("part.json")
    assert part.total_time_ns == 1_000_600
    assert [(one.block_idx, one.total_time_ns) for one in part.tracks[0].blocks] == [(0, 250)]
    (only,) = part.tree.children
    assert (only.name, only.block_idx, only.total_time_ns) == ("decode µ", 0, 250)
    assert [list(share.tracks) for share in part.threads] == [[0], []]


def test_what_is_below_a_hidden_block_moves_up(saved, capfd):
    """In the tree, a block that is left out gives its place to those below it, the same as one."""
    outer, hidden = block("outer", (100,)), block("hidden", (60,), idx=1, line=2)
    inner = block("inner", (20,), idx=2, line=3)
    found = single(outer, hidden, inner)
    found.tree = root(node(outer, node(hidden, node(inner)), node(inner)))
    found.save("nested.json")
    report(capfd, "nested.json", "--match", "[io]*", "-o", "part.json")
    (top,) = ProfilerResults.load("part.json").tree.children
    below = [(one.name, one.hit_count) for one in top.children]
    assert (top.name, below) == ("outer", [("inner", 2)])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--track", "io"), "no track is called io; there are 0 (I/O), 1 (parsing)"),
        (("--match", "reed"), "no block is called reed; did you mean read?"),
        (("--thread", "x"), "no thread is called x; there are 1 (MainThread), 2 (pool_0)"),
    ],
)
def test_what_is_not_there_cannot_be_chosen(saved, capfd, options, sentence):
    """A track, block or thread that there is not is refused, with those that there are."""
    assert refused(capfd, "sample.json", *options) == sentence


# Several files


def test_several_files_are_merged(saved, capfd):
    """The passes of all files of one profiler are counted together."""
    report(capfd, "sample.json", "sample.json", "-o", "both.json")
    assert recorded_hits(saved / "both.json") == {
        "I/O": {"read": 6, "decode µ": 4},
        "parsing": {"parse": 2, "never": 0},
    }


def test_different_profilers_are_shown_one_after_the_other(saved, capfd):
    """Profilers of different names keep their own tables, and in a file their own tracks."""
    single(block("read", (5,)), name="other").save("other.json")
    text = report(capfd, "sample.json", "other.json")
    assert re.findall(r"^(census|other)$", text, re.MULTILINE) == ["census", "other"]
    report(capfd, "sample.json", "other.json", "-o", "both.json")
    assert recorded_hits(saved / "both.json") == {
        "I/O": {"read": 3, "decode µ": 2},
        "parsing": {"parse": 1, "never": 0},
        "track 0": {"read": 1},
    }


def of_process(pid: int, name: str = "app") -> ProfilerResults:
    """What one process has gathered."""
    share = thread(1, block("work", (10,)))
    found = single(block("work", (10,)), name=name, threads=[share])
    found.processes = [ProcessResults("host", pid, f"i{pid}", pid, 100, 1, 10)]
    found.metadata.update(instance=f"i{pid}", process=pid, start_ns=pid, duration_ns=100)
    return found


def test_a_directory_is_what_its_processes_gathered(saved, capfd):
    """A directory's files are merged; metadata spans all processes."""
    (saved / "dir").mkdir()
    for pid in (1, 2):
        of_process(pid).save(f"dir/{pid}.stichotrope.json")
    of_process(3, "other").save("dir/3.stichotrope.json")
    text = report(capfd, "dir", "-f", "json", "--track", "0")
    assert json.loads(text)["profiler_name"] == "app + other"
    assert "2 processes" in report(capfd, "dir")
    (saved / "dir" / "3.stichotrope.json").unlink()
    document = json.loads(report(capfd, "dir", "-f", "json"))
    assert (document["metadata"]["start_ns"], document["metadata"]["duration_ns"]) == (1, 101)
    assert len(document["processes"]) == 2


def test_a_directory_may_hold_what_was_saved_as_for_compare(saved, capfd):
    """Saved files, and directories that were gathered in; what was gathered comes before both."""
    (saved / "dir" / "inner").mkdir(parents=True)
    of_process(1).save("dir/one.json")
    of_process(2).save("dir/inner/2.stichotrope.json")
    (saved / "dir" / "notes.txt").write_text("no results")
    assert "2 hits" in report(capfd, "dir")
    of_process(1).save("dir/1.stichotrope.json")
    assert "1 hit" in report(capfd, "dir")


def test_a_file_of_a_directory_that_cannot_be_read_is_left_out(saved, capfd):
    """What is broken in a directory is told, and the rest is shown."""
    (saved / "dir").mkdir()
    of_process(1).save("dir/1.stichotrope.json")
    (saved / "dir" / "2.stichotrope.json").write_text("{")
    assert main(["report", "dir"]) == 0
    out, err = capfd.readouterr()
    assert "1 hit" in out
    path = Path("dir") / "2.stichotrope.json"
    assert err.startswith(f"stichotrope: left out: {path}: ")


# What cannot be shown


def test_what_holds_no_results_is_refused(saved, capfd):
    """A file that is not there, is no results file, or is cut off, is one sentence; so for folders."""
    assert refused(capfd, "none.json") == "none.json: No such file or directory"
    (saved / "foreign.json").write_text("[1, 2]")
    assert refused(capfd, "sample.json", "foreign.json").startswith("foreign.json: ")
    text = (saved / "sample.json").read_text(encoding="utf-8")
    (saved / "cut.json").write_text(text[: len(text) // 2], encoding="utf-8")
    assert refused(capfd, "cut.json").startswith("cut.json: ")
    (saved / "empty").mkdir()
    expected = "results files, named *.stichotrope.json, *.stichotrope or *.json"
    assert refused(capfd, "empty") == f"empty should hold {expected}, but there are none"
    assert refused(capfd, "sample.json", "--limit", "0") == "limit must be 1 or more, not 0"
    where = saved / "no"
    sentence = f"no/out.html cannot be written: there is no directory {where}"
    assert refused(capfd, "sample.json", "-o", "no/out.html") == sentence


def test_a_reader_that_goes_away_is_no_error(saved):
    """Where nobody reads on, as behind ``head``, the command ends without a word."""
    blocks = [block(f"block {place}", (1,), idx=place, line=place) for place in range(3000)]
    single(*blocks).save("large.json")
    program = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'stichotrope', 'report', 'large.json']\n"
        "process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "process.stdout.readline(); process.stdout.close()\n"
        "print(process.stderr.read(), process.wait())\n"
    )
    done = stichotrope("run", "-q", "-c", program, cwd=saved)
    assert done.stdout == "b'' 141\n"
