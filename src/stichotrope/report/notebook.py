"""The report as a fragment of HTML that a notebook shows: compact, without scripts."""

from __future__ import annotations

from html import escape

from .._text.columns import HEADINGS, OF_PASSES
from .._text.format import printable
from ..results import results_of
from . import _passes
from ._source import excerpts
from .console import _blocks, _Glyphs, _Page, _Row

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..results import ProfilerResults, ProfileTrack
    from .console import Line

_MOST_SOURCE = 1 << 16  # characters of source lines in all
_WIDE = 1 << 20  # so many columns that nothing is shortened: a notebook scrolls

# Colours are those around it, so that it is right on a light and on a dark page.
_STYLE = """
.stichotrope-report { font-size: 90%; overflow-x: auto; }
.stichotrope-report p { margin: .4em 0; opacity: .75; }
.stichotrope-report table { border-collapse: collapse; margin: .2em 0 .6em; color: inherit;
  font-size: inherit; }
.stichotrope-report th, .stichotrope-report td { padding: .1em .6em; text-align: right;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
.stichotrope-report thead th { font-weight: normal; opacity: .75; border-bottom: 1px solid; }
.stichotrope-report tbody th { padding-top: .6em; }
.stichotrope-report .text { text-align: left; }
.stichotrope-report summary { cursor: pointer; }
.stichotrope-report pre { margin: .3em 0; }
.stichotrope-report .place, .stichotrope-report .unhit { opacity: .6; }
.stichotrope-report .bar { display: block; height: 2px; background: currentColor; }
"""


def render(
    results: object,
    *,
    sort: str = "total",
    limit: int | None = None,
    source: bool = False,
) -> str:
    """Return a report as HTML: the tracks, and in each a table of its blocks.

    :param results: a `ProfilerResults`, or a `Profiler`.
    :param sort: what the blocks of a track are sorted by; see `print_results`.
    :param limit: how many blocks to show of each track; all unless given.
    :param source: whether each block has the lines of its source beside it, which a press on its
        place opens, as far as they can be read now.
    """
    found = results_of(results)
    page = _Page(found, _WIDE, "utf-8")
    name, *facts = map(_text, page._title())
    parts = [f"<style>{_STYLE}</style>", f"<b>{name}</b>", *_paragraphs(facts)]
    if found.was_entered:
        columns = _columns(found)
        lines = _lines(found) if source else {}
        headings = "".join(f"<th>{HEADINGS[key]}</th>" for key in columns)
        parts.append(
            f'<table><thead><tr><th class="text">Block</th>{headings}<th></th></tr></thead>'
        )
        for _, track in sorted(found.tracks.items()):
            parts += _track(track, found, page, columns, sort, limit, lines)
        parts.append("</table>")
    else:
        parts.append("<p>Nothing was recorded.</p>")
    parts += _paragraphs(map(_text, page._footer()))
    return f'<div class="stichotrope-report">{"".join(parts)}</div>'


def _lines(results: ProfilerResults) -> dict[tuple[str, int], str]:
    """Return the lines around each block's place, with their numbers; the busiest blocks' first."""
    busiest = sorted(_blocks(results), key=lambda block: -block.total_time_ns)
    found = excerpts(((block.file, block.line) for block in busiest), _MOST_SOURCE)
    return {
        (file, line): "\n".join(
            f"{number:>5} {printable(excerpt.lines[number])}" for number in range(line, last + 1)
        )
        for file, excerpt in found.items()
        for line, (_, last) in excerpt.ranges.items()
    }


def _columns(results: ProfilerResults) -> list[str]:
    """Return the columns, of those that are not always there the ones that say something."""
    telling = _passes.columns(_blocks(results))
    always = (key for key in HEADINGS if key != "bar")
    return [key for key in always if key not in OF_PASSES or key in telling]


def _text(line: Line) -> str:
    return escape("".join(text for text, _ in line))


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [f"<p>{text}</p>" for text in texts if text]


def _track(
    track: ProfileTrack,
    results: ProfilerResults,
    page: _Page,
    columns: list[str],
    sort: str,
    limit: int | None,
    lines: dict[tuple[str, int], str],
) -> Iterator[str]:
    width = len(columns) + 2  # with the name and the place
    yield f"<tbody><tr>{_across('th', width, _text(page._track(track)))}</tr>"
    shown = _passes.sorted_by(track.blocks, sort)[:limit]
    glyphs = _Glyphs("utf-8")
    for block in shown:
        share = 100 * block.total_time_ns / max(results.total_time_ns, 1)
        shown_lines = lines.get((block.file, block.line), "")
        yield _row(_Row(block, results, glyphs), columns, min(share, 100.0), shown_lines)
    hidden = len(track.blocks) - len(shown)
    if hidden:
        yield f'<tr class="unhit">{_across("td", width, f"… and {hidden:,} more")}</tr>'
    yield "</tbody>"


def _across(tag: str, width: int, text: str) -> str:
    return f'<{tag} class="text" colspan="{width}">{text}</{tag}>'


def _row(row: _Row, columns: list[str], share: float, lines: str) -> str:
    bar = f'<span class="bar" style="width:{share:.1f}%"></span>' if row.was_entered else ""
    cells = "".join(
        f"<td>{escape(row.cells[key])}{bar if key == 'share' else ''}</td>" for key in columns
    )
    name = f'<td class="text">{escape(row.name)}</td>'
    where = escape(row.where)
    if lines:
        where = f"<details><summary>{where}</summary><pre>{escape(lines)}</pre></details>"
    place = f'<td class="text place">{where}</td>'
    unhit = "" if row.was_entered else ' class="unhit"'
    return f"<tr{unhit}>{name}{cells}{place}</tr>"
