"""Which results hold passes that others hold as well: snapshots of one recording.

A recording is what one profiler recorded in one process since it was made or cleared. A snapshot
has all of its passes up to a moment; a difference of two, those in between. So results are known by
the stretches of recordings that they hold: what lies within another one's adds nothing to it.
"""

from __future__ import annotations

from itertools import pairwise

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .model import ProfilerResults

    Recording = tuple[str, ...]
    Stretch = tuple[Recording, int, int]  # from when to when, in ns since the epoch

SELECTED = "selected"  # in metadata: which part of a recording it is, where it is not all


def runs_of(metadata: dict[str, Any]) -> list[Any]:
    """Return the metadata of each run that results are made of.

    :param metadata: theirs, from a file maybe: it may be anything.
    """
    merged = metadata.get("merged")
    if not merged or not isinstance(merged, list):
        return [metadata]
    chosen = metadata.get(SELECTED)
    if chosen is None:
        return merged
    return [
        {**run, SELECTED: [chosen, run.get(SELECTED)]} if isinstance(run, dict) else run
        for run in merged
    ]


def stretches_of(metadata: dict[str, Any]) -> list[Stretch]:
    """Return the stretches of recordings that results hold, none where one is not known.

    :param metadata: that of the results.
    """
    found = [_stretch(run) for run in runs_of(metadata)]
    return [] if None in found else [one for one in found if one is not None]


def _stretch(run: Any) -> Stretch | None:
    if not isinstance(run, dict):
        return None
    instance, recording = run.get("instance"), run.get("recording")
    begin, lasted = run.get("start_ns"), run.get("duration_ns")
    if not (isinstance(instance, str) and instance and isinstance(recording, str) and recording):
        return None
    if type(begin) is not int or type(lasted) is not int:
        return None
    place = [str(run.get(key)) for key in ("host", "process", SELECTED)]
    return (instance, recording, *place), begin, begin + lasted


def lie_within(inner: Iterable[Stretch], outer: Iterable[Stretch]) -> bool:
    """Return whether each stretch lies within one of others.

    :param inner: the stretches.
    :param outer: the others.
    """
    known: dict[Recording, list[tuple[int, int]]] = {}
    for recording, begin, end in outer:
        known.setdefault(recording, []).append((begin, end))
    return all(
        any(first <= begin and end <= last for first, last in known.get(recording, ()))
        for recording, begin, end in inner
    )


def newest(parts: list[ProfilerResults]) -> tuple[list[ProfilerResults], list[str]]:
    """Return results without those whose passes others hold as well, and what is to be warned of.

    What does not say whose recording it is, is kept.

    :param parts: the results.
    """
    held = [stretches_of(part.metadata) for part in parts]
    with_recording: dict[Recording, list[int]] = {}
    for number, stretches in enumerate(held):
        for recording in {recording for recording, _, _ in stretches}:
            with_recording.setdefault(recording, []).append(number)

    def is_in(number: int, other: int) -> bool:
        if other == number or not lie_within(held[number], held[other]):
            return False
        if not lie_within(held[other], held[number]):
            return True
        # The same stretch: the clock may not have gone on between the two.
        hits, more = parts[number].total_hits, parts[other].total_hits
        return hits < more or (hits == more and other < number)

    kept = [
        number
        for number, stretches in enumerate(held)
        if not stretches
        or not any(is_in(number, other) for other in with_recording[stretches[0][0]])
    ]
    return [parts[number] for number in kept], overlaps([held[number] for number in kept])


def overlaps(held: Iterable[Iterable[Stretch]]) -> list[str]:
    """Return a sentence where some passes are in several results, which hold others besides.

    :param held: the stretches of each of the results.
    """
    spans: dict[Recording, list[tuple[int, int]]] = {}
    for recording, begin, end in (one for stretches in held for one in stretches):
        spans.setdefault(recording, []).append((begin, end))
    twice = sum(_overlap(sorted(found)) for found in spans.values())
    if not twice:
        return []
    what = "1 recording is" if twice == 1 else f"{twice:,} recordings are"
    return [
        f"{what} in several of the results that were merged, none of which holds all of the others:"
        " some passes count more than once"
    ]


def _overlap(spans: list[tuple[int, int]]) -> bool:
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))
