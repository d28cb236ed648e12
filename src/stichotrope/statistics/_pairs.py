"""What changed between two versions that were run in pairs, the order within each drawn by lot.

Were there no difference, each pair's two runs could as well have been told the other way round: so
a verdict asks only how likely it is that as many of so large differences have one sign. Load that
comes and goes, drifts, or is the neighbour of one of the runs, changes nothing in that; it only
hides what is small.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from math import ceil, exp, fsum, isfinite, log, log1p, pi
from statistics import NormalDist, median

from ._comparison import (
    FASTER,
    NO_DIFFERENCE,
    PAIRS,
    SLOWER,
    TOO_LITTLE,
    BlockComparison,
    Comparison,
    Sides,
    checked_threshold,
    runs_of,
)
from ._counts import nested_in
from ._signed_ranks import least_tail, middle, middle_interval, tail_above
from .samples import check_confidence, holm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._comparison import Series, Source

MARGIN = 0.03  # how far beyond the threshold a change is to be found, unless the caller says
_FOUND = 0.95  # how often
_LARGE = 0.05  # the share of the time recorded that a block has to have to count in that
# Of sizes of normal differences, in standard deviations: the median, and the median of how far they
# are from it.
_MIDDLE, _AROUND = 0.6744897501960817, 0.3990915958297283
_SURE = 1.25  # by how much the second must be less to count, which chance makes it now and then

OWN, TYPICAL, MEAN = "self-mean", "typical", "mean"

_FEW = "it takes {} pairs of runs with the block in them to show anything among so many blocks"
_NEVER = "no pair of runs has a figure of it above 0 on both sides"
_OTHERS = "its interval alone would show it, but not among as many figures as were compared"
_NESTED = "its own time is not shown to be {}, but what is nested in it: {}"
_OFTEN = (
    "neither its own time nor a pass of a block nested in it is shown to be {}: "
    "see how often those are passed"
)


def compare_pairs(
    old: Source, new: Source, *, confidence: float = 0.99, threshold: float | None = None
) -> Comparison:
    """Return what changed between two versions whose runs were made in pairs, block by block.

    The first run of each side is a pair, the second of each, and so on. Which of the two came first
    must have been drawn by lot each time, as ``stichotrope ab`` does. Then the chance that any
    verdict calls a change where there is none is at most 1 - ``confidence``, whatever load the
    machine had, by Wilcoxon's signed ranks (F. Wilcoxon, Biometrics Bulletin 1, 1945) and Holm's
    method (see `holm`).

    Two figures of each block are judged. Of one in which nothing is nested: what a pass typically
    takes, that is the mean of the passes that took up to one and a half times the median, which
    hardly changes with the load; and the mean of all passes, for what is slow in some of them only.
    Of others: their own time, and what a pass typically takes with what is nested in it; of that a
    block is not blamed if a block directly nested in it changed alike. `BlockComparison.figure`
    says which of them is told of a block: the one that shows a change, or else the first.

    :param old: what the old version measured, a run each; see `compare`.
    :param new: the same of the new version, in the same order.
    :param confidence: of each interval, and of all verdicts together.
    :param threshold: the change, as a share, that must be exceeded for a verdict; 0.02 unless
        given.
    :raises TypeError: when an argument is of the wrong type.
    :raises ValueError: when one makes no sense, the two have not as many runs, or no block in
        common.
    """
    check_confidence(confidence)
    threshold = checked_threshold(threshold, PAIRS)
    sides = runs_of(old, "old"), runs_of(new, "new")
    if len(sides[0]) != len(sides[1]):
        raise ValueError(
            "runs in pairs are as many on both sides, not "
            f"{len(sides[0])} in old and {len(sides[1])} in new"
        )
    known = Sides(*sides)
    judged = [
        _Judged(*pair, figure, threshold)
        for pair in known.pairs
        for figure in ((TYPICAL, MEAN) if _is_leaf(pair) else (OWN, TYPICAL))
    ]
    _adjust(judged, confidence)
    told = [
        _told(first, second, confidence)
        for first, second in zip(judged[::2], judged[1::2], strict=True)
    ]
    blocks = _apart(told, nested_in(run.counts for side in sides for run in side))
    return known.comparison(blocks, TYPICAL, confidence, threshold, PAIRS, True)


def pairs_needed(
    old: Source,
    new: Source,
    *,
    confidence: float = 0.99,
    threshold: float | None = None,
    margin: float = MARGIN,
) -> int:
    """Return how many pairs of runs it takes until `compare_pairs` would find a change.

    That is, in 95 % of the times, a change of what a pass typically takes, in any block that has a
    twentieth of the time recorded or more. It is told from how large the differences of the pairs
    are, never from their signs: so whoever stops by it changes nothing in how rare a false verdict
    is.

    :param old: the runs of the old version until now; see `compare_pairs`.
    :param new: the same of the new version.
    :param confidence: as it will be given to `compare_pairs`.
    :param threshold: likewise.
    :param margin: how far beyond the threshold the change is, as a share.
    """
    threshold = checked_threshold(threshold, PAIRS)
    pairs = Sides(runs_of(old, "old"), runs_of(new, "new")).pairs
    least = (1 - confidence) / (2 * len(pairs))  # of the p-values of two figures of each block
    needed = _enough(least)
    whole = fsum(fsum(series.figures("self")) for series, _ in pairs)
    # As many for each that one deviation of the mean is small beside the margin; the ranks need by
    # a factor of π/3 more than normal values would (Hollander, Wolfe and Chicken, section 3.11).
    normal = NormalDist()
    reach = normal.inv_cdf(1 - least / 2) + normal.inv_cdf(_FOUND)
    beyond = log1p(threshold + margin) - log1p(threshold)
    for series, other in pairs:
        sizes = [abs(one) for one in _differences(series, other, TYPICAL)]
        if sizes and fsum(series.figures("total")) >= _LARGE * whole:
            needed = max(needed, ceil((reach * _spread(sizes) / beyond) ** 2 * pi / 3))
    return needed


def _spread(sizes: Sequence[float]) -> float:
    """Return by how much differences vary, from their sizes alone.

    Where all of them are far from 0 to one side, as those of a block that has changed, their sizes
    vary by no more than they do.
    """
    usual = median(sizes)
    around = median(abs(size - usual) for size in sizes)
    return min(usual / _MIDDLE, _SURE * around / _AROUND)


def _enough(least: float) -> int:
    """Return how many pairs have so small a p-value when all agree."""
    return next(pairs for pairs in count(1) if 2 * least_tail(pairs) <= least)


def _is_leaf(pair: tuple[Series, Series]) -> bool:
    """Return whether no time of a block is that of nested ones, its own passes included."""
    return all(part.figure(OWN) == part.figure(MEAN) for series in pair for part in series.parts)


class _Judged:
    """One figure of one block.

    :param old: the block in the runs of the old version.
    :param new: the same of the new version.
    :param figure: which figure.
    :param threshold: the change that counts.
    """

    def __init__(self, old: Series, new: Series, figure: str, threshold: float) -> None:
        self.old, self.new, self.figure = old, new, figure
        self.differences = _differences(old, new, figure)
        self.p_slower = tail_above(one - log1p(threshold) for one in self.differences)
        self.p_faster = tail_above(log1p(-threshold) - one for one in self.differences)
        self.adjusted = 1.0
        self.verdict = NO_DIFFERENCE
        self.needed = 0

    @property
    def p_value(self) -> float:
        return min(1.0, 2 * min(self.p_slower, self.p_faster))

    def judge(self, adjusted: float, least: float, risk: float) -> None:
        """Take the verdict.

        :param adjusted: its p-value among all.
        :param least: how small a p-value must be to do among all.
        :param risk: the chance of a false verdict in all.
        """
        self.adjusted = adjusted
        pairs = len(self.differences)
        if 2 * least_tail(pairs) > least:
            self.verdict = TOO_LITTLE
            self.needed = _enough(least)
        elif adjusted <= risk:
            self.verdict = SLOWER if self.p_slower < self.p_faster else FASTER


def _differences(old: Series, new: Series, figure: str) -> list[float]:
    """Return the logarithm of new by old of each pair of runs that both have the block."""
    before, after = (dict(zip(one.places, one.figures(figure), strict=True)) for one in (old, new))
    return [
        log(after[place] / before[place])
        for place in before
        if after.get(place, 0) > 0 and before[place] > 0
    ]


def _adjust(judged: Sequence[_Judged], confidence: float) -> None:
    """Give each figure its verdict, such that all hold together."""
    risk = 1 - confidence
    for one, adjusted in zip(judged, holm([one.p_value for one in judged]), strict=True):
        one.judge(adjusted, risk / len(judged), risk)


def _told(first: _Judged, second: _Judged, confidence: float) -> BlockComparison:
    """Return what is told of a block: the figure that shows a change, or else the first."""
    is_second = first.verdict not in (SLOWER, FASTER) and second.verdict in (SLOWER, FASTER)
    one = second if is_second else first
    old, new = one.old, one.new
    low = high = ratio = None
    if one.differences:
        ratio = exp(middle(one.differences))
        ends = middle_interval(one.differences, confidence)
        if all(map(isfinite, ends)):
            low, high = map(exp, ends)
    return BlockComparison(
        track=new.track,
        track_idx=new.track_idx,
        name=new.name,
        old_file=old.file,
        old_line=old.line,
        new_file=new.file,
        new_line=new.line,
        old_ns=median(old.figures(one.figure)),
        new_ns=median(new.figures(one.figure)),
        old_hits=old.hits,
        new_hits=new.hits,
        old_runs=len(old.parts),
        new_runs=len(new.parts),
        ratio=ratio,
        low=low,
        high=high,
        p_value=one.adjusted if one.differences else None,
        verdict=one.verdict,
        basis=PAIRS,
        note=_note(one, 1 - confidence),
        figure=one.figure,
    )


def _note(one: _Judged, risk: float) -> str:
    if not one.differences:
        return _NEVER
    if one.verdict == TOO_LITTLE:
        return _FEW.format(one.needed)
    return _OTHERS if one.verdict == NO_DIFFERENCE and one.p_value <= risk else ""


def _apart(
    blocks: list[BlockComparison], nested: dict[tuple[str, str], set[tuple[str, str]]]
) -> list[BlockComparison]:
    """Return comparisons in which no block is blamed for one that is nested in it.

    :param blocks: one for each block; where its own time shows no change and its time with nested
        ones does, of that.
    :param nested: the blocks directly below each.
    """
    changed = {(one.track, one.name): one.verdict for one in blocks}
    found = []
    for one in blocks:
        place = one.track, one.name
        below = nested.get(place, set()) - {place}
        if below and one.figure == TYPICAL and one.verdict in (SLOWER, FASTER):
            alike = sorted(
                name for track, name in below if changed.get((track, name)) == one.verdict
            )
            if alike:
                note = _NESTED.format(one.verdict, ", ".join(alike))
                one = replace(one, verdict=NO_DIFFERENCE, note=note)
            else:
                one = replace(one, note=_OFTEN.format(one.verdict))
        found.append(one)
    return found
