"""What changed between two versions of a program: each block's ratio, interval and verdict."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import exp, fsum, hypot, inf, log, log1p, sqrt

from ..results import ProfilerResults, results_of
from ._counts import PathCount, compared_counts, nested_in, only_in
from ._matching import matched
from ._runs import METRICS, Runs
from .samples import check_confidence, check_real, deviation, holm
from .student import tail, tail_begin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, Protocol, TypeAlias

    from ._runs import Figures

    class Profiled(Protocol):
        """A profiler, whose results are taken at this moment."""

        def get_results(self) -> ProfilerResults: ...

    One: TypeAlias = Runs | ProfilerResults | Profiled
    Source: TypeAlias = One | Iterable[One]

FASTER, SLOWER = "faster", "slower"
NO_DIFFERENCE, TOO_LITTLE = "no difference shown", "too little data"
VERDICTS = (FASTER, SLOWER, NO_DIFFERENCE, TOO_LITTLE)

RUNS, PASSES, PAIRS = "runs", "passes of one run", "pairs of runs"
# How large a change must be, as a share, before it counts, unless the caller says otherwise. Where
# code and data happen to lie in memory alone moves a program's times by some percent between
# builds (T. Mytkowicz et al., "Producing Wrong Data Without Doing Anything Obviously Wrong!",
# ASPLOS 2009); a single run does not even show how far its own times move from run to run.
THRESHOLDS = {RUNS: 0.02, PASSES: 0.05, PAIRS: 0.02}

_WITH_NESTED = (
    "mean",
    "typical",
    "median",
    "min",
    "total",
)  # figures that nested blocks are part of
_WITH_OPEN = ("total", "self", "self-mean")  # those that passes are part of before they end
LEAST_RUNS = 3  # on one side at least
LEAST_PASSES = 30  # on each side, where there is one run
# What is compared unless the caller says: what a load moves least. Of one run against another of
# the same program on a busy machine, the means of passes differ by more than their errors tell in a
# third of the comparisons.
_ROBUST = {RUNS: "typical", PASSES: "median"}
_HALF = Fraction(1, 2)
# Between runs that are made one version after the other lies whatever the machine did meanwhile,
# which is no less for there being many of them: so all runs of a side tell as much as one whose
# spread is known. Without that, beside a load that drifts, from a tenth to two thirds of the
# comparisons of a program with itself call something changed, the more the more runs there are.
_BETWEEN = 1.0  # times the variance of a run

_MORE_RUNS = "it takes {} runs on one side, with the block in them"
_MORE_PASSES = "it takes {} passes on each side where there is one run of each"
_ONE_FIGURE = "one run of each has a single figure, and nothing tells how far it varies: give more"
_OPEN = "passes are open, and their times are as far as they had come"
_ZERO = "a figure is 0, so there is no ratio"
_NO_CPU = (
    "no processor time was taken of it on both sides: stichotrope run --cpu, Profiler(cpu=True)"
)
_NESTED = "its own time is not shown to be slower, but what is nested in it: {}"
_OTHERS = "its interval alone would show it, but not among as many blocks as were compared"


@dataclass(frozen=True)
class BlockComparison:
    """One block in two versions of a program.

    :ivar track: the name of its track, in the new version.
    :ivar track_idx: the index of its track, in the new version.
    :ivar name: its name.
    :ivar old_file: the file of its call site; empty for what has none, as in a pyperf file.
    :ivar old_line: the line of its call site.
    :ivar new_file: the same of the new version.
    :ivar new_line: the same of the new version.
    :ivar old_ns: the figure compared, in ns: the mean over the runs of each run's figure; in pairs
        of runs, their median.
    :ivar new_ns: the same of the new version.
    :ivar old_hits: passes, in all runs.
    :ivar new_hits: the same of the new version.
    :ivar old_runs: how many runs hit it.
    :ivar new_runs: the same of the new version.
    :ivar ratio: new by old: 1.1 is 10 % slower. None when a figure is 0.
    :ivar low: the lower end of the ratio's interval, for this block by itself; None when there is
        none.
    :ivar high: its upper end.
    :ivar p_value: how likely a change as clear as this would be in any of the blocks compared, were
        there none beyond the threshold; None when there is no interval.
    :ivar verdict: one of `VERDICTS`.
    :ivar basis: what the interval is of: "runs", "passes of one run" or "pairs of runs".
    :ivar note: what to know of the verdict; empty when there is nothing.
    :ivar figure: which figure it is that is compared, one of `METRICS`.
    """

    track: str
    track_idx: int
    name: str
    old_file: str
    old_line: int
    new_file: str
    new_line: int
    old_ns: float
    new_ns: float
    old_hits: int
    new_hits: int
    old_runs: int
    new_runs: int
    ratio: float | None
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str
    basis: str
    note: str
    figure: str

    @property
    def change(self) -> float | None:
        """The change as a share of the old figure: 0.1 is 10 % slower, -0.1 is 10 % faster."""
        return None if self.ratio is None else self.ratio - 1

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that JSON can hold."""
        return {**_plain(self), "change": self.change}


@dataclass(frozen=True)
class LoneBlock:
    """A block that was entered in one of the versions only.

    :ivar track: the name of its track.
    :ivar track_idx: the index of its track.
    :ivar name: its name.
    :ivar file: the file of its call site; empty for what has none.
    :ivar line: the line of its call site.
    :ivar hits: passes that ended, in all runs.
    :ivar runs: how many runs entered it.
    :ivar ns: the figure compared, in ns: the mean over the runs of each run's figure; 0 without
        hits.
    """

    track: str
    track_idx: int
    name: str
    file: str
    line: int
    hits: int
    runs: int
    ns: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that JSON can hold."""
        return _plain(self)


def _plain(record: BlockComparison | LoneBlock) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


@dataclass(frozen=True)
class Comparison:
    """The blocks of two versions of a program side by side; iterating gives `BlockComparison`s.

    :ivar blocks: the blocks that are in both, in the order of the new version.
    :ivar only_old: blocks that were entered in the old version only.
    :ivar only_new: blocks that were entered in the new version only.
    :ivar metric: the figure compared, one of `METRICS`; in pairs of runs, that of blocks in one
        version only.
    :ivar confidence: of the intervals, and of all verdicts together.
    :ivar threshold: the change, as a share, that a verdict has to show to be exceeded.
    :ivar basis: what the intervals are of: "runs", "pairs of runs", or "passes of one run", which
        know nothing of how times vary from run to run.
    :ivar old_label: where the old runs come from; empty when that has no name.
    :ivar new_label: the same of the new version.
    :ivar old_runs: how many runs there were.
    :ivar new_runs: the same of the new version.
    :ivar notes: sentences on what else differs between the two: Python, machine, clock.
    :ivar counts: how often each path of nested blocks is passed, of those that are in both.
    :ivar paths_only_old: the names along each path that only the old version passes, the paths
        below it left out.
    :ivar paths_only_new: the same of the new version.
    :ivar unfinished: the names of blocks that are in both and not compared, as no pass of them had
        ended on one side.
    :ivar in_turns: whether old and new runs were made in turns, True in pairs; False for those of
        one version after those of the other, None where runs do not say when they were made.
    """

    blocks: list[BlockComparison]
    only_old: list[LoneBlock]
    only_new: list[LoneBlock]
    metric: str
    confidence: float
    threshold: float
    basis: str
    old_label: str
    new_label: str
    old_runs: int
    new_runs: int
    notes: list[str]
    counts: list[PathCount]
    paths_only_old: list[tuple[str, ...]]
    paths_only_new: list[tuple[str, ...]]
    unfinished: list[str]
    in_turns: bool | None

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[BlockComparison]:
        return iter(self.blocks)

    def __getitem__(self, place: int) -> BlockComparison:
        return self.blocks[place]

    @property
    def is_of_pairs(self) -> bool:
        """Whether runs were compared in pairs; see `compare_pairs`."""
        return self.basis == PAIRS

    @property
    def is_of_runs(self) -> bool:
        """Whether the intervals know how times vary from run to run."""
        return self.basis != PASSES

    def of_verdict(self, verdict: str) -> list[BlockComparison]:
        """Return the blocks of one verdict.

        :param verdict: one of `VERDICTS`.
        :raises ValueError: when it is none of them.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}")
        return [block for block in self.blocks if block.verdict == verdict]

    def to_dict(self) -> dict[str, Any]:
        """Return it as a document for programs: dicts, lists, str, numbers, None."""
        return {
            "format": "stichotrope-comparison",
            "format_version": 1,
            "metric": self.metric,
            "confidence": self.confidence,
            "threshold": self.threshold,
            "basis": self.basis,
            "old": {"label": self.old_label, "runs": self.old_runs},
            "new": {"label": self.new_label, "runs": self.new_runs},
            "notes": list(self.notes),
            "blocks": [block.to_dict() for block in self.blocks],
            "only_old": [block.to_dict() for block in self.only_old],
            "only_new": [block.to_dict() for block in self.only_new],
            "counts": [count.to_dict() for count in self.counts],
            "paths_only_old": [list(path) for path in self.paths_only_old],
            "paths_only_new": [list(path) for path in self.paths_only_new],
            "unfinished": list(self.unfinished),
            "in_turns": self.in_turns,
        }


def compare(
    old: Source,
    new: Source,
    *,
    metric: str | None = None,
    confidence: float = 0.99,
    threshold: float | None = None,
) -> Comparison:
    """Return what changed between two versions of a program, block by block.

    With several runs of each, one figure of each run is a sample: passes of one run share what
    happened to that run, so they are not independent. The interval of the ratio of the two means is
    Welch's, on a logarithmic scale (B. L. Welch, Biometrika 34, 1947; the standard errors of the
    logarithms by the delta method). Three runs on one side are needed; a single run on the other is
    taken to vary as much as these do.

    That takes runs for independent, which they are only if those of the two versions were made in
    turns, or on a machine that does nothing else. Where their times say that they were made one
    version after the other, those of a side tell no more than one whose spread is known: then an
    interval is never narrower than what single runs vary by.

    With one run of each, the passes are the samples (``basis`` says so). Such an interval tells
    nothing of how times vary from run to run, which is often more than all else, and most of all
    for ``mean``. It has to be 30 passes on each side, and only ``median`` and ``mean`` have an
    interval.

    Percentiles come from a histogram, so the interval of a ratio of medians is widened by the width
    of its buckets, some 6 %.

    A block is slower when its interval lies wholly above the threshold, faster when it lies wholly
    below it, and "no difference shown" otherwise. Of many blocks, some intervals would do so by
    chance; so verdicts follow Holm's method (see `holm`): the chance that any of them calls a
    change where there is none beyond the threshold is at most 1 - ``confidence``.

    :param old: what the old version measured: `ProfilerResults`, `Runs`, or several of them, each
        a run.
    :param new: the same of the new version.
    :param metric: the figure to compare: what a pass takes that is ``typical``, which is the mean
        of those up to one and a half times the median, and the default for several runs; the
        ``median``, which is the default for one run of each, ``mean`` or ``min`` of the passes; the
        ``total`` or ``self`` time of the block; ``self-mean``, its self time by pass; or ``cpu``,
        the processor time of the mean pass, where it was taken.
    :param confidence: how often an interval holds the ratio, more than 0 and less than 1.
    :param threshold: the change, as a share from 0 on, below 1, that must be exceeded for a
        verdict; 0.02 for several runs and 0.05 for one run of each unless given.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when one makes no sense, or the two have no block in common.
    """
    check_confidence(confidence)
    sides = runs_of(old, "old"), runs_of(new, "new")
    basis = PASSES if len(sides[0]) == len(sides[1]) == 1 else RUNS
    metric = _checked_metric(metric, basis)
    in_turns = None if basis == PASSES else made_in_turns(*sides)
    threshold = checked_threshold(threshold, basis)
    known = Sides(*sides)
    blocks = _Test(metric, confidence, threshold, basis, in_turns).blocks(known.pairs)
    # Single samples have no self time, and no paths.
    if metric in _WITH_NESTED and all(run.counts for side in sides for run in side):
        own = _Test("self", confidence, threshold, basis, in_turns).blocks(known.pairs)
        blocks = _told_apart(blocks, own, nested_in(run.counts for run in sides[1]))
    return known.comparison(blocks, metric, confidence, threshold, basis, in_turns)


def _told_apart(
    blocks: list[BlockComparison],
    own: list[BlockComparison],
    nested: dict[tuple[str, str], set[tuple[str, str]]],
) -> list[BlockComparison]:
    """Return comparisons with a note where a block is slower for what is nested in it.

    :param blocks: of times that nested blocks are part of.
    :param own: the same of self times.
    :param nested: the blocks directly below each.
    """
    slower = {(block.track, block.name) for block in blocks if block.verdict == SLOWER}
    told = []
    for block, alone in zip(blocks, own, strict=True):
        place = block.track, block.name
        below = sorted(name for _, name in slower & nested.get(place, set()) - {place})
        if block.verdict == SLOWER and alone.verdict in (NO_DIFFERENCE, FASTER) and below:
            block = replace(block, note=_NESTED.format(", ".join(below)))
        told.append(block)
    return told


# What is given


def runs_of(source: Source, side: str) -> Runs:
    """Return the runs of one side.

    :param source: see `compare`.
    :param side: what an error calls it.
    :raises TypeError: when it is something else.
    :raises ValueError: when there is no run, or none in which anything was recorded.
    """
    if isinstance(source, Runs):
        runs = source
    elif isinstance(source, (list, tuple)):
        runs = sum((_one(part, side) for part in source), Runs([]))
    else:
        runs = _one(source, side)
    if not len(runs):
        raise ValueError(f"{side} must have one run at least; there is none")
    if not any(run.blocks or run.unfinished for run in runs):
        raise ValueError(f"nothing was recorded in {side}{_whence(runs)}")
    return runs


def _one(source: object, side: str) -> Runs:
    if isinstance(source, Runs):
        return source
    try:
        return Runs.of_results(results_of(source))
    except TypeError:
        raise TypeError(
            f"{side} must be ProfilerResults or Runs, or a list of them, not {source!r}"
        ) from None


def _whence(runs: Runs) -> str:
    return f" ({runs.label})" if runs.label else ""


def _checked_metric(metric: str | None, basis: str) -> str:
    if metric is None:
        return _ROBUST[basis]
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")
    return metric


def made_in_turns(old: Runs, new: Runs) -> bool | None:
    """Return whether runs of the two were made in turns; None where their times are not known."""
    moments: list[tuple[int, bool]] = []
    for runs, is_new in ((old, False), (new, True)):
        for run in runs:
            if run.start_ns is None:
                return None
            moments.append((run.start_ns, is_new))
    order = [is_new for _, is_new in sorted(moments)]
    changes = sum(one != other for one, other in itertools.pairwise(order))
    return changes >= max(2, min(len(old), len(new)))


def checked_threshold(threshold: float | None, basis: str) -> float:
    if threshold is None:
        return THRESHOLDS[basis]
    check_real(threshold, "a threshold")
    if not 0 <= threshold < 1:
        raise ValueError(
            f"a threshold is a share from 0 on and below 1 (5 % is 0.05), not {threshold}"
        )
    return threshold


def differing(old: Runs, new: Runs) -> dict[str, str]:
    """Return the facts in which the two sides differ: name → a phrase that says how."""
    facts = [_facts(side) for side in (old, new)]
    return {
        key: f"{' and '.join(facts[0][key])} in old, {' and '.join(facts[1][key])} in new"
        for key in facts[0]
        if key in facts[1] and facts[0][key] != facts[1][key]
    }


def _facts(runs: Runs) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for run in runs:
        for key, value in run.facts.items():
            found.setdefault(key, set()).add(value)
    return {key: sorted(values) for key, values in found.items()}


# One block in all runs of a side


class Series:
    """One block in the runs that hit it.

    :param first: what the first of them tells.
    :param place: which of the runs that is, from 0 on.
    """

    def __init__(self, first: Figures, place: int) -> None:
        self.parts = [first]
        self.places = [place]
        self.track_idx = first.track_idx
        self.track = first.track
        self.name = first.name
        self.file = first.file
        self.line = first.line
        self._figures: dict[str, list[float]] = {}  # for when all parts are there

    @property
    def hits(self) -> int:
        return sum(part.hits for part in self.parts)

    def figures(self, metric: str) -> list[float]:
        if metric not in self._figures:
            self._figures[metric] = [part.figure(metric) for part in self.parts]
        return self._figures[metric]

    def figure(self, metric: str) -> float:
        return fsum(self.figures(metric)) / len(self.parts)


def _series(blocks: Iterable[list[Figures]]) -> list[Series]:
    """Return each block of all runs; the runs may have been made from different places.

    :param blocks: those of each run.
    """
    found: list[Series] = []
    for place, own in enumerate(blocks):
        pairs, _, fresh = matched(found, own)
        for series, figures in pairs:
            series.parts.append(figures)
            series.places.append(place)
        found += (Series(figures, place) for figures in fresh)
    return found


class Sides:
    """The blocks of both sides, those that are the same in pairs, in the order of the new version.

    :param old: the runs of the old version.
    :param new: the same of the new version.
    :raises ValueError: when the two have no block in common.
    """

    def __init__(self, old: Runs, new: Runs) -> None:
        self._runs = old, new
        series = _series(run.blocks for run in old), _series(run.blocks for run in new)
        self.pairs, *only = matched(*series)
        if not self.pairs:
            raise ValueError(_nothing_in_common(series))
        self._find_unfinished(series, only)
        order = {id(one): place for place, one in enumerate(series[1])}
        self.pairs.sort(key=lambda pair: order[id(pair[1])])

    def _find_unfinished(
        self, series: tuple[list[Series], list[Series]], only: Sequence[list[Series]]
    ) -> None:
        """Tell what is in one version only from what is in both, and has not ended in one.

        :param series: the blocks of each side that were hit in any run.
        :param only: those of them that were hit on this side only.
        """
        old, new = (
            matched(hit, _series(run.unfinished for run in runs))[2]
            for hit, runs in zip(series, self._runs, strict=True)
        )
        here, only_old, new = matched(only[0], new)
        there, old, only_new = matched(old, only[1])
        both, old, new = matched(old, new)
        self._only_old, self._only_new = [*only_old, *old], [*only_new, *new]
        self._unfinished = [one.name for _, one in (*here, *there, *both)]

    def comparison(
        self,
        blocks: list[BlockComparison],
        metric: str,
        confidence: float,
        threshold: float,
        basis: str,
        in_turns: bool | None,
    ) -> Comparison:
        """Return the comparison that has these blocks, with all else that is known of the sides."""
        old, new = self._runs
        counts = [[run.counts for run in side] for side in self._runs]
        return Comparison(
            blocks=blocks,
            only_old=[_lone(one, metric) for one in self._only_old],
            only_new=[_lone(one, metric) for one in self._only_new],
            metric=metric,
            confidence=confidence,
            threshold=threshold,
            basis=basis,
            old_label=old.label,
            new_label=new.label,
            old_runs=len(old),
            new_runs=len(new),
            notes=[f"{key}: {what}" for key, what in differing(old, new).items()],
            counts=compared_counts(*counts),
            paths_only_old=only_in(counts[0], counts[1]),
            paths_only_new=only_in(counts[1], counts[0]),
            unfinished=self._unfinished,
            in_turns=in_turns,
        )


def _lone(series: Series, metric: str) -> LoneBlock:
    return LoneBlock(
        track=series.track,
        track_idx=series.track_idx,
        name=series.name,
        file=series.file,
        line=series.line,
        hits=series.hits,
        runs=len(series.parts),
        ns=series.figure(metric) if series.hits else 0.0,
    )


def _nothing_in_common(sides: tuple[list[Series], list[Series]]) -> str:
    old, new = (_named(side) for side in sides)
    return (
        "there is nothing to compare: old and new have no block in common (same track, same name) "
        "of which a pass has ended; "
        f"old has {old}; new has {new}"
    )


def _named(side: list[Series], most: int = 5) -> str:
    names = [
        f"{series.name!r} on {series.track!r}" if series.track else f"{series.name!r}"
        for series in side[:most]
    ]
    more = f" and {len(side) - most} more" if len(side) > most else ""
    return ", ".join(names) + more or "none"


# The test


class _Estimate:
    """A figure of one side, and how well it is known.

    :param ns: the figure.
    :param error: the standard error of its logarithm.
    :param freedom: the degrees of freedom that the error has.
    :param bias: how far off its logarithm may be besides, for want of resolution.
    """

    __slots__ = ("ns", "error", "freedom", "bias")

    def __init__(self, ns: float, error: float, freedom: float, bias: float = 0.0) -> None:
        self.ns = ns
        self.error = error
        self.freedom = freedom
        self.bias = bias


class _Difference:
    """The logarithm of the ratio of two figures, and how well it is known."""

    __slots__ = ("log_ratio", "error", "freedom", "bias")

    def __init__(self, old: _Estimate, new: _Estimate, shared: bool) -> None:
        self.log_ratio = log(new.ns / old.ns)
        self.error = hypot(old.error, new.error)
        self.freedom = old.freedom if shared else _welch(old, new)
        self.bias = old.bias + new.bias

    def ends(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the ratio's interval."""
        half = self.bias
        if self.error:
            half += tail_begin((1 - confidence) / 2, self.freedom) * self.error
        return exp(self.log_ratio - half), exp(self.log_ratio + half)

    def p_value(self, threshold: float) -> float:
        """Return how likely it would be to see as much, were there no change beyond a threshold."""
        beyond = max(self.log_ratio - log1p(threshold), log1p(-threshold) - self.log_ratio)
        beyond -= self.bias
        if not self.error:
            return 0.0 if beyond > 0 else 1.0
        return min(1.0, 2 * tail(beyond / self.error, self.freedom))


def _welch(old: _Estimate, new: _Estimate) -> float:
    """Return the degrees of freedom by Welch and Satterthwaite."""
    whole = old.error**2 + new.error**2
    if not whole:
        return inf
    # Shares, because the fourth power of an error may be no float any more.
    parts = sum((side.error**2 / whole) ** 2 / side.freedom for side in (old, new))
    return 1 / parts if parts else inf


class _Test:
    """How one comparison is made."""

    def __init__(
        self, metric: str, confidence: float, threshold: float, basis: str, in_turns: bool | None
    ) -> None:
        self._metric = metric
        self._confidence = confidence
        self._threshold = threshold
        self._basis = basis
        self._is_in_sequence = in_turns is False

    def blocks(self, pairs: Sequence[tuple[Series, Series]]) -> list[BlockComparison]:
        """Return a comparison for each pair, with verdicts that hold for all of them together."""
        found = [self._difference(old, new) for old, new in pairs]
        tested = [one.p_value(self._threshold) for one in found if isinstance(one, _Difference)]
        adjusted = iter(holm(tested))
        return [
            self._block(*pair, one, next(adjusted) if isinstance(one, _Difference) else None)
            for pair, one in zip(pairs, found, strict=True)
        ]

    def _difference(self, old: Series, new: Series) -> _Difference | str:
        """Return the difference of the two sides, or a sentence why there is none."""
        if self._metric == "cpu" and not all(old.figures("cpu") + new.figures("cpu")):
            return _NO_CPU
        if not (old.figure(self._metric) and new.figure(self._metric)):
            return _ZERO
        if self._basis == PASSES:
            return self._of_passes(old.parts[0], new.parts[0])
        return self._of_runs(old, new)

    def _of_runs(self, old: Series, new: Series) -> _Difference | str:
        many, few = sorted((old, new), key=lambda side: -len(side.parts))
        if len(many.parts) < LEAST_RUNS:
            return _MORE_RUNS.format(LEAST_RUNS)
        spread = _spread(many.figures(self._metric))
        shared = len(few.parts) == 1  # of a single run nothing but the others tell
        sides = [
            _Estimate(
                ns=side.figure(self._metric),
                error=(spread if shared else _spread(side.figures(self._metric)))
                * self._share_of_spread(len(side.parts)),
                freedom=(len(many.parts) if shared else len(side.parts)) - 1,
                bias=_resolution(side.parts[0], side.figure("median"))
                if self._metric == "median"
                else 0.0,
            )
            for side in (old, new)
        ]
        return _Difference(sides[0], sides[1], shared)

    def _share_of_spread(self, runs: int) -> float:
        """Return which part of what runs vary by their mean does."""
        if self._is_in_sequence:
            return sqrt(1 / runs + _BETWEEN)
        return 1 / sqrt(runs)

    def _of_passes(self, old: Figures, new: Figures) -> _Difference | str:
        if self._metric not in ("mean", "median"):
            return _ONE_FIGURE
        if min(old.hits, new.hits) < LEAST_PASSES:
            return _MORE_PASSES.format(LEAST_PASSES)
        estimate = self._mean if self._metric == "mean" else self._median
        before, after = estimate(old), estimate(new)
        if isinstance(before, str) or isinstance(after, str):
            return next(side for side in (before, after) if isinstance(side, str))
        return _Difference(before, after, False)

    def _mean(self, side: Figures) -> _Estimate | str:
        mean = side.figure("mean")
        return _Estimate(mean, side.deviation() / mean / sqrt(side.hits), side.hits - 1)

    def _median(self, side: Figures) -> _Estimate | str:
        """Return the median, its error from the width of its interval; or why there is none.

        J. W. McKean and R. M. Schrader, "A Comparison of Methods for Studentizing the Sample
        Median", Communications in Statistics 13, 1984.
        """
        ends = side.median_interval(_HALF, self._confidence)
        if ends is None:  # fewer passes are in the histogram than there were
            return _MORE_PASSES.format(LEAST_PASSES)
        if not ends[0]:
            return _ZERO
        error = log(ends[1] / ends[0]) / 2 / tail_begin((1 - self._confidence) / 2, inf)
        median = side.figure("median")
        return _Estimate(median, error, inf, _resolution(side, median))

    def _block(
        self, old: Series, new: Series, found: _Difference | str, p_value: float | None
    ) -> BlockComparison:
        old_ns, new_ns = old.figure(self._metric), new.figure(self._metric)
        low, high, verdict, note = None, None, TOO_LITTLE, found if isinstance(found, str) else ""
        if isinstance(found, _Difference) and p_value is not None:
            low, high = found.ends(self._confidence)
            verdict, note = self._verdict(low, high, p_value)
        if self._metric in _WITH_OPEN and any(part.open for part in (*old.parts, *new.parts)):
            note = f"{note}; {_OPEN}" if note else _OPEN
        return BlockComparison(
            track=new.track,
            track_idx=new.track_idx,
            name=new.name,
            old_file=old.file,
            old_line=old.line,
            new_file=new.file,
            new_line=new.line,
            old_ns=old_ns,
            new_ns=new_ns,
            old_hits=old.hits,
            new_hits=new.hits,
            old_runs=len(old.parts),
            new_runs=len(new.parts),
            ratio=new_ns / old_ns if old_ns and new_ns else None,
            low=low,
            high=high,
            p_value=p_value,
            verdict=verdict,
            basis=self._basis,
            note=note,
            figure=self._metric,
        )

    def _verdict(self, low: float, high: float, p_value: float) -> tuple[str, str]:
        slower, faster = low > 1 + self._threshold, high < 1 - self._threshold
        if not (slower or faster):
            return NO_DIFFERENCE, ""
        if p_value > 1 - self._confidence:
            return NO_DIFFERENCE, _OTHERS
        return (SLOWER if slower else FASTER), ""


def _resolution(side: Figures, median: float) -> float:
    """Return how far off the logarithm of a median may be for the way in which it is kept."""
    return log1p(side.median_error(median))


def _spread(figures: list[float]) -> float:
    """Return the standard deviation of figures, relative to their mean."""
    return deviation(figures) / (fsum(figures) / len(figures))
