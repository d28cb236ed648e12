"""docs/performance.md is what the stored runs say, and nothing else; its plots can be read."""

from __future__ import annotations

import re
import sys
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import _store, page, report  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from benchmarks._curve import Curve  # noqa: E402
from benchmarks._run import median_interval  # noqa: E402
from benchmarks.page import (  # noqa: E402
    _plots,
    _text,
    _views,
    accuracy,
    advice,
    brief,
    cost,
    growth,
    peers,
    programs,
)
from benchmarks.page._plots import FLOOR, OTHERS, OURS, Bar, Bars, Guide, Line, Lines, Point  # noqa: E402
from benchmarks.workloads.prompts import measure as prompts  # noqa: E402

GIT = {"commit": "0123456789abcdef", "modified": False}


@pytest.fixture(scope="module")
def views():
    """What all stored runs say."""
    return _views.gather(_views.stored())


@pytest.fixture(scope="module")
def rendered(views):
    """The page, and its plots."""
    return page.render(views)


def stored_run(path: Path, **changes: Any) -> Path:
    """A stored run of made-up subjects, written to a file."""
    run = _store.new_run("normal", 1, {"python": "3.13.1", "gil": True, "git": GIT}, {})
    path.write_text("")
    _store.save({**run, **changes}, path)
    return path


# What is stored, and what is shown of it


def test_the_page_is_what_the_stored_runs_say(rendered):
    """To the last letter; `python -m benchmarks page` writes it."""
    text, _ = rendered
    assert page.PAGE.read_text(encoding="utf-8") == text


def test_other_documents_are_what_the_stored_runs_say(views):
    """What README says of costs, and the limits in CONTRIBUTING; with the plots, as seen from there."""
    told = page.elsewhere(views)
    assert {path.name for path in told} == {"README.md", "CONTRIBUTING.md"}
    for path, part in told.items():
        text = path.read_text(encoding="utf-8")
        assert f"{report.BEGIN}\n\n{part}\n\n{report.END}" in text
        for shown in re.findall(r"^!\[.+\]\((.+)\)$", part, re.MULTILINE):
            assert (ROOT / shown).exists()


def test_six_rows_name_ours_first_and_the_cheapest_other_tool(views):
    """On the newest interpreter that they were measured on."""
    (section,) = brief.sections(views)
    plot, table = section.parts
    assert isinstance(plot, Bars)
    assert [one.whose for one in plot.bars] == [OURS] * 3 + [OTHERS] * 3
    cheapest = plot.bars[-1]
    assert cheapest.middle == min(one.middle for one in plot.bars[3:])
    assert isinstance(table, str)
    assert len(table.splitlines()) == 2 + 6
    assert f"CPython {_store.label(_views.having(views, 'peers')[-1])}" in table


def test_the_plots_are_what_the_stored_runs_say(rendered):
    """Each drawn one has the digest of what it is to show, and there are no others."""
    _, plots = rendered
    drawn = {
        path.name: _plots.digest_in(path.read_text(encoding="utf-8"))
        for path in page.PAGE.with_suffix("").iterdir()
    }
    assert drawn == {plot.file: plot.digest() for plot in plots}


def test_every_plot_has_a_file_and_a_title_of_its_own(rendered):
    """And stands on the page once, with its title for who does not see it."""
    text, plots = rendered
    assert len({plot.file for plot in plots}) == len({plot.title for plot in plots}) == len(plots)
    shown = re.findall(r"^!\[(.+)\]\(performance/(.+)\)$", text, re.MULTILINE)
    assert shown == [(plot.title, plot.file) for plot in plots]


def test_without_any_stored_run_each_section_says_so():
    """How to measure it, and that nothing is there; the page is whole otherwise."""
    text, plots = page.render([])
    assert plots == []
    parts = text.split("\n## ")[1:]
    titles = [part.partition("\n")[0] for part in parts]
    missing = {
        title: re.findall(r"`python -m benchmarks --only (.+)` measures it\.", part)
        for title, part in zip(titles, parts, strict=True)
    }
    assert missing == {
        "In six rows": ["peers"],
        "What a pass costs, and why": ["per_pass"],
        "Beside other tools": ["peers"],
        "How cost grows": ["threads,growth"],
        "Accuracy": ["accuracy"],
        "Two real programs": ["smc,prompts"],
        "A gate on a busy machine": ["gate"],
        "How to keep overhead low": ["per_pass"],
        "How to make these figures": [],
    }
    asked = {name for found in missing.values() for names in found for name in names.split(",")}
    assert asked <= {*report.SUBJECTS}


@pytest.mark.parametrize("subject", report.SUBJECTS)
def test_any_subject_may_be_stored_alone(subject, views):
    """What it has is shown, and of all else is said that it is missing."""
    alone = [
        {**view, "subjects": {subject: view["subjects"][subject]}}
        for view in _views.having(views, subject)
    ]
    text, _ = page.render(alone)
    assert "No stored run has this yet" in text
    assert text.count("\n## ") >= 7


def test_of_each_subject_the_newest_whole_run_is_shown(tmp_path):
    """A quick run stands in only where there is no other; each subject says where it comes from."""
    old = stored_run(tmp_path / "old.json", started="2026-01-01", subjects={"a": 1, "b": 1})
    new = stored_run(tmp_path / "new.json", started="2026-02-01", subjects={"b": 2})
    quick = stored_run(
        tmp_path / "quick.json", started="2026-03-01", scale="quick", subjects={"b": 3, "c": 3}
    )
    for order in ([old, new, quick], [quick, old, new]):
        (view,) = _views.gather(order)
        assert view["subjects"] == {"a": 1, "b": 2, "c": 3}
        sources = {name: run["path"].stem for name, run in view["sources"].items()}
        assert sources == {"a": "old", "b": "new", "c": "quick"}
        assert view["started"] == "2026-02-01"


def test_each_interpreter_has_a_view_and_one_stands_for_all(tmp_path):
    """That with most subjects; of several the newest, with the GIL rather than without."""

    def view(python, gil, *subjects):
        machine = {"python": python, "gil": gil}
        name = f"{python}{gil}.json"
        return stored_run(tmp_path / name, machine=machine, subjects=dict.fromkeys(subjects, 0))

    paths = [
        view("3.14.0", False, "a", "b"),
        view("3.9.7", True, "a", "b"),
        view("3.13.2", True, "a", "b"),
        view("3.15.0", True, "a"),
    ]
    views = _views.gather(paths)
    assert [_store.label(one) for one in views] == ["3.9", "3.13", "3.14t", "3.15"]
    assert [_store.label(one) for one in _views.having(views, "b")] == ["3.9", "3.13", "3.14t"]
    chosen = _views.first(views, "a")
    assert chosen is not None
    assert _store.label(chosen) == "3.13"
    assert _views.first(views, "c") is None


# From the command line


def test_a_page_is_written_where_it_is_wanted(tmp_path, capsys, monkeypatch):
    """With its plots beside it; those of before that it no longer has are gone."""
    pytest.importorskip("matplotlib")
    target = tmp_path / "there" / "costs.md"
    left = target.with_suffix("") / "left.svg"
    left.parent.mkdir(parents=True)
    left.write_text("")
    plot = Bars("one.svg", "One", "ns", (Bar("a", 1.0, 0.9, 1.1),))
    monkeypatch.setattr(page, "render", lambda views: ("# Costs\n", [plot]))
    assert main(["page", "--output", str(target), *map(str, _views.stored()[:1])]) == 0
    assert capsys.readouterr().out == f"{target} and 1 plots\n"
    assert target.read_text() == "# Costs\n"
    assert [path.name for path in left.parent.iterdir()] == ["one.svg"]


def test_a_plot_is_drawn_only_when_its_data_are_others(tmp_path, monkeypatch):
    """So that another version of what draws it does not change what is kept."""
    _draw = pytest.importorskip("benchmarks.page._draw")
    drawn = []

    def svg(plot, svg=_draw.svg):
        drawn.append(plot.title)
        return svg(plot)

    monkeypatch.setattr(_draw, "svg", svg)
    first = Bars("one.svg", "One", "ns", (Bar("a", 1.0, 0.9, 1.1),))
    other = Bars("one.svg", "One", "ns", (Bar("a", 1.0, 0.9, 1.2),))
    for plot, times in ((first, 1), (first, 1), (other, 2)):
        page.write(tmp_path / "page.md", "text", [plot])
        assert len(drawn) == times


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    """When a plot cannot be drawn, page and plots stay as they were."""
    _draw = pytest.importorskip("benchmarks.page._draw")
    target = tmp_path / "page.md"
    plot = Bars("one.svg", "One", "ns", (Bar("a", 1.0, 0.9, 1.1),))
    page.write(target, "before", [plot])
    before = {path: path.read_text() for path in tmp_path.rglob("*.*")}

    def fail(plot):
        raise OSError("no paper")

    monkeypatch.setattr(_draw, "svg", fail)
    wider = Bars("one.svg", "One", "ns", (Bar("a", 2.0, 0.9, 2.1),))
    with pytest.raises(OSError, match="no paper"):
        page.write(target, "after", [plot, wider])
    assert {path: path.read_text() for path in tmp_path.rglob("*.*")} == before


def test_what_is_no_stored_run_is_said_in_a_sentence(tmp_path, capsys):
    """And the status is 1."""
    path = tmp_path / "some.json"
    path.write_text("{}")
    assert main(["page", "--output", str(tmp_path / "page.md"), str(path)]) == 1
    said = capsys.readouterr()
    assert f"{path} is not a stored benchmark run" in said.err
    assert (said.out, [*tmp_path.iterdir()]) == ("", [path])


# The plots themselves


def test_every_word_of_the_plots_can_be_read(rendered):
    """None is cut off at the edge, and names of lines and figures of bars do not overlap."""
    _draw = pytest.importorskip("benchmarks.page._draw")
    assert {plot.file: words_lost(_draw, plot) for plot in rendered[1]} == {
        plot.file: [] for plot in rendered[1]
    }


def words_lost(_draw: Any, plot: _plots.Plot) -> list[str]:
    """What of a plot's words is cut off or written over."""
    from matplotlib.text import Annotation, Text

    with _draw.rc_context(_draw._STYLE):
        figure = _draw._draw(plot)
        figure.draw_without_rendering()
        shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
        edge = figure.bbox.padded(0.5)
        cut = [
            text.get_text()
            for text in shown
            if not all(edge.contains(*corner) for corner in text.get_window_extent().corners())
            and not _beyond(text, figure)
        ]
        named = [(text.get_text(), text.get_window_extent()) for text in figure.findobj(Annotation)]
        pairs = combinations(named, 2)
        return cut + [f"{a} / {b}" for (a, one), (b, two) in pairs if one.overlaps(two)]


def _beyond(text: Any, figure: Any) -> bool:
    """Whether it is the label of a tick outside of what its axis shows, which is not drawn."""
    (axes,) = figure.axes
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if text in (tick.label1, tick.label2) and not low <= tick.get_loc() <= high:
                return True
    return False


PLOTS = (
    Bars(
        "bars.svg",
        "Some bars",
        "ns",
        (Bar("ours & <others>", 40.0, 39.0, 41.0), Bar("theirs", -1.0, -2.0, 3.0, OTHERS)),
        guides=(Guide(5.0, "five"),),
    ),
    Bars(
        "logarithmic.svg",
        "Some bars, none of them alike",
        "ns",
        (
            Bar("floor", -0.3, -0.4, 0.2, FLOOR),
            Bar("ours", 40.0, 39.0, 41.0),
            Bar("far", 2e4, 2e4, 2e4),
        ),
        logarithmic=True,
    ),
    Lines(
        "lines.svg",
        "Some lines",
        "%",
        "threads",
        (
            Line("one", (Point(1, 2.0, 1.9, 2.1), Point(8, 2.0, -1.0, 2.1))),
            Line("one, derived", (Point(1, 2.0, 2.0, 2.0), Point(8, 0.1, 0.1, 0.1)), like="one"),
        ),
        logarithmic=True,
        guides=(Guide(1.0, "1 %"),),
    ),
)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.file)
def test_a_plot_is_drawn_the_same_each_time(plot):
    """With its digest, its words as words, and no date."""
    _draw = pytest.importorskip("benchmarks.page._draw")
    svg = _draw.svg(plot)
    assert svg == _draw.svg(plot)
    assert _plots.digest_in(svg) == plot.digest()
    assert f">{plot.title}</text>" in svg
    assert "dc:date" not in svg
    assert _draw.png(plot).startswith(b"\x89PNG")


def test_a_drawn_plot_without_a_digest_is_known_as_such():
    """As one of another program is."""
    assert _plots.digest_in("<svg></svg>") is None


def test_figures_stand_beside_their_bars():
    """With three significant digits, or with as many places as are asked for; below nothing too."""
    _draw = pytest.importorskip("benchmarks.page._draw")
    assert [_draw._number(value, None) for value in (0.1234, 41.49, 1113.4)] == [
        "0.123",
        "41.5",
        "1,113",
    ]
    assert _draw._number(-0.996, 2) == "−1.00"
    svg = _draw.svg(PLOTS[1])
    assert all(f">{said}</text>" in svg for said in ("−0.3", "40", "20,000"))


def test_names_of_lines_are_kept_apart():
    """By a line of text at least, around where they are wanted, in the order of the lines."""
    _draw = pytest.importorskip("benchmarks.page._draw")
    wanted = [50.0, 51.0, 10.0, 49.0, 200.0]
    found = _draw._apart(wanted)
    assert found[2:3] + found[4:] == [10.0, 200.0]
    low, middle, high = found[3], found[0], found[1]
    assert middle - low >= _draw.LABEL_POINTS - 0.5
    assert high - middle >= _draw.LABEL_POINTS - 0.5
    assert (low + middle + high) / 3 == pytest.approx(50.0)


def test_an_axis_of_bars_begins_at_a_power_of_ten_below_all():
    """So that the least bar has some length."""
    _draw = pytest.importorskip("benchmarks.page._draw")
    assert [_draw._below(value) for value in (9.0, 10.0, 11.0, 0.02)] == [1.0, 1.0, 10.0, 0.01]


def test_what_is_cut_off_or_written_over_would_be_found():
    """By the same eyes: a figure far beyond the edge, and two names in one place."""
    _draw = pytest.importorskip("benchmarks.page._draw")
    wide = Bars("wide.svg", "w" * 200, "ns", (Bar("a", 1.0, 1.0, 1.0),))
    assert words_lost(_draw, wide) == ["w" * 200]
    close = Lines(
        "close.svg",
        "Close",
        "ns",
        "threads",
        PLOTS[2].lines,
        guides=(Guide(0, "here"), Guide(0, "there")),
    )
    assert words_lost(_draw, close) == ["here / there"]


# Intervals


def test_an_interval_is_that_of_the_medians_of_resamples():
    """Of an odd number of samples, the chance that a resample's median is at most one is known."""
    for count in (5, 15, 41):
        samples = list(range(count))

        def chance(place, count=count):
            share = (place + 1) / count
            least = (count + 1) // 2
            some = range(least, count + 1)
            return sum(comb(count, k) * share**k * (1 - share) ** (count - k) for k in some)

        middle, low, high = median_interval(samples)
        assert middle == count // 2
        for end, wanted in ((low, 0.025), (high, 0.975)):
            exact = next(place for place in samples if chance(place) >= wanted)
            assert abs(end - exact) <= 1


def test_an_interval_does_not_depend_on_the_order_of_samples():
    """Of an even number the median lies between two; one sample is its own interval."""
    assert median_interval([3.0, 1.0, 2.0]) == median_interval([1.0, 2.0, 3.0]) == (2.0, 1.0, 3.0)
    assert median_interval([4.0, 1.0]) == (2.5, 1.0, 4.0)
    assert median_interval([7.0]) == (7.0, 7.0, 7.0)
    with pytest.raises(ValueError, match="no samples"):
        median_interval([])


# What the sections say


def passes(**ns: float) -> dict[str, Any]:
    """Cases that cost so many ns a pass in each of three rounds, less nothing."""
    cases = {
        name: {"title": name, "minus": None, "passes": 1, "iterations": 1, "elapsed_ns": [cost] * 3}
        for name, cost in ns.items()
    }
    return {"cases": cases}


def test_a_pass_is_the_sum_of_its_parts():
    """Forwarding, the clock and recording; the cheaper of two floors is the floor."""
    stored = passes(
        forward=13.0,
        forward_direct=12.0,
        clocks=31.0,
        clocks_direct=32.0,
        tracked=41.0,
        empty_context=80.0,
        clock_context=90.0,
        kept_block=105.0,
        inline_block=140.0,
    )
    parts = {name: {*samples} for name, samples in cost.composition(stored).items()}
    assert parts == {
        "call: to be called, and to call": {12.0},
        "call: two reads of the clock": {19.0},
        "call: to record": {10.0},
        "kept block: a context manager's enter and exit": {80.0},
        "kept block: two reads of the clock": {10.0},
        "kept block: to record": {15.0},
        "inline block: to find the block": {35.0},
    }


def test_advice_on_what_to_mark_follows_from_the_cost():
    """A pass of 40 ns is 1 % of 4 µs."""
    told = advice._shares(passes(tracked=40.0, kept_block=100.0, inline_block=150.0))
    assert "| tracked | 0.8 µs [0.8, 0.8] | 4.0 µs [4.0, 4.0] | 40.0 µs [40.0, 40.0] |" in told


def peer(
    form: str, keeps: bool = True, refusal: str | None = None, note: str = ""
) -> dict[str, Any]:
    """What is known of a tool."""
    kept = "yes" if keeps else "no"
    records = {**dict.fromkeys(("hits", "total"), kept), "tree": "no"}
    told = {"form": form, "records": records, "per_function": keeps}
    return {**told, "refusal": refusal, "note": note, "usage": "", "version": "1", "counted": None}


def beside(**more: tuple[float, dict[str, Any]]) -> dict[str, Any]:
    """A run of ours, 40 ns a call, among others."""
    found = {"tracked call": (40.0, peer("call")), **more}
    return {
        **passes(**{name: ns for name, (ns, _) in found.items()}),
        "peers": {name: told for name, (_, told) in found.items()},
    }


CALLS = peers._FORMS[0]


def test_whoever_costs_less_is_named_with_what_it_lacks():
    """Beside the note that its declaration has; who was not measured is not."""
    stored = beside(
        thin=(10.0, peer("call", keeps=False, note="a note")),
        quick=(30.0, peer("call")),
        slow=(50.0, peer("call")),
        absent=(1.0, peer("call", refusal="not installed")),
        block=(2.0, peer("kept block")),
    )
    (said,) = peers._cheaper(CALLS, stored, "3.13")
    assert said == (
        "On 3.13, these cost less than ours, the tracked call:\n\n"
        "- thin: 10.0 ns [10.0, 10.0]; it does not record hits, total and tree; a note\n"
        "- quick: 30.0 ns [30.0, 30.0]; it does not record tree"
    )


def test_that_nobody_costs_less_is_said_too():
    """For each of ours."""
    said = peers._cheaper(CALLS, beside(slow=(50.0, peer("call"))), "3.13")
    assert said == ["On 3.13, no other tool costs less than ours, the tracked call."]


def test_tools_stand_in_the_order_of_their_costs():
    """Ours among them, marked; what keeps no figures is said to."""
    stored = beside(slow=(80.0, peer("call")), thin=(10.0, peer("call", keeps=False)))
    stored["cases"].update(passes(forward_direct=12.0, clocks_direct=32.0)["cases"])
    plot = peers._plot(CALLS, stored, "CPython 3.13")
    assert [(bar.title, bar.middle, bar.whose) for bar in plot.bars] == [
        ("forward_direct", 12.0, FLOOR),
        ("clocks_direct", 32.0, FLOOR),
        ("thin (keeps no figures)", 10.0, OTHERS),
        ("stichotrope: tracked call", 40.0, OURS),
        ("slow", 80.0, OTHERS),
    ]
    view = {"machine": {"python": "3.13.0", "gil": True}, "subjects": {"peers": stored}}
    rows = peers._table(CALLS, [view]).splitlines()[2:]
    assert rows == [
        "| thin | 10.0 ns [10.0, 10.0] | 0.25 × [0.25, 0.25] |",
        "| **tracked call** | 40.0 ns [40.0, 40.0] |  |",
        "| slow | 80.0 ns [80.0, 80.0] | 2.00 × [2.00, 2.00] |",
    ]


def test_curves_become_lines():
    """Ours before floors; what is derived from another has its colour; sizes may be scaled."""
    points = [(1, [3.0, 3.0]), (2, [4.0, 4.0])]
    titles = ("floor", "call", "call, derived")
    curves = [Curve(title, "blocks", "ns", points, str) for title in titles]
    lines = growth._lines(curves, floors=("floor",), scale=0.5)
    assert [(line.title, line.whose, line.like) for line in lines] == [
        ("call", OURS, None),
        ("call, derived", OURS, "call"),
        ("floor", FLOOR, None),
    ]
    assert lines[0].points == (Point(0.5, 3.0, 3.0, 3.0), Point(1.0, 4.0, 4.0, 4.0))


def test_the_most_accurate_tool_stands_first(monkeypatch):
    """By how far its mean is off, too long or too short; who recorded nothing is left out."""
    off = {"long": [9.0], "short": [-5.0], "right": [1.0], "silent": []}
    monkeypatch.setattr(accuracy.accuracy, "off_ns", lambda stored, name, work: off[name])
    assert accuracy.measured({"peers": off}) == ["right", "short", "long"]


def test_before_and_after_are_told_from_the_stored_run():
    """What took most at first, what then, and what each step brought."""
    profiles = dict(zip(prompts.WAYS, [(50, 30, 20), (60, 35, 5), (40, 55, 5)], strict=True))
    traces = {}
    for way, shares in profiles.items():
        names = ("plan", "fill x", "resolve")
        blocks = [{"name": n, "self_ns": ns} for n, ns in zip(names, shares, strict=True)]
        traces[prompts.OF_WAY[way]] = {"profile": blocks, "elapsed_ns": [2000, 4000]}
    taken = {}
    for number, way in enumerate(prompts.WAYS):
        taken[f"{way}, cold"] = [900_000.0 - number * 100_000]
        taken[f"{way}, warm"] = [90_000.0 - number * 10_000]
    stored = {"traces": traces, "ways": [{"ns_a_prompt": taken}] * 2}
    first, then, skimmed, *_, plot, table = programs._bottleneck(stored, "CPython 3.13")
    assert str(first).endswith(": `plan` (50.0 %), `fill` (30.0 %) and `resolve` (20.0 %).")
    assert str(then).endswith("from 90.0 µs [90.0, 90.0] to 80.0 µs [80.0, 80.0].")
    assert str(skimmed).startswith("Then the largest part was `plan` (60.0 %).")
    assert str(skimmed).endswith("from 800.0 µs [800.0, 800.0] to 700.0 µs [700.0, 700.0].")
    assert isinstance(plot, Bars)
    assert [bar.middle for bar in plot.bars] == [900, 800, 700, 90, 80, 70]
    assert "| a prompt in the mean | 3.0 µs | 3.0 µs | 3.0 µs |" in str(table)
    assert "| own time of `resolve` | 20.0 % | 5.0 % | 5.0 % |" in str(table)


@pytest.mark.parametrize(
    ("names", "said"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_names_are_listed(names, said):
    """As in a sentence."""
    assert _text.listed(names) == said


def test_empty_parts_leave_no_gap():
    """A section is its title and what there is."""
    section = _text.Section("Title", ["one", "", PLOTS[0], "two"], 3)
    assert section.text() == "### Title\n\none\n\n![Some bars](performance/bars.svg)\n\ntwo"
    assert section.plots == [PLOTS[0]]
