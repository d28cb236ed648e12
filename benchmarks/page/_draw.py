"""Draws plots with matplotlib, the same ones each time."""

from __future__ import annotations

import io
from functools import singledispatch
from itertools import pairwise
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmarks.page._plots import FLOOR, OTHERS, OURS, Bar, Bars, Guide, Line, Lines, Plot

# Okabe and Ito, Color Universal Design (2008): told apart whatever one's eyes see.
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE, BLACK = (
    *("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#000000"),
)
COLOURS = {OURS: BLUE, OTHERS: "#B3B3B3", FLOOR: "#DDDDDD"}
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = "osD^v<>"
GREY = "#555555"

INCH = 72.0
WIDTH_IN, HEIGHT_IN = 8.0, 4.0
BAR_IN = 0.27
LABEL_POINTS = 12.0
"""How far apart the names of lines are, at least."""

MOST_NAMED = 8

_STYLE = {
    # Seeds the names of what an SVG refers to in itself; they are drawn at random otherwise.
    "svg.hashsalt": "stichotrope",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.labelcolor": GREY,
}


def svg(plot: Plot) -> str:
    """Return a plot as SVG, with its digest as the description."""
    with rc_context(_STYLE):
        drawn = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Description": plot.digest()}
        _draw(plot).savefig(drawn, format="svg", metadata=metadata)
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines()) + "\n"


def png(plot: Plot) -> bytes:
    """Return a plot as a picture of dots, for who wants to look at it."""
    with rc_context(_STYLE):
        drawn = io.BytesIO()
        _draw(plot).savefig(drawn, format="png", dpi=110)
    return drawn.getvalue()


@singledispatch
def _draw(plot: Plot) -> Figure:
    raise TypeError(f"there is no way to draw a {type(plot).__name__}")


@_draw.register
def _bars(plot: Bars) -> Figure:
    count = len(plot.bars)
    height = BAR_IN * count + 1.2
    figure, axes = _axes(plot, height)
    places = range(count - 1, -1, -1)
    begin = _range_of_bars(axes, plot)
    for place, bar in zip(places, plot.bars, strict=True):
        axes.barh(place, bar.middle, height=0.72, color=COLOURS[bar.whose])
        axes.plot([bar.low, bar.high], [place, place], color=BLACK, linewidth=1.4)
        _beside(axes, plot, bar, (max(bar.high, bar.middle, begin), place))
    axes.set_yticks(list(places), [bar.title for bar in plot.bars])
    for label, bar in zip(axes.get_yticklabels(), plot.bars, strict=True):
        label.set_color(BLACK if bar.whose == OURS else GREY)
        label.set_fontweight("bold" if bar.whose == OURS else "normal")
    widest = max(_width_in(figure, label) for label in axes.get_yticklabels())
    above = 0.55 if plot.guides else 0.4
    figure.subplots_adjust(
        left=(widest + 0.2) / WIDTH_IN, right=0.96, top=1 - above / height, bottom=0.55 / height
    )
    axes.set_ylim(-0.6, count - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(plot.unit)
    _format(axes.xaxis, plot.logarithmic)
    for guide in plot.guides:
        _vertical(axes, guide)
    return figure


@_draw.register
def _lines(plot: Lines) -> Figure:
    figure, axes = _axes(plot, HEIGHT_IN)
    if plot.logarithmic_sizes:
        axes.set_xscale("log")
    if plot.logarithmic:
        axes.set_yscale("log", nonpositive="clip")
    looks = _looks(plot)
    for line in plot.lines:
        _line(axes, line, plot.logarithmic, *looks[line.title])
    _range_of_lines(axes, plot)
    axes.set_xlabel(plot.over)
    axes.set_ylabel(plot.unit)
    _format(axes.xaxis, plot.logarithmic_sizes)
    _format(axes.yaxis, plot.logarithmic)
    if plot.logarithmic_sizes:
        _name_sizes(axes, plot)
    axes.grid(axis="y", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    for guide in plot.guides:
        _horizontal(axes, guide)
    figure.subplots_adjust(left=0.11, top=0.9, bottom=0.13)
    names = _name_lines(figure, axes, plot, [looks[line.title][0] for line in plot.lines])
    figure.subplots_adjust(
        right=1 - (max(_width_in(figure, name) for name in names) + 0.25) / WIDTH_IN
    )
    return figure


def _axes(plot: Plot, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH_IN, height))
    axes = figure.add_subplot()
    # Over the whole picture, not over the axes: names of bars may take half of it.
    figure.text(0.012, 1 - 0.09 / height, plot.title, va="top", fontsize=11, fontweight="bold")
    return figure, axes


def _width_in(figure: Figure, text: Any) -> float:
    return float(text.get_window_extent().width / figure.dpi)


# ---- bars ----------------------------------------------------------------------------------------


def _beside(axes: Any, plot: Bars, bar: Bar, end: tuple[float, int]) -> None:
    """Write the figure behind its bar."""
    axes.annotate(
        _number(bar.middle, plot.digits),
        end,
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        fontweight="bold" if bar.whose == OURS else "normal",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
    )


def _range_of_bars(axes: Any, plot: Bars) -> float:
    """Leave room for the figures behind the bars; return where bars begin."""
    least = min(bar.low for bar in plot.bars)
    most = max(*(bar.high for bar in plot.bars), *(guide.value for guide in plot.guides), 0.0)
    if plot.logarithmic:
        begin = _below(min(bar.low for bar in plot.bars if bar.low > 0))
        axes.set_xscale("log", nonpositive="clip")
        axes.set_xlim(begin, most * (most / begin) ** 0.12)
        return begin
    room = 0.12 * (most - min(least, 0.0))
    axes.set_xlim(least - room / 3 if least < 0 else 0.0, most + room)
    return 0.0


def _vertical(axes: Any, guide: Guide) -> None:
    axes.axvline(guide.value, color=GREY, linestyle=":", linewidth=1.2, zorder=0)
    axes.annotate(
        guide.title,
        (guide.value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        color=GREY,
        fontsize=9,
        ha="center",
        va="bottom",
    )


def _below(value: float) -> float:
    """Return the power of ten at which a logarithmic axis of bars begins."""
    power = 1.0
    while power > value / 1.05:
        power /= 10
    while power * 10 <= value / 1.05:
        power *= 10
    return power


# ---- lines ---------------------------------------------------------------------------------------


def _looks(plot: Lines) -> dict[str, tuple[str, str, str]]:
    """Return each line's colour, marker and style; what is derived has the colour of its origin."""
    found: dict[str, tuple[str, str, str]] = {}
    for line in plot.lines:
        number = sum(other.like is None for other in plot.lines[: len(found)])
        colour = GREY if line.whose == FLOOR else LINES[number % len(LINES)]
        if line.like is not None:
            colour = found[line.like][0]
        solid = line.whose != FLOOR and line.like is None
        marker = MARKERS[number % len(MARKERS)] if line.like is None else ""
        found[line.title] = colour, marker, "-" if solid else "--"
    return found


def _line(axes: Any, line: Line, logarithmic: bool, colour: str, marker: str, style: str) -> None:
    """Draw a line through its points, with the band of their intervals.

    On a logarithmic axis there is no place for what may be nothing: an open triangle shows where
    its interval ends, and the line goes past it.
    """
    firm = [point for point in line.points if point.low > 0 or not logarithmic]
    if firm:
        sizes, middles, lows, highs = zip(*firm, strict=True)
        axes.fill_between(sizes, lows, highs, color=colour, alpha=0.2, linewidth=0)
        axes.plot(sizes, middles, color=colour, marker=marker, markersize=4, linestyle=style)
    loose = [(point.size, point.high) for point in line.points if point not in firm]
    if loose:
        sizes, highs = zip(*loose, strict=True)
        axes.plot(sizes, highs, color=colour, marker="v", markerfacecolor="white", linestyle="")


def _end(line: Line, logarithmic: bool) -> tuple[float, float]:
    """Return where the last mark of a line is."""
    last = line.points[-1]
    return last.size, last.high if logarithmic and last.low <= 0 else last.middle


def _range_of_lines(axes: Any, plot: Lines) -> None:
    """Let a linear axis begin at 0, and a logarithmic one leave room above and below."""
    points = [point for line in plot.lines for point in line.points]
    guides = [guide.value for guide in plot.guides]
    if plot.logarithmic:
        shown = [point.middle if point.low > 0 else point.high for point in points]
        positive = [value for value in (*shown, *guides) if value > 0]
        axes.set_ylim(min(positive) / 1.6, max(positive) * 1.6)
    else:
        most = max(*guides, *(point.high for point in points), 0.0)
        axes.set_ylim(min(0.0, *(point.low for point in points)), most * 1.08)


def _name_sizes(axes: Any, plot: Lines) -> None:
    """Name the sizes that were measured, as long as their names have room."""
    sizes = sorted({point.size for line in plot.lines for point in line.points})
    if len(sizes) <= MOST_NAMED:
        axes.set_xticks(sizes, [_short(size) for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())


def _name_lines(figure: Figure, axes: Any, plot: Lines, colours: list[str]) -> list[Any]:
    """Write each line's name at its end, one above the other where they would overlap."""
    ends = [_end(line, plot.logarithmic) for line in plot.lines]
    points = INCH / figure.dpi
    wanted = [float(axes.transData.transform(end)[1]) * points for end in ends]
    places = _apart(wanted)
    return [
        axes.annotate(
            line.title,
            end,
            xytext=(8, place - want),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=colour,
            annotation_clip=False,
        )
        for line, end, place, want, colour in zip(
            plot.lines, ends, places, wanted, colours, strict=True
        )
    ]


def _apart(wanted: list[float]) -> list[float]:
    """Return places near those wanted, none nearer to the next than a line of text is high."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    found = list(wanted)
    for _ in wanted:
        for low, high in pairwise(order):
            overlap = found[low] + LABEL_POINTS - found[high]
            if overlap > 0:
                found[low] -= overlap / 2
                found[high] += overlap / 2
    return found


def _horizontal(axes: Any, guide: Guide) -> None:
    axes.axhline(guide.value, color=GREY, linestyle=":", linewidth=1.2)
    axes.annotate(
        guide.title,
        (0, guide.value),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        color=GREY,
        fontsize=9,
    )


# ---- numbers -------------------------------------------------------------------------------------


def _format(axis: Any, logarithmic: bool) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    if logarithmic:
        axis.set_minor_formatter(NullFormatter())


def _number(value: float, digits: int | None) -> str:
    if digits is None:
        said = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    else:
        said = f"{value:,.{digits}f}"
    return said.replace("-", "−")


def _short(value: float) -> str:
    """Return a size or a mark of an axis: 10,000 in full, tiny ones by their power."""
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        return f"{value:,.10g}"
    return f"{value:.0e}"
