"""Runs of a program as comparisons take them: from results, from samples, from files."""

from __future__ import annotations

import os
from math import sqrt

from .._text.files import checked_path, read_whole
from ..results import ProfilerResults
from ..results.gathered import left_by_processes
from ..results.plain import Document, ResultsFormatError, parse
from ._counts import counts_of
from ._typical import typical_mean
from .samples import checked_samples, deviation, interpolated, quantile_ranks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from fractions import Fraction
    from typing import Any

    from .._text.files import StrPath
    from ..results import ProfileBlock, ProfileTrack
    from ._counts import Counts
    from .samples import Interval

METRICS = ("mean", "typical", "median", "min", "total", "self", "self-mean", "cpu")
_OF_SAMPLES = ("mean", "typical", "median", "min")
_JSON = ".json"
_NS = 1e9  # in a second
_HALF_BUCKET = 1 / 32  # of the core's histogram at its widest, as a share of its middle


class Figures:
    """What one run tells of one block.

    :ivar track_idx: the index of its track.
    :ivar track: the name of its track.
    :ivar name: its name.
    :ivar file: the file of its call site; empty when there is none.
    :ivar line: the line of its call site; 0 when there is none.
    :ivar hits: how many passes the figures are of; 0 where none has ended, and so none is known.
    :ivar open: how many are open.
    """

    __slots__ = ("track_idx", "track", "name", "file", "line", "hits", "open")

    def __init__(
        self, track_idx: int, track: str, name: str, file: str, line: int, hits: int
    ) -> None:
        self.track_idx = track_idx
        self.track = track
        self.name = name
        self.file = file
        self.line = line
        self.hits = hits
        self.open = 0

    def figure(self, metric: str) -> float:
        """Return one of `METRICS` in ns."""
        raise NotImplementedError

    def deviation(self) -> float:
        """Return the standard deviation of the passes in ns; there are two at least."""
        raise NotImplementedError

    def median_interval(self, share: Fraction, confidence: float) -> Interval | None:
        """Return what encloses a quantile of the passes, in ns; None when they are too few."""
        raise NotImplementedError

    def median_error(self, median: float) -> float:
        """Return how far off the median may be for the way in which it is kept, relative to it.

        :param median: the median in ns.
        """
        raise NotImplementedError


class _BlockFigures(Figures):
    """A block of a profiler."""

    __slots__ = ("_block", "_typical_ns")

    def __init__(self, block: ProfileBlock, track: ProfileTrack) -> None:
        super().__init__(
            track.track_idx, track.track_name, block.name, block.file, block.line, block.hit_count
        )
        self.open = block.open_count
        self._block = block
        self._typical_ns: float | None = None  # until it is asked for

    def figure(self, metric: str) -> float:
        block = self._block
        if metric == "mean":
            return block.avg_time_ns
        if metric == "typical":
            if self._typical_ns is None:
                self._typical_ns = self._typical()
            return self._typical_ns
        if metric == "median":
            return block.percentile(50)
        if metric == "min":
            return block.min_time_ns
        if metric == "self-mean":
            return block.self_time_ns / block.hit_count
        if metric == "cpu":
            return block.cpu.avg_ns if block.cpu is not None else 0.0
        return block.total_time_ns if metric == "total" else block.self_time_ns

    def _typical(self) -> float:
        block = self._block
        passes = [((lower + upper - 1) / 2, count) for lower, upper, count in block.histogram]
        if sum(count for _, count in passes) < block.hit_count:
            return block.avg_time_ns  # some are missing from the histogram, for want of memory
        return typical_mean(passes, block.sum_time_ns, _HALF_BUCKET)

    def deviation(self) -> float:
        return self._block.stddev_time_ns * sqrt(self.hits / (self.hits - 1))

    def median_interval(self, share: Fraction, confidence: float) -> Interval | None:
        # Passes may be missing from the histogram, for want of memory.
        ranks = quantile_ranks(self._block.histogram.total, share, confidence)
        return None if ranks is None else (self._at_rank(ranks[0]), self._at_rank(ranks[1]))

    def _at_rank(self, rank: int) -> float:
        middle = 0.0
        for lower, upper, count in self._block.histogram:
            middle = (lower + upper - 1) / 2
            rank -= count
            if rank <= 0:
                break
        return middle

    def median_error(self, median: float) -> float:
        # The core's histogram has 16 buckets in an octave, and such of one tick below that.
        return 1 / 16 if median < 12 else _HALF_BUCKET


class _SampleFigures(Figures):
    """Single values."""

    __slots__ = ("_values", "_ordered")

    def __init__(self, name: str, values: list[float]) -> None:
        super().__init__(0, "", name, "", 0, len(values))
        self._values = values
        self._ordered: list[float] = sorted(values)

    def figure(self, metric: str) -> float:
        if metric == "mean":
            return sum(self._values) / self.hits
        if metric == "typical":
            return typical_mean([(value, 1) for value in self._ordered], sum(self._values), 0.0)
        if metric == "median":
            return interpolated(self._ordered, 1, 2)
        if metric == "min":
            return self._ordered[0]
        raise ValueError(
            f"metric {metric!r} takes a profiler's results; "
            f"single samples have {', '.join(_OF_SAMPLES[:-1])} and {_OF_SAMPLES[-1]}"
        )

    def deviation(self) -> float:
        return deviation(self._values)

    def median_interval(self, share: Fraction, confidence: float) -> Interval | None:
        ranks = quantile_ranks(self.hits, share, confidence)
        if ranks is None:
            return None
        return self._ordered[ranks[0] - 1], self._ordered[ranks[1] - 1]

    def median_error(self, median: float) -> float:
        return 0.0


class Run:
    """One run of a program.

    :param blocks: what it tells of each block that was hit.
    :param facts: what it ran on and how, by name, as people read it.
    :param counts: the passes of each path of nested blocks; nothing where no such are known.
    :param unfinished: the blocks that were entered and of which no pass had ended.
    :param start_ns: when it began, in ns since 1970; None where that is not known.
    """

    __slots__ = ("blocks", "facts", "counts", "unfinished", "start_ns")

    def __init__(
        self,
        blocks: list[Figures],
        facts: dict[str, str],
        counts: Counts | None = None,
        unfinished: Iterable[Figures] = (),
        start_ns: int | None = None,
    ) -> None:
        self.blocks = blocks
        self.unfinished = list(unfinished)
        self.facts = facts
        self.counts: Counts = {} if counts is None else counts
        self.start_ns = start_ns


class Runs:
    """Runs of one program, the same each time, as `compare` takes them for one side.

    :param runs: each run.
    :param label: where they come from; empty when that has no name.
    """

    __slots__ = ("_runs", "label")

    def __init__(self, runs: Iterable[Run], label: str = "") -> None:
        self._runs = list(runs)
        self.label = label

    @classmethod
    def of_results(cls, *results: ProfilerResults, label: str = "") -> Runs:
        """Return runs of which each gave results.

        :param results: those of each run.
        :param label: where they come from.
        :raises TypeError: when one of them is no `ProfilerResults`.
        """
        for part in results:
            if not isinstance(part, ProfilerResults):
                raise TypeError(f"a run's results are a ProfilerResults, not {part!r}")
        return cls([_run_of(part) for part in results], label)

    @classmethod
    def of_samples(cls, *runs: Mapping[str, Iterable[float]], label: str = "") -> Runs:
        """Return runs of which each measured some things several times.

        :param runs: for each run, name of what was measured → the times in ns, more than none.
        :param label: where they come from.
        :raises TypeError: when one of the times is no number.
        :raises ValueError: when one is negative or not finite.
        """
        return cls([Run(_sampled(run), {}) for run in runs], label)

    @property
    def runs(self) -> list[Run]:
        """Each run."""
        return list(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __add__(self, other: Runs) -> Runs:
        if not isinstance(other, Runs):
            return NotImplemented
        label = ", ".join(filter(None, dict.fromkeys((self.label, other.label))))
        return Runs([*self._runs, *other._runs], label)

    def __repr__(self) -> str:
        whence = f" from {self.label}" if self.label else ""
        return f"<Runs: {len(self)}{whence}>"


def _run_of(results: ProfilerResults) -> Run:
    entered: list[Figures] = [
        _BlockFigures(block, track)
        for _, track in sorted(results.tracks.items())
        for block in track.blocks
        if block.was_entered
    ]
    return Run(
        [block for block in entered if block.hits],
        _facts(results.metadata),
        counts_of(results),
        [block for block in entered if not block.hits],
        _moment(results.metadata),
    )


def _sampled(run: Mapping[str, Iterable[float]]) -> list[Figures]:
    blocks: list[Figures] = []
    for name, samples in run.items():
        values = checked_samples(samples)
        if values and min(values) < 0:
            raise ValueError(f"a time must be 0 or more; {name!r} has {min(values)!r} ns")
        if values:
            blocks.append(_SampleFigures(name, values))
    return blocks


# What results say of where they were taken; each entry may be missing, or of any shape.


def _facts(metadata: dict[str, Any]) -> dict[str, str]:
    found = {
        key: metadata.get(key)
        for key in ("python", "implementation", "platform", "machine", "host")
    }
    gil = metadata.get("gil")
    clock = metadata.get("clock")
    found["GIL"] = {True: "on", False: "off"}.get(gil) if isinstance(gil, bool) else None
    found["clock"] = clock.get("source") if isinstance(clock, dict) else None
    return _texts(found)


def _moment(metadata: dict[str, Any]) -> int | None:
    """Return when a run began, in ns since 1970."""
    start = metadata.get("start_ns")
    return start if isinstance(start, int) and not isinstance(start, bool) else None


def _texts(found: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in found.items() if isinstance(value, str) and value}


# Files


def load_runs(path: StrPath) -> Runs:
    """Read the runs that a file or directory holds.

    - A file of results, as `ProfilerResults.save` writes: one run.
    - A pyperf file (https://pyperf.readthedocs.io, format 1.0): each of its worker processes is a
      run, and each benchmark a block whose passes are that process's values. Warm-ups and
      calibrations are left out.
    - A directory that processes have gathered in (`Profiler.gather`): one run, all merged.
    - Any other directory: the runs of each ``.json`` file in it, in order of name, and of each
      directory in it that was gathered in.

    :param path: the file or directory.
    :raises TypeError: when the path is of the wrong type.
    :raises OSError: when something cannot be read.
    :raises ResultsFormatError: when a file holds neither results nor pyperf's benchmarks.
    :raises ValueError: when a directory holds no results, or those of several profilers.
    """
    plain = checked_path(path)
    if not os.path.isdir(plain):
        return Runs(_from_file(plain), plain)
    if left_by_processes(plain):
        return Runs([_run_of(ProfilerResults.load_all(plain))], plain)
    runs = [run for entry in _entries(plain) for run in load_runs(entry)]
    if not runs:
        raise ValueError(
            f"{plain} should hold results: files named *{_JSON}, or directories that processes "
            "have gathered in; there are none"
        )
    return Runs(runs, plain)


def _entries(directory: str) -> list[str]:
    """Return the paths in a directory that hold runs."""
    found = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        gathered = os.path.isdir(path) and left_by_processes(path)
        if gathered or (name.endswith(_JSON) and not name.startswith(".") and os.path.isfile(path)):
            found.append(path)
    return found


def _from_file(path: str) -> list[Run]:
    try:
        data = parse(read_whole(path))
        if isinstance(data, dict) and "benchmarks" in data:
            return _pyperf(Document(data, ""))
        return [_run_of(ProfilerResults.from_dict(data))]
    except ResultsFormatError as error:
        raise ResultsFormatError(f"{path}: {error}") from error.__cause__


def _pyperf(suite: Document) -> list[Run]:
    """Return the runs of a pyperf suite: its benchmarks' first processes together, and so on.

    What all benchmarks have in common stands in the metadata of the suite alone.
    """
    version = suite.text("version")
    if version != "1.0":
        raise ResultsFormatError(f'a pyperf file of format {version!r}, expected "1.0"')
    common = _metadata(suite)
    blocks: list[list[Figures]] = []
    for number, benchmark in enumerate(suite.objects("benchmarks")):
        metadata = {**common, **_metadata(benchmark)}
        name = metadata.get("name")
        if not isinstance(name, str) or not name:
            raise ResultsFormatError(f'field "metadata.name" is missing at benchmarks[{number}]')
        for place, values in enumerate(_values(benchmark, metadata)):
            if place == len(blocks):
                blocks.append([])
            blocks[place].append(_SampleFigures(name, values))
    if not blocks:
        raise ResultsFormatError("a pyperf file without any value")
    facts = _texts(
        {
            "python": _first_word(common.get("python_version")),
            "implementation": common.get("python_implementation"),
            "host": common.get("hostname"),
            "processor": common.get("cpu_model_name"),
        }
    )
    return [Run(run, facts) for run in blocks]


def _metadata(document: Document) -> dict[str, Any]:
    return document.mapping("metadata") if "metadata" in document.value else {}


def _values(benchmark: Document, metadata: dict[str, Any]) -> Iterator[list[float]]:
    """Yield the values of each worker process that has any, in ns."""
    for run in benchmark.objects("runs"):
        unit = {**metadata, **_metadata(run)}.get("unit", "second")
        values = run.value.get("values", [])
        if not values:
            continue
        if unit != "second":
            raise ResultsFormatError(f"values at {run.where} are in {unit!r}, expected 'second'")
        if not isinstance(values, list) or not all(map(_is_time, values)):
            raise ResultsFormatError(
                f'field "values" at {run.where} must be a list of numbers, 0 or more'
            )
        yield [value * _NS for value in values]


def _is_time(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 <= value < 1e18  # type: ignore[operator]


def _first_word(value: object) -> str | None:
    words = value.split() if isinstance(value, str) else []
    return words[0] if words else None
