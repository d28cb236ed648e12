"""What runs of many commits took, in a file that is only added to; where it changed for good."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import pairwise
from math import exp, fsum, hypot, inf, log, log1p, sqrt
from statistics import median

from .._text.files import checked_path, read_whole
from ..results.plain import Document, ResultsFormatError, parse
from .samples import check_confidence, check_real
from .student import tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from .._text.files import StrPath
    from ._runs import Runs

    # Track, name, and which of several of that name it is, in order of file and line, from 0 on.
    Key: TypeAlias = tuple[str, str, int]

FORMAT, VERSION = "stichotrope-history", 1
KEPT = ("typical", "mean", "self-mean", "cpu")  # figures of each block, in the file in ps
_WHERE_TAKEN = "cpu"  # which a block has in some entries only
THRESHOLD = 0.02  # the change that counts, unless the caller says otherwise
LEAST = 3  # entries of one level
_LEAST_SPREAD = 1e-4  # what a level is taken to vary by at least, as a share
_FAR = 4.0  # spreads away from its neighbours, an entry was measured on a bad day
_NEIGHBOURS = 3  # on each side: of two bad days one after the other, the others are still more
_PENALTY = 3.0  # times the logarithm of the length, for each change: three free quantities


@dataclass(frozen=True)
class HistoryEntry:
    """What the runs of one commit took.

    :ivar commit: its name.
    :ivar at: when the entry was made, as ISO 8601 has it, in UTC.
    :ivar runs: of how many runs the figures are the medians.
    :ivar facts: what the runs were made on and how, by name.
    :ivar blocks: track, name and number of each block → figure → ns.
    """

    commit: str
    at: str
    runs: int
    facts: Mapping[str, str]
    blocks: Mapping[Key, Mapping[str, float]]


@dataclass(frozen=True)
class HistoryChange:
    """Where a block's figure changed for good.

    :ivar place: the first entry that has the new level.
    :ivar commit: its commit.
    :ivar old_ns: the level before, in ns: a geometric mean.
    :ivar new_ns: the level from there on.
    :ivar ratio: new by old.
    :ivar p_value: how likely so clear a change would be anywhere in any block, were there none.
    """

    place: int
    commit: str
    old_ns: float
    new_ns: float
    ratio: float
    p_value: float


def entry_of(runs: Runs, commit: str, at: str) -> HistoryEntry:
    """Return the entry of some runs of one commit.

    :param runs: the runs.
    :param commit: its name.
    :param at: when, as ISO 8601 has it.
    :raises ValueError: when nothing was recorded, the runs differ in what they were made on, or
        hold single samples instead of a profiler's results.
    """
    from ._comparison import Sides, runs_of

    runs = runs_of(runs, "the results")
    facts = runs.runs[0].facts
    if any(run.facts != facts for run in runs):
        raise ValueError("the results were made on several machines, clocks or Pythons; add each")
    blocks: dict[Key, dict[str, float]] = {}
    numbers: dict[tuple[str, str], int] = {}
    pairs = Sides(runs, runs).pairs
    for series, _ in sorted(pairs, key=lambda pair: (pair[0].file, pair[0].line)):
        place = series.track, series.name
        number = numbers[place] = numbers.get(place, -1) + 1
        figures = {name: median(series.figures(name)) for name in KEPT}
        if not figures[_WHERE_TAKEN]:
            del figures[_WHERE_TAKEN]
        blocks[(*place, number)] = figures
    return HistoryEntry(commit, at, len(runs), facts, blocks)


def load_history(path: StrPath) -> list[HistoryEntry]:
    """Return the entries of a history, in the order in which they were added.

    :param path: the file.
    :raises OSError: when it cannot be read.
    :raises ResultsFormatError: when it is no history, or one that this version cannot read.
    """
    plain = checked_path(path)
    entries = []
    for number, line in enumerate(read_whole(plain).splitlines(), 1):
        try:
            entries.append(_entry(line))
        except ResultsFormatError as error:
            raise ResultsFormatError(f"{plain}, line {number}: {error}") from error.__cause__
    return entries


def add_to_history(path: StrPath, entry: HistoryEntry) -> None:
    """Add an entry at the end of a history, which is made if it is not there.

    :param path: the file.
    :param entry: what to add.
    :raises OSError: when it cannot be read or written.
    :raises ResultsFormatError: when there is a file, and it is no history.
    :raises ValueError: when the entry has no block in common with the last one.
    """
    plain = checked_path(path)
    before = load_history(plain) if os.path.exists(plain) else []
    if before and not before[-1].blocks.keys() & entry.blocks.keys():
        old, new = (
            ", ".join(repr(name) for _, name, _ in list(one.blocks)[:5])
            for one in (before[-1], entry)
        )
        raise ValueError(
            f"these are results of another program: {plain} has {old}; they have {new}"
        )
    # Opened for appending, one write adds a whole line, also beside others that do.
    with open(plain, "ab") as stream:
        stream.write(_line(entry))


def comparable(entries: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """Return the entries that were made on the same machine, clock and Python as the last one."""
    return [one for one in entries if one.facts == entries[-1].facts]


def changes(
    entries: Sequence[HistoryEntry],
    figure: str = "typical",
    *,
    confidence: float = 0.99,
    threshold: float = THRESHOLD,
) -> dict[Key, list[HistoryChange]]:
    """Return where the blocks of the last entry changed for good, in order.

    An entry that is far from its neighbours was measured on a bad day, and counts as their median
    (F. R. Hampel, JASA 69, 1974). The levels of each block's logarithms are found by PELT (R.
    Killick, P. Fearnhead and I. A. Eckley, JASA 107, 2012), as ``ruptures`` computes it (``pip
    install stichotrope[history]``). A change between two levels counts when Student's t shows it to
    be beyond the threshold, among all places at which it might have been found and all blocks (C.
    E. Bonferroni): the chance that any is told of a history without one is at most 1 -
    ``confidence``, as far as entries are independent.

    :param entries: entries that can be compared; see `comparable`.
    :param figure: which figure: ``typical``, ``mean``, ``self-mean``, or ``cpu`` where processor
        time was taken.
    :param confidence: of all changes together.
    :param threshold: the change, as a share, that counts, from 0 on and below 1.
    :raises ImportError: when ``ruptures`` is not installed.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when one makes no sense.
    """
    check_confidence(confidence)
    check_real(threshold, "a threshold")
    if not 0 <= threshold < 1:
        raise ValueError(f"a threshold is a share from 0 on and below 1, not {threshold}")
    if figure not in KEPT:
        raise ValueError(f"figure must be one of {', '.join(KEPT)}, not {figure!r}")
    keys = [key for key, known in entries[-1].blocks.items() if figure in known] if entries else []
    return {key: _changes(entries, key, figure, len(keys), confidence, threshold) for key in keys}


def _changes(
    entries: Sequence[HistoryEntry],
    key: Key,
    figure: str,
    blocks: int,
    confidence: float,
    threshold: float,
) -> list[HistoryChange]:
    places = [
        place for place, one in enumerate(entries) if one.blocks.get(key, {}).get(figure, 0) > 0
    ]
    values = [log(entries[place].blocks[key][figure]) for place in places]
    ends: list[int] = []
    if len(values) >= 2 * LEAST:
        spread = _spread(values)
        values = _without_bad_days(values, spread)
        ends = _levels(values, spread)
    tests = len(values) * blocks
    found: list[HistoryChange] = []
    while ends:
        found = [
            _change(values, *around, tests, threshold)
            for around in zip([0, *ends[:-1]], ends, [*ends[1:], len(values)], strict=True)
        ]
        worst = max(range(len(found)), key=lambda place: found[place].p_value)
        if found[worst].p_value <= 1 - confidence:
            break
        del ends[worst]  # what is no change joins two levels, and so may change what others show
        found = []
    return [
        HistoryChange(
            places[one.place],
            entries[places[one.place]].commit,
            one.old_ns,
            one.new_ns,
            one.ratio,
            one.p_value,
        )
        for one in found
    ]


def _spread(values: Sequence[float]) -> float:
    """Return by how much values vary around their level, whatever levels there are."""
    steps = [abs(after - before) for before, after in pairwise(values)]
    # Of neighbours, few lie on both sides of a change; a normal step's median is 0.9539 spreads.
    return max(median(steps) / 0.9539, _LEAST_SPREAD)


def _without_bad_days(values: Sequence[float], spread: float) -> list[float]:
    usual = [
        median(values[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS + 1])
        for place in range(len(values))
    ]
    return [
        value if abs(value - near) <= _FAR * spread else near
        for value, near in zip(values, usual, strict=True)
    ]


def _levels(values: Sequence[float], spread: float) -> list[int]:
    """Return where new levels begin."""
    try:
        import numpy
        from ruptures import Pelt
    except ImportError as error:
        raise ImportError(
            "changes in a history are found by ruptures, which is not installed: "
            "pip install stichotrope[history]"
        ) from error
    signal = numpy.asarray(values) / spread
    penalty = _PENALTY * log(len(values))
    ends = Pelt(model="l2", min_size=LEAST, jump=1).fit(signal).predict(pen=penalty)
    return [int(end) for end in ends[:-1]]


def _change(
    values: Sequence[float], first: int, place: int, end: int, tests: int, threshold: float
) -> HistoryChange:
    old, new = values[first:place], values[place:end]
    levels = [fsum(side) / len(side) for side in (old, new)]
    freedom = len(old) + len(new) - 2
    squares = fsum(
        (value - level) ** 2
        for side, level in zip((old, new), levels, strict=True)
        for value in side
    )
    spread = max(sqrt(squares / freedom), _LEAST_SPREAD)
    error = spread * hypot(1 / sqrt(len(old)), 1 / sqrt(len(new)))
    difference = levels[1] - levels[0]
    beyond = max(difference - log1p(threshold), log1p(-threshold) - difference)
    p_value = min(1.0, 2 * tests * tail(beyond / error, freedom)) if beyond > -inf else 1.0
    return HistoryChange(place, "", exp(levels[0]), exp(levels[1]), exp(difference), p_value)


# A line of the file


def _line(entry: HistoryEntry) -> bytes:
    document = {
        "format": FORMAT,
        "format_version": VERSION,
        "commit": entry.commit,
        "at": entry.at,
        "runs": entry.runs,
        "facts": dict(entry.facts),
        "blocks": [
            {
                "track": track,
                "name": name,
                "number": number,
                **{f"{figure}_ps": round(1000 * ns) for figure, ns in figures.items()},
            }
            for (track, name, number), figures in entry.blocks.items()
        ],
    }
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def _entry(line: bytes) -> HistoryEntry:
    data = parse(line)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ResultsFormatError(f'no entry of a history; it would have "format": "{FORMAT}"')
    if data.get("format_version") != VERSION:
        raise ResultsFormatError(
            f"format_version is {data.get('format_version')!r}; this version reads {VERSION}"
        )
    document = Document(data, "")
    facts = document.mapping("facts")
    if not all(isinstance(value, str) for value in facts.values()):
        raise ResultsFormatError('field "facts" must hold texts')
    return HistoryEntry(
        document.text("commit"),
        document.text("at"),
        document.count("runs"),
        facts,
        {
            (block.text("track"), block.text("name"), block.count("number")): {
                figure: block.count(f"{figure}_ps") / 1000
                for figure in KEPT
                if figure != _WHERE_TAKEN or f"{figure}_ps" in block.value
            }
            for block in document.objects("blocks")
        },
    )
