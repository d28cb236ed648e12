"""The console report: what it says, how it fits, and what it must not let through."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
from typing import Any

import pytest
from rich.cells import cell_len

from handmade import block, sample, single, thread, troubled
from stichotrope.report import print_results
from stichotrope.results import ProfilerResults, ProfileTrack

pytestmark = pytest.mark.unit

ESCAPE = "\x1b["


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no variable of the machine that runs the tests decide on colours or widths."""
    for name in (
        "NO_COLOR",
        "FORCE_COLOR",
        "COLUMNS",
        "LINES",
        "COLORTERM",
        "TTY_COMPATIBLE",
        "TTY_INTERACTIVE",
        "JUPYTER_COLUMNS",
        "JUPYTER_LINES",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def report(results: object, **options: Any) -> str:
    stream = io.StringIO()
    print_results(results, file=stream, **options)
    return stream.getvalue()


def names(text: str) -> list[str]:
    """Return the names of the blocks in a report, those that are one word."""
    return re.findall(r"^(?!Track)(\w+) +[\d,]+(?: |$)", text, re.MULTILINE)


def many() -> ProfilerResults:
    """Return results with blocks of all sizes, long names and long paths."""
    return single(
        block("package.module.Class.a_method_with_a_long_name", (3_000_000, 5_000_000)),
        block("read", tuple(range(1, 1001)), idx=1, line=20),
        block("never", idx=2, line=30),
        block(
            "读取数据块", (500_000,) * 30, track=1, file="/very/long/" + "path/" * 10 + "file.py"
        ),
        threads=[thread(1), thread(2)],
    )


def test_a_report_shows_tracks_blocks_and_where_they_come_from() -> None:
    """The sample's report, to the character."""
    heading = (
        "Block     Hits    Total     Self   Share               Mean      p50      p95      p99"
        "      Min      Max"
    )
    read = (
        "read         3   600 ns   350 ns   0.1 %             200 ns   200 ns   300 ns   300 ns"
        "   100 ns   300 ns  /srv/app/io.py:10"
    )
    decode = (
        "decode µ     2   250 ns   250 ns  <0.1 %            ≈125 ns    50 ns   200 ns   200 ns"
        "    50 ns   200 ns  /srv/app/io.py:20"
    )
    parse = (
        "parse        1  1.00 ms  1.00 ms  99.9 %  ████████  1.00 ms  1.00 ms  1.00 ms  1.00 ms"
        "  1.00 ms  1.00 ms  /srv/app/parse.py:5"
    )
    assert report(sample(), width=160).splitlines() == [
        "census",
        "1.00 ms in blocks · 6 hits · 2 threads · CPython 3.13.0 · process 4711",
        "",
        "Track 0  I/O  600 ns  0.1 %",
        heading,
        "─" * 125,
        read,
        decode,
        "",
        "Track 1  parsing  (off)  1.00 ms  99.9 %",
        heading,
        "─" * 125,
        parse,
        "never        0" + " " * 92 + "/srv/app/parse.py:9",
        "",
        "clock tsc, resolution 0.50 ns · recording took about 32 ns per pass, 192 ns in all",
        "≈ less than 5 times that: mostly the recording",
    ]


def test_a_report_tells_what_is_open_and_how_passes_ended() -> None:
    """A block may have a total and no hit; what only passes that ended have is left empty then."""
    assert report(troubled()).splitlines() == [
        "server",
        "900 ns in blocks · 4 hits · 2 open · 2 errors · 1 cancelled · 2 threads · process 4711",
        "",
        "Track 0  web  900 ns  100.0 %",
        "Block   Hits  Open  Errors  Cancelled  At a time   Total    Self    Share              "
        "Mean     p50     p95     p99",
        "─" * 115,
        "serve      0     1                                900 ns  500 ns  100.0 %  ████████",
        "handle     4     1       2          1       ≥2.5  400 ns  400 ns   44.4 %  ███▌      "
        "250 ns  200 ns  400 ns  400 ns",
    ]


@pytest.mark.parametrize(
    ("changed", "heading", "said"),
    [
        ({"now_open": 1}, "Open", "3 hits · 1 open · 0 threads"),
        ({"errors": 1}, "Errors", "3 hits · 1 error · 0 threads"),
        ({"cancelled": 1}, "Cancelled", "3 hits · 1 cancelled · 0 threads"),
        ({"total_ns": 200}, "At a time", "3 hits · 0 threads"),
        ({"total_ns": 291}, None, "3 hits · 0 threads"),  # 1.03, and the rest is as good as 1
        ({}, None, "3 hits · 0 threads"),
    ],
)
def test_a_column_is_there_where_it_says_something(
    changed: dict[str, Any], heading: str | None, said: str
) -> None:
    """Of any block that is shown; so the report of a plain program stays plain."""
    text = report(single(block("plain", (1,), idx=1), block("a", (100, 200), **changed)))
    assert said in text
    found = [one for one in ("Open", "Errors", "Cancelled", "At a time") if f" {one} " in text]
    assert found == ([heading] if heading else [])


@pytest.mark.parametrize("sort", ["open", "errors", "cancelled", "concurrency"])
def test_blocks_are_sorted_by_what_is_open_and_how_passes_ended(sort: str) -> None:
    """Most first; a block that is open comes before one that was never entered."""
    results = single(
        block("never"),
        block("plain", (900,), idx=1),
        block("within", total_ns=10, now_open=1, idx=2),
        block("much", (5,) * 9, total_ns=5, now_open=3, errors=4, cancelled=4, idx=3),
    )
    expected = ["much", "within", "plain", "never"]
    if sort != "open":
        expected[1:3] = ["plain", "within"]
    assert names(report(results, sort=sort)) == expected


def test_open_blocks_alone_are_a_report() -> None:
    """What is open counts as far as it has come: something was recorded."""
    text = report(single(block("main", total_ns=1000, now_open=1)))
    assert "Nothing was recorded" not in text
    assert re.search(r"^main +0 +1 +1\.00 µs +1\.00 µs +100\.0 %", text, re.MULTILINE)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 300])
@pytest.mark.parametrize("results", [sample(), many(), troubled(), ProfilerResults("x" * 400)])
def test_a_report_fits_its_width(results: ProfilerResults, width: int) -> None:
    """Wide characters take two columns."""
    lines = report(results, width=width).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (40, "Block Hits Total Share"),
        (60, "Block Hits Total Share Mean"),
        (80, "Block Hits Total Self Share Mean"),
        (100, "Block Hits Total Self Share Mean p99"),
        (120, "Block Hits Total Self Share Mean p50 p95 p99 Max"),
        (130, "Block Hits Total Self Share Mean p50 p95 p99 Min Max"),
    ],
)
def test_a_narrow_report_drops_the_least_important_columns(width: int, headings: str) -> None:
    """The name keeps 32 columns where it can, the total and the share stay to the end."""
    lines = report(many(), width=width).splitlines()
    assert [line.split() for line in lines if line.startswith("Block")] == [headings.split()] * 2


def test_blocks_of_one_name_are_told_apart_where_there_is_no_room_for_places() -> None:
    """By file and line behind the name, in their own table only; with room, the places do it."""
    results = single(
        block("main", (3_000,), file="/shop/core.py", line=4),
        block("main", (2_000,), idx=1, file="C:\\shop\\cli.py", line=50),
        block("read", (1_000,), idx=2, line=60),
        block("read", (1_000,), track=1, line=70),
    )
    narrow = [
        line for line in report(results, width=50).splitlines() if re.match("main|read", line)
    ]
    assert [line.partition("  ")[0] for line in narrow] == [
        "main (core.py:4)",
        "main (cli.py:50)",
        "read",
        "read",
    ]
    assert "main (" not in report(results, width=160)


def test_what_was_suspended_has_a_column_of_what_it_ran() -> None:
    """Waiting is told from working without asking the system; plain functions leave it empty."""
    fetch = block("fetch", (1_000_000,), self_ns=3_000)
    fetch.active_time_ns = 3_000
    text = report(single(fetch, block("price", (500_000,), idx=1)))
    heading, _, first, second = text.splitlines()[4:8]
    assert heading.split()[:4] == ["Block", "Hits", "Running", "Total"]
    assert first.split()[:6] == ["fetch", "1", "3.00", "µs", "1.00", "ms"]
    assert second.split()[:4] == ["price", "1", "500", "µs"]
    assert "Running" not in report(single(block("price", (500_000,))))


def test_errors_stay_in_a_narrow_report() -> None:
    """Longer than hits, times but the total, and what is open or was cancelled."""
    headings = {
        width: next(line for line in report(results, width=width).splitlines() if "Share" in line)
        for results in [single(block("a_name_that_takes_room", (9,) * 9, errors=3, cancelled=2))]
        for width in (40, 64)
    }
    assert headings[40].split() == ["Block", "Errors", "Total", "Share"]
    assert headings[64].split() == ["Block", "Hits", "Errors", "Cancelled", "Total", "Share"]


def test_a_long_name_loses_what_it_is_in() -> None:
    """The method is what tells one from the other."""
    assert "…Class.a_method_with_a_long_name" in report(many(), width=120)
    assert "package.module.Class.a_method_with_a_long_name" in report(many(), width=160)


def test_a_long_path_loses_its_beginning() -> None:
    """The file and the line are what one goes to."""
    assert re.search(r"  …path/\S*/file\.py:10$", report(many(), width=180), re.MULTILINE)


@pytest.mark.parametrize(
    ("share", "bar"),
    [(0, ""), (1, "▏"), (2, "▏"), (50, "████"), (57, "████▌"), (99, "███████▉"), (100, "█" * 8)],
)
def test_a_bar_shows_the_share_in_steps_of_an_eighth(share: int, bar: str) -> None:
    """A full bar of eight is everything that was measured."""
    results = single(block("a", (share,)), block("b", (100 - share,), idx=1))
    line = next(line for line in report(results).splitlines() if line.startswith("a "))
    assert "".join(re.findall("[█▏▎▍▌▋▊▉]", line)) == bar


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("total", ["big", "mid", "many", "a0"]),
        ("self", ["mid", "many", "big", "a0"]),
        ("hits", ["many", "mid", "big", "a0"]),
        ("mean", ["big", "mid", "many", "a0"]),
        ("max", ["big", "many", "mid", "a0"]),
        ("name", ["big", "many", "mid", "a0"]),
    ],
)
def test_blocks_are_sorted_as_asked_and_those_never_hit_come_last(
    sort: str, order: list[str]
) -> None:
    """Also by name, though a block that was never hit comes before all others in the list."""
    results = single(
        block("a0"),
        block("many", (1, 1, 1, 97), idx=1),
        block("mid", (60, 60), idx=2),
        block("big", (500,), idx=3, self_ns=5),
    )
    assert names(report(results, sort=sort)) == order


def test_blocks_that_are_alike_keep_their_order() -> None:
    """By number, so that two reports can be compared."""
    results = single(*(block(name, (5,), idx=i) for i, name in enumerate(["b", "c", "a"])))
    assert names(report(results)) == ["b", "c", "a"]


def test_a_limit_hides_all_but_the_first_blocks_of_each_track() -> None:
    """And says how many."""
    results = single(
        *(block(f"a{i}", (10 - i,), idx=i) for i in range(4)),
        *(block(f"b{i}", (10 - i,), idx=i, track=1) for i in range(2)),
    )
    text = report(results, limit=1)
    assert names(text) == ["a0", "b0"]
    assert "… and 3 more blocks\n" in text
    assert "… and 1 more block\n" in text
    assert "more block" not in report(results, limit=4)


def test_nothing_recorded_is_no_empty_table_but_advice() -> None:
    """How to record something."""
    text = report(ProfilerResults("empty"))
    assert text.startswith("empty\n0 ns in blocks · 0 hits · 0 threads\n")
    assert "Nothing was recorded yet." in text
    assert '    with profiler.block(0, "parse"):' in text
    assert "Block" not in text


def test_blocks_that_were_all_never_hit_are_listed_under_the_advice() -> None:
    """They show what has been named already."""
    text = report(single(block("never")))
    assert "Nothing was recorded yet." in text
    assert names(text) == ["never"]
    assert "Nothing was recorded" not in report(sample())


def test_a_track_without_blocks_is_a_heading() -> None:
    """Its name may have been given before its blocks."""
    assert report(ProfilerResults("x", {3: ProfileTrack(3, "I/O")})).endswith(
        "Track 3  I/O  0 ns  0.0 %\n"
    )


def test_a_track_that_is_named_after_its_number_is_named_once() -> None:
    """Its number is there anyhow."""
    assert report(ProfilerResults("x", {3: ProfileTrack(3, "track 3")})).endswith(
        "\n\nTrack 3  0 ns  0.0 %\n"
    )


def test_tracks_are_in_order_of_their_numbers() -> None:
    """However the results were put together."""
    results = single(block("c", (1,), track=10), block("a", (1,), track=2))
    assert re.findall(r"^Track (\d+)", report(results), re.MULTILINE) == ["2", "10"]


def test_a_report_says_what_the_metadata_says() -> None:
    """Whatever is missing, or of a shape that is not known, is left out."""
    results = single(block("a", (1,)), threads=[thread(1)])
    first = "1 ns in blocks · 1 hit · 1 thread"
    assert report(results).splitlines()[1] == first
    assert report(results).splitlines()[-1].startswith("a ")
    results.metadata = {"python": 3, "process": [], "clock": {}, "overhead_ns_per_pass": None}
    results.metadata["warnings"] = "none"
    assert report(results).splitlines()[1] == first
    assert report(results).splitlines()[-1].startswith("a ")
    results.metadata = {"python": "3.13.0", "gil": False, "process": 7, "clock": {"source": "x"}}
    assert report(results).splitlines()[1] == f"{first} · Python 3.13.0 without GIL · process 7"
    assert report(results).splitlines()[-1] == "clock x"


def test_ended_threads_that_share_a_line_are_counted_one_by_one() -> None:
    """In merged results, those of every run."""
    run = single(block("a", (1,)), threads=[thread(0), thread(1)])
    run.metadata = {"folded_threads": 50}
    assert " · 51 threads" in report(run)
    assert " · 102 threads" in report(run.merge(run))
    run.threads.pop(0)
    assert " · 1 thread\n" in report(run)


def test_warnings_come_last_and_are_wrapped() -> None:
    """They may be sentences."""
    results = single(block("a", (1,)))
    results.metadata["warnings"] = ["a word and " * 12, "short"]
    lines = report(results, width=60).splitlines()
    assert lines[-1] == "Warning: short"
    assert lines[-4].startswith("Warning: a word and a word")
    assert max(map(len, lines[-4:])) <= 60


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("[/]", "[/]"),
        (":smile:", ":smile:"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202eabc\u200b", r"\u202eabc\u200b"),
        ("\x9b31m", r"\x9b31m"),
        ("caf\udce9", r"caf\udce9"),
        ("\u2028", r"\u2028"),
        ("éµ读 x", "éµ读 x"),
    ],
)
def test_no_name_can_style_the_report_break_it_or_drive_the_terminal(name: str, shown: str) -> None:
    """Wherever it stands: profiler, track, block, file, metadata."""
    results = single(block(name, (1,), file=f"{name}.py"), name=f"profiler {name}")
    results.tracks[0].track_name = name
    results.metadata = {"python": name, "clock": {"source": name}, "warnings": [name]}
    for text in (
        report(results, width=200),
        re.sub(r"\x1b\[[\d;]*m", "", report(results, color=True, width=200)),
    ):
        lines = text.split("\n")
        assert lines[0] == f"profiler {shown}"
        assert lines[1].endswith(f" · {shown}")
        assert lines[3] == f"Track 0  {shown}  1 ns  100.0 %"
        assert lines[6].startswith(f"{shown}  ")
        assert lines[6].endswith(f"  {shown}.py:10")
        assert lines[8:] == [f"clock {shown}", f"Warning: {shown}", ""]


# Streams


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "utf-16", "utf-8"])
def test_a_report_can_be_written_in_any_encoding(encoding: str) -> None:
    """Bars and names fall back to what the stream can carry."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_results(many(), file=stream, width=160)
    stream.flush()
    text = raw.getvalue().decode(encoding)
    unicode_stream = encoding.startswith("utf")
    assert ("█" in text, "µs" in text, "读取数据块" in text) == (unicode_stream,) * 3
    assert ("#" in text, "us  " in text, r"\u8bfb\u53d6" in text) == (not unicode_stream,) * 3


def test_a_stream_of_an_unknown_encoding_gets_ascii() -> None:
    """Rather than an error."""
    stream = io.StringIO()
    odd = type("Odd", (), {"write": stream.write, "flush": stream.flush, "encoding": "klingon"})()
    print_results(many(), file=odd, width=160)
    assert stream.getvalue().isascii()
    assert "#" in stream.getvalue()


def test_a_stream_needs_to_know_nothing_but_write_and_flush() -> None:
    """No isatty, no encoding, no fileno."""
    stream = io.StringIO()
    print_results(sample(), file=type("Bare", (), {"write": stream.write, "flush": stream.flush})())
    assert stream.getvalue() == report(sample())


def test_a_report_goes_to_standard_output_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To the one that is in place at that moment."""
    print_results(sample())
    assert capsys.readouterr().out == report(sample())


def test_a_report_that_is_not_for_a_terminal_is_120_columns_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever terminal the program was started from, and whatever rich takes for one."""
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert re.sub(r"\x1b\[[\d;]*m", "", report(sample())) == report(
        sample(), width=120, color=False
    )
    monkeypatch.delenv("FORCE_COLOR")
    assert report(many()) == report(many(), width=120)
    assert report(many(), color=True) == report(many(), color=True, width=120)


def test_a_report_on_a_terminal_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a width is given."""
    monkeypatch.setenv("COLUMNS", "70")
    terminal = Terminal()
    print_results(many(), file=terminal, color=False)
    assert terminal.getvalue() == report(many(), width=70)


def test_a_terminal_of_no_columns_is_taken_for_one_of_80(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of some that have no size; a report in a file is as wide as ever."""
    monkeypatch.setenv("COLUMNS", "0")
    terminal = Terminal()
    print_results(many(), file=terminal, color=False)
    assert terminal.getvalue() == report(many(), width=80)
    assert report(many()) == report(many(), width=120)


def test_colour_is_for_terminals() -> None:
    """A file gets none."""
    terminal = Terminal()
    print_results(sample(), file=terminal)
    assert ESCAPE in terminal.getvalue()
    assert ESCAPE not in report(sample())


def test_colour_can_be_asked_for_and_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument outweighs stream and environment."""
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    print_results(sample(), file=terminal, color=False)
    assert ESCAPE not in terminal.getvalue()
    assert f"{ESCAPE}31m" in report(sample(), color=True)
    plain = re.sub(r"\x1b\[[\d;]*m", "", report(sample(), color=True, width=100))
    assert [line.rstrip() for line in plain.splitlines()] == report(
        sample(), width=100
    ).splitlines()


def test_no_color_in_the_environment_takes_the_colours_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bold and dim are not colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    print_results(sample(), file=terminal)
    assert set(re.findall(r"\x1b\[([\d;]*)m", terminal.getvalue())) == {"0", "1", "2"}


def test_a_profiler_can_be_reported_directly() -> None:
    """Its results at that moment are."""

    class Source:
        def get_results(self) -> ProfilerResults:
            return sample()

    assert report(Source()) == report(sample())


# Mistakes


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"sort": "time"}, ValueError, "one of total, self, hits, mean, max, running, open, "),
        ({"sort": None}, ValueError, "sort must be one of total, "),
        ({"sort": ["total"]}, ValueError, "sort must be one of total, "),
        ({"limit": 0}, ValueError, "limit must be 1 or more, not 0"),
        ({"limit": "5"}, TypeError, "limit must be a whole number or None, not '5'"),
        ({"limit": True}, TypeError, "limit must be a whole number or None, not True"),
        ({"width": 39}, ValueError, "width must be 40 or more, not 39"),
        ({"width": 80.0}, TypeError, "width must be a whole number or None, not 80.0"),
        ({"width": math.inf}, TypeError, "width must be a whole number or None, not inf"),
        ({"color": "always"}, TypeError, "color must be True, False or None, not 'always'"),
        ({"color": 1}, TypeError, "color must be True, False or None, not 1"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_and_nothing_is_printed(
    options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    """The error says what is expected."""
    stream = io.StringIO()
    with pytest.raises(error, match=re.escape(sentence)):
        print_results(sample(), file=stream, **options)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("file", ["report.txt", 1, object()])
def test_what_is_no_stream_is_refused(file: Any) -> None:
    """The name of a file in particular."""
    with pytest.raises(TypeError, match="file must be a text stream, not "):
        print_results(sample(), file=file)


@pytest.mark.parametrize("results", [None, [], "census"])
def test_what_are_no_results_are_refused(results: object) -> None:
    """The error says what was given."""
    with pytest.raises(TypeError, match="expected a Profiler or its ProfilerResults, not "):
        report(results)


def test_importing_the_report_and_the_exports_imports_no_slow_modules() -> None:
    """A program that prints no report does not pay for one."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "import stichotrope.report, stichotrope.export\n"
        "slow = {'rich', 'json', 'csv', 'dataclasses', 'fractions', 'pathlib', 'textwrap'}\n"
        "print(sorted(slow & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
