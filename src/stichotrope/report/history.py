"""A page with a line for each block over the commits: one file, without any script."""

from __future__ import annotations

from html import escape

from .._text.format import format_time_ns, printable
from .._version import __version__
from .html import _asset, _hash

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..statistics import HistoryChange, HistoryEntry

    Key = tuple[str, str, int]

TITLES = {
    "typical": "a typical pass",
    "mean": "the mean pass",
    "self-mean": "a pass's own time",
    "cpu": "the mean pass in processor time",
}
_WIDTH, _HEIGHT, _EDGE = 640, 64, 6  # of a line's picture


def render(
    entries: Sequence[HistoryEntry],
    found: Mapping[Key, Sequence[HistoryChange]],
    figure: str = "typical",
) -> str:
    """Return the page.

    :param entries: what is shown, from the oldest to the newest.
    :param found: the blocks that are shown, each with where it changed.
    :param figure: which figure of each block.
    """
    from string import Template

    first, last = entries[0], entries[-1]
    style = _asset("history.css")
    told = {
        "figure": TITLES[figure],
        "count": f"{len(entries):,} {'entry' if len(entries) == 1 else 'entries'}",
        "from_day": first.at[:10],
        "to_day": last.at[:10],
        "from_commit": first.commit[:12],
        "to_commit": last.commit[:12],
        "facts": ", ".join(f"{name} {value}" for name, value in last.facts.items()),
        "version": __version__,
    }
    return Template(_asset("history.html")).substitute(
        {name: _text(value) for name, value in told.items()},
        hash=_hash(style),
        style=style,
        rows="\n".join(_row(entries, key, changes, figure) for key, changes in found.items()),
    )


def _text(text: str) -> str:
    return escape(printable(text))


def _row(
    entries: Sequence[HistoryEntry], key: Key, changes: Sequence[HistoryChange], figure: str
) -> str:
    track, name, _ = key
    now = format_time_ns(entries[-1].blocks[key][figure])
    said = "<br>".join(
        f'<span class="{_kind(change)}">{100 * (change.ratio - 1):+.1f} %</span> '
        f"{_text(change.commit[:12])}"
        for change in changes
    )
    return (
        f'<tr><td class="name">{_text(name)}<br><small>{_text(track)}</small></td>'
        f'<td class="now">{escape(now)}</td><td>{said}</td>'
        f"<td>{_picture(entries, key, changes, figure)}</td></tr>"
    )


def _kind(change: HistoryChange) -> str:
    return "slower" if change.ratio > 1 else "faster"


def _picture(
    entries: Sequence[HistoryEntry], key: Key, changes: Sequence[HistoryChange], figure: str
) -> str:
    values = {
        place: one.blocks[key][figure]
        for place, one in enumerate(entries)
        if figure in one.blocks.get(key, {})
    }
    low, high = min(values.values()), max(values.values())
    step = (_WIDTH - 2 * _EDGE) / max(len(entries) - 1, 1)

    def x(place: float) -> str:
        return f"{_EDGE + step * place:.1f}"

    def y(value: float) -> str:
        share = (value - low) / (high - low) if high > low else 0.5
        return f"{_HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * share:.1f}"

    lines = "".join(
        f'<line class="{_kind(change)}" x1="{x(change.place - 0.5)}" x2="{x(change.place - 0.5)}" '
        f'y1="0" y2="{_HEIGHT}"/>'
        for change in changes
    )
    points = " ".join(f"{x(place)},{y(value)}" for place, value in values.items())
    dots = "".join(
        f'<circle cx="{x(place)}" cy="{y(value)}" r="2.5">'
        f"<title>{_text(entries[place].commit[:12])}, {_text(entries[place].at[:10])}: "
        f"{escape(format_time_ns(value))}</title></circle>"
        for place, value in values.items()
    )
    said = f"{format_time_ns(low)} to {format_time_ns(high)}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(said)}">'
        f'{lines}<polyline points="{points}"/>{dots}</svg>'
    )
