"""The CSV export: one line per block in the nine columns of the CppProfiler format, or in many.

A name that a spreadsheet would take for a formula (one that begins with ``=``, ``+``, ``-``, ``@``,
a tab or a line break) gets an apostrophe in front: names may come from the data that a program
handles, and opening a report must not run them. What drives a terminal is escaped, so that looking
at the file with ``cat`` is harmless; line breaks and tabs stay. The JSON export keeps every name as
it is.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..results import ProfileBlock, ProfilerResults, ProfileTrack

COLUMNS = (
    "Track",
    "Block Name",
    "Hit Count",
    "Total Time (ns)",
    "Avg Time (ns)",
    "Min Time (ns)",
    "Max Time (ns)",
    "% Track",
    "% Total",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def render(results: ProfilerResults, wide: bool = False) -> str:
    """Return results as CSV text: tracks by index, their blocks by index, lines ending in LF.

    :param results: the results.
    :param wide: whether to have all figures and the place of each block, in the columns that data
        frames have, in place of the nine.
    :raises TypeError: when ``wide`` is not True or False.
    """
    if not isinstance(wide, bool):
        raise TypeError(f"wide must be True or False, not {wide!r}")
    return _text(_wide_rows(results) if wide else _rows(results))


def _text(rows: Iterable[Iterable[object]]) -> str:
    import csv
    from types import SimpleNamespace

    lines: list[str] = []
    # The csv module quotes a lone carriage return only if its own line ends have one.
    writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
    writer.writerows([_cell(one) if isinstance(one, str) else one for one in row] for row in rows)
    text = "".join(line.removesuffix("\r\n") + "\n" for line in lines)
    # A lone surrogate cannot be written to a file.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _rows(results: ProfilerResults) -> Iterator[Iterable[object]]:
    yield COLUMNS
    for _, track in sorted(results.tracks.items()):
        for block in sorted(track.blocks, key=lambda block: block.block_idx):
            yield _row(block, track, results.total_time_ns)


def _wide_rows(results: ProfilerResults) -> Iterator[Iterable[object]]:
    from ..results.frames import SCHEMAS, rows

    names = SCHEMAS["block"]
    yield names
    for row in rows(results, "block"):
        yield [row[name] for name in names]


def _row(block: ProfileBlock, track: ProfileTrack, total_time_ns: int) -> tuple[str | int, ...]:
    return (
        track.track_idx,
        block.name,
        block.hit_count,
        block.total_time_ns,
        f"{block.avg_time_ns:.2f}",
        block.min_time_ns,
        block.max_time_ns,
        _percent(block.total_time_ns, track.total_time_ns),
        _percent(block.total_time_ns, total_time_ns),
    )


def _cell(name: str) -> str:
    # Readers refuse a null character, and a terminal obeys the others.
    name = "".join(f"\\x{ord(char):02x}" if _is_control(char) else char for char in name)
    return f"'{name}" if name.startswith(_FORMULA_STARTS) else name


def _is_control(char: str) -> bool:
    return (char < " " and char not in "\t\r\n") or "\x7f" <= char < "\xa0"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole if whole else 0:.2f}"
