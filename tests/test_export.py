"""Results as CSV and JSON, and files that are written whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from handmade import block, sample, single
from stichotrope._text.files import write_whole
from stichotrope.export import csv as csv_export
from stichotrope.export import export_csv, export_json
from stichotrope.export import json as json_export
from stichotrope.results import ProfilerResults, ProfileTrack
from stichotrope.results.frames import SCHEMAS

pytestmark = pytest.mark.unit

HEADER = (
    "Track,Block Name,Hit Count,Total Time (ns),Avg Time (ns),Min Time (ns),Max Time (ns),"
    "% Track,% Total\n"
)
posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions and pipes are POSIX's")


class Source:
    """Something that, like a profiler, has results to give."""

    def get_results(self) -> ProfilerResults:
        return sample()


# CSV


def test_csv_has_nine_columns_and_a_line_for_each_block() -> None:
    """The sample's figures, to the character."""
    assert csv_export.render(sample()) == (
        HEADER + "0,read,3,600,200.00,100,300,100.00,0.06\n"
        "0,decode µ,2,250,125.00,50,200,41.67,0.02\n"
        "1,parse,1,1000000,1000000.00,1000000,1000000,100.00,99.94\n"
        "1,never,0,0,0.00,0,0,0.00,0.00\n"
    )


def test_csv_of_no_blocks_is_the_header() -> None:
    """No division by a total of 0 takes place."""
    assert csv_export.render(ProfilerResults("empty", {0: ProfileTrack(0, "a")})) == HEADER


def test_csv_lists_tracks_and_blocks_by_number() -> None:
    """However the results were put together."""
    results = single(block("c", (1,), track=2), block("b", (1,), idx=1), block("a", (1,)))
    rows = list(csv.reader(io.StringIO(csv_export.render(results))))
    assert [row[:2] for row in rows[1:]] == [["0", "a"], ["0", "b"], ["2", "c"]]


@pytest.mark.parametrize(
    "name", ["a, b", 'say "x"', "two\nlines", "carriage\rreturn", " space ", "µ ✓ 读", "'quoted"]
)
def test_csv_quotes_names_so_that_they_can_be_read_back(name: str) -> None:
    """Also those with line ends in them."""
    text = csv_export.render(single(block(name, (1,))))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == 2
    assert rows[1][1] == name
    assert text.endswith("100.00,100.00\n")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_csv_does_not_let_a_name_be_a_formula(start: str) -> None:
    """An apostrophe in front makes any spreadsheet take it for text."""
    results = single(block(f"{start}HYPERLINK(1)", (1,)))
    rows = list(csv.reader(io.StringIO(csv_export.render(results), newline="")))
    assert rows[1][1] == f"'{start}HYPERLINK(1)"
    results.tracks[0].track_name = f"{start}1+1"
    (row,) = csv.DictReader(io.StringIO(csv_export.render(results, wide=True), newline=""))
    assert (row["track"], row["block"]) == (f"'{start}1+1", f"'{start}HYPERLINK(1)")


def test_csv_drives_no_terminal() -> None:
    """Whoever looks at the file with `cat` sees what the name has, and no more."""
    results = single(block("a\x1b[31m\x00\x9b2J\x7f", (1,)))
    rows = list(csv.reader(io.StringIO(csv_export.render(results), newline="")))
    assert rows[1][1] == r"a\x1b[31m\x00\x9b2J\x7f"


def test_csv_escapes_what_a_file_cannot_hold(tmp_path: Path) -> None:
    """A lone surrogate, which is how Python carries bytes that are not UTF-8."""
    export_csv(single(block("caf\udce9", (1,))), tmp_path / "odd.csv")
    assert "caf\\udce9" in (tmp_path / "odd.csv").read_text(encoding="utf-8")


def test_wide_csv_has_all_figures_and_places() -> None:
    """In the columns of data frames; the nine stay as they are for who reads them."""
    rows = list(csv.DictReader(io.StringIO(csv_export.render(sample(), wide=True))))
    assert list(rows[0]) == list(SCHEMAS["block"])
    assert [row["block"] for row in rows] == ["read", "decode µ", "parse", "never"]
    read = rows[0]
    assert (read["profiler"], read["track"], read["file"], read["line"]) == (
        "census",
        "I/O",
        "/srv/app/io.py",
        "10",
    )
    assert (read["self_time_ns"], read["p95_time_ns"], read["avg_time_ns"]) == (
        "350",
        "300",
        "200.0",
    )
    with pytest.raises(TypeError, match="wide must be True or False, not 1"):
        csv_export.render(sample(), wide=1)  # type: ignore[arg-type]


# JSON


def test_json_is_the_document_that_results_load_from() -> None:
    """One format, in one place."""
    assert json.loads(json_export.render(sample())) == sample().to_dict()


def test_json_names_the_figures_of_a_block() -> None:
    """The names of the contract, the derived figures among them."""
    document = json.loads(json_export.render(sample()))
    assert document["profiler_name"] == "census"
    assert (document["format"], document["format_version"]) == ("stichotrope-results", 4)
    track = document["tracks"][0]
    assert (track["track_idx"], track["track_name"], track["enabled"]) == (0, "I/O", True)
    assert (track["total_time_ns"], track["total_hits"]) == (600, 5)
    assert track["blocks"][1] == {
        "name": "decode µ",
        "file": "/srv/app/io.py",
        "line": 20,
        "block_idx": 1,
        "hit_count": 2,
        "error_count": 0,
        "cancelled_count": 0,
        "open_count": 0,
        "total_time_ns": 250,
        "avg_time_ns": 125.0,
        "min_time_ns": 50,
        "max_time_ns": 200,
        "self_time_ns": 250,
        "active_time_ns": 250,
        "stddev_time_ns": 75.0,
        "p50_time_ns": 50,
        "p95_time_ns": 200,
        "p99_time_ns": 200,
        "concurrency": 1.0,
        "sum_time_ns": 250,
        "sum_squares_ns2": 42_500,
        "byte_count": 0,
        "item_count": 0,
        "histogram": [[50, 1], [200, 1]],
    }


def test_json_is_indented_as_asked_with_a_pair_on_a_line() -> None:
    """A histogram of a hundred buckets is a hundred lines, not four hundred."""
    assert "\n            [100, 1],\n            [200, 1],\n" not in json_export.render(sample(), 1)
    assert "\n            [\n" not in json_export.render(sample())
    assert "\n            [100, 1],\n            [200, 1],\n" in json_export.render(sample())
    assert "\n" not in json_export.render(sample(), None)
    assert '\n"profiler_name": "census"' in json_export.render(sample(), 0)


def test_json_leaves_names_alone_that_look_like_its_own_pairs() -> None:
    """Only the layout is tidied, never a text."""
    name = "[\n  1,\n  2\n]"
    assert json.loads(single(block(name)).to_json())["tracks"][0]["blocks"][0]["name"] == name


def test_json_shows_names_as_they_are() -> None:
    """Readable letters, not escapes."""
    assert '"decode µ"' in json_export.render(sample())


@pytest.mark.parametrize(
    ("indent", "error"), [("  ", TypeError), (True, TypeError), (2.0, TypeError), (-1, ValueError)]
)
def test_json_refuses_an_indent_that_is_none(
    tmp_path: Path, indent: Any, error: type[Exception]
) -> None:
    """And writes nothing."""
    with pytest.raises(error, match="indent must be "):
        export_json(sample(), tmp_path / "out.json", indent)
    assert list(tmp_path.iterdir()) == []


# Files


@pytest.mark.parametrize("source", [sample(), Source()], ids=["results", "profiler"])
def test_exports_take_results_or_a_profiler(tmp_path: Path, source: object) -> None:
    """And a path of either kind."""
    export_csv(source, tmp_path / "out.csv")
    export_json(source, str(tmp_path / "out.json"))
    assert (tmp_path / "out.csv").read_bytes().decode() == csv_export.render(sample())
    assert ProfilerResults.load(tmp_path / "out.json") == sample()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("export", [export_csv, export_json])
def test_exports_refuse_what_are_no_results(tmp_path: Path, export: Any) -> None:
    """And leave no file behind."""
    with pytest.raises(TypeError, match="expected a Profiler or its ProfilerResults, not 'x'"):
        export("x", tmp_path / "out")
    with pytest.raises(TypeError, match=r"a path must be a str or a pathlib\.Path, not 3"):
        export(sample(), 3)
    assert list(tmp_path.iterdir()) == []


def test_saving_metadata_that_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    """The document is complete before the file is opened."""
    target = tmp_path / "results.json"
    sample().save(target)
    results = sample()
    results.metadata["odd"] = {1, 2}
    with pytest.raises(TypeError, match=r"metadata\['odd'\] must be something that JSON can hold"):
        results.save(target)
    assert ProfilerResults.load(target) == sample()


def test_a_file_is_written_byte_for_byte(tmp_path: Path) -> None:
    """In UTF-8, with line ends as they are on every system."""
    write_whole(tmp_path / "out", "a\nµ\r\n")
    assert (tmp_path / "out").read_bytes() == b"a\n\xc2\xb5\r\n"


def test_a_file_is_replaced_by_the_new_one(tmp_path: Path) -> None:
    """Also when the new one is shorter."""
    (tmp_path / "out").write_text("a longer text")
    write_whole(tmp_path / "out", "new")
    assert (tmp_path / "out").read_text() == "new"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), OSError("odd")])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: OSError
) -> None:
    """The error names the target, not the file that was to become it."""
    target = tmp_path / "out"
    target.write_text("old")

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match=r"No space left|odd") as caught:
        write_whole(target, "new")
    assert caught.value.filename == str(target)
    assert caught.value.filename2 is None
    assert caught.value.errno in (errno.ENOSPC, errno.EIO)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_an_interrupt_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on its way."""
    target = tmp_path / "out"
    target.write_text("old")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_text_that_utf_8_cannot_hold_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    """The old file stays."""
    (tmp_path / "out").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "out", "\udc80")
    assert (tmp_path / "out").read_text() == "old"


def test_a_directory_that_does_not_exist_is_reported_for_the_target(tmp_path: Path) -> None:
    """By the name that the caller gave."""
    target = tmp_path / "missing" / "out"
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(target, "new")
    assert caught.value.filename == str(target)


def test_a_directory_is_no_target(tmp_path: Path) -> None:
    """It stays one."""
    with pytest.raises(OSError, match=r"directory|denied") as caught:
        write_whole(tmp_path, "new")
    assert caught.value.filename == str(tmp_path)
    assert tmp_path.is_dir()


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its directory would allow it."""
    target = tmp_path / "out"
    target.write_text("old")
    # The administrator may write to anything, and tests may run as the administrator.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError) as caught:
        write_whole(target, "new")
    assert caught.value.filename == str(target)
    assert target.read_text() == "old"


@posix_only
def test_an_existing_file_keeps_its_permissions(tmp_path: Path) -> None:
    """However narrow or wide they are."""
    target = tmp_path / "out"
    for mode in (0o600, 0o666, 0o755):
        target.write_text("old")
        target.chmod(mode)
        write_whole(target, "new")
        assert stat.S_IMODE(target.stat().st_mode) == mode


@posix_only
def test_a_new_file_gets_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    """Like any other file that the program creates."""
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "out", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


@posix_only
def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    """The link stays a link, whether its target exists or not."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "real")
    for text in ("first", "second"):
        write_whole(link, text)
        assert link.is_symlink()
        assert (tmp_path / "real").read_text() == text


@pytest.mark.skipif(sys.platform != "linux", reason="opening a pipe from both ends is Linux's")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """As does /dev/null, which must not become a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        write_whole(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@posix_only
def test_standard_output_is_written_to_where_the_program_has_got_to(tmp_path: Path) -> None:
    """Also when it is a file, which keeps what was printed before and after."""
    code = (
        "from stichotrope._text.files import write_whole\n"
        "print('before', flush=True)\n"
        "write_whole('/dev/stdout', 'text\\n')\n"
        "write_whole('/dev/fd/1', 'more\\n')\n"
        "print('after')"
    )
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\ntext\nmore\nafter\n"


@posix_only
def test_a_descriptor_that_is_not_open_is_reported_by_its_path() -> None:
    """By the name that the caller gave."""
    with pytest.raises(OSError, match=r"Bad file descriptor") as caught:
        write_whole("/dev/fd/987654", "text")
    assert caught.value.filename == "/dev/fd/987654"


@pytest.mark.parametrize("text", [b"bytes", None])
def test_a_text_of_the_wrong_type_is_refused(tmp_path: Path, text: Any) -> None:
    """And nothing is written."""
    with pytest.raises(TypeError, match="must be a str, not "):
        write_whole(tmp_path / "out", text)
    assert list(tmp_path.iterdir()) == []
