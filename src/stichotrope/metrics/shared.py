"""Metrics of several processes: each has a file that it records in, and any of them reads all.

A value is in the file the moment it is recorded, for the file is the memory that it is recorded in:
a process that is killed loses nothing. What has ended is added up in one file, and its own removed.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
from itertools import accumulate
from math import inf
from struct import Struct
from struct import error as StructError  # noqa: N812

from .. import _core
from .._text.files import made_directory, remove_leftovers, write_whole
from ..config import clock
from .buckets import in_bounds, in_order, native
from .metric import Gauge, GaugeChild, Histogram, Metric, shown_bound
from .registry import REGISTRY, MetricRegistry
from .samples import Family

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .._text.files import StrPath

_SUFFIX = ".stichotrope-metrics"
_ENDED = "ended.stichotrope-metrics.json"
_NEW = ".new"  # what a file's name has at its end before it is locked
_LEFT_S = 60  # a file that is only being made is not as old
_SEGMENT = Struct("=8sIIIIQ")
_RECORD = Struct("=IIQ")
_CELL = Struct("=QQQQdddQQQ")
_PAGE = Struct("=QQQ16Q")
_PAIR = Struct("=QQ")
_GAUGE = Struct("=Qd")
_OF_CELL, _OF_PAGE, _OF_SERIES, _OF_GAUGE = 1, 2, 3, 4
_FIXED, _LOG_LINEAR = 1, 2
_SHAPE_BITS = 2
_ATTEMPTS = 20  # to read a file between two changes of it

_log = logging.getLogger("stichotrope")
_lock = threading.RLock()
_sharing: _Sharing | None = None


class _Sharing:
    """The file of this process.

    :param directory: where it is.
    :param registry: whose metrics are in it.
    """

    def __init__(self, directory: str, registry: MetricRegistry) -> None:
        import fcntl

        self.directory = directory
        self.registry = registry
        name = f"{os.getpid()}-{os.urandom(6).hex()}{_SUFFIX}"
        self.path = os.path.join(directory, name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        # It is seen once it is locked: what nobody holds is of a process that has ended.
        hidden = f"{self.path}{_NEW}"
        self.fd = os.open(hidden, flags, 0o666)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            _core.share_metrics(self.fd)
            os.rename(hidden, self.path)
        except BaseException:
            os.close(self.fd)
            os.unlink(hidden)
            raise
        self.describe_all()

    def describe_all(self) -> None:
        """Write what each series is, where it is not written yet."""
        for metric in self.registry:
            if isinstance(metric, Metric):
                for series in metric.series():
                    _describe_new(metric, series)


def share_metrics(directory: StrPath, registry: MetricRegistry = REGISTRY) -> None:
    """Keep this process's metrics where other processes read them, with a `SharedCollector`.

    They are recorded in a file of this process in the directory, at the same cost; a process that
    is killed loses nothing. Children that are forked from now on share theirs, too, from zero.
    Call it early: without the GIL, what other threads have recorded before is not seen by others.

    :param directory: where, made if it is missing; the same for all processes that belong together.
    :param registry: whose metrics, those that are registered later included.
    :raises RuntimeError: when this process shares in another directory already.
    :raises OSError: when there is no room, or the system has no shared files of this kind.
    """
    global _sharing
    if os.name == "nt":
        raise OSError("metrics cannot be shared by files on Windows")
    directory = os.path.abspath(made_directory(directory))
    with _lock:
        if _sharing is not None and (_sharing.directory, _sharing.registry) != (
            directory,
            registry,
        ):
            raise RuntimeError(f"this process shares its metrics in {_sharing.directory} already")
        if _sharing is None:
            _sharing = _Sharing(directory, registry)
            registry.watch(_describe_new, _hide_gone)
            # What ends with the interpreter is not gone: others are to read it.
            atexit.register(_core.keep_series)


def _describe_new(metric: Metric, series: Any) -> None:
    """Write what a series is, where it is not written yet."""
    if isinstance(series, GaugeChild) and series.has_function:
        return  # its value is not in the file
    if _core.shares_metrics() and not series._is_described():
        series._describe(_description(metric, series))


def _hide_gone(metric: Metric, series: Any) -> None:
    """Have others not see a series of what is unregistered."""
    series._withdraw()


def _description(metric: Metric, series: Any) -> bytes:
    found: dict[str, Any] = {
        "name": metric.name,
        "kind": metric.kind,
        "description": metric.description,
        "labels": series.label_values,
    }
    if isinstance(metric, Histogram):
        found |= {"bounds": metric.bounds, "classic": metric.classic_buckets}
    if isinstance(metric, Gauge):
        found |= {"across": metric.across}
    return json.dumps(found, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _after_fork_in_child() -> None:
    """Share on, in a file of the child's own."""
    global _sharing, _lock
    _lock = threading.RLock()
    before, _sharing = _sharing, None
    if before is None:
        return
    os.close(before.fd)
    try:
        _sharing = _Sharing(before.directory, before.registry)
    except OSError:
        import warnings

        warnings.warn(
            f"the metrics of process {os.getpid()} are not shared: no file can be made "
            f"in {before.directory}",
            RuntimeWarning,
            stacklevel=1,
        )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# Reading


class _Values:
    """A series, in one process or in all."""

    __slots__ = ("about", "buckets", "count", "counts", "greatest", "least", "sum", "value")

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        _check(about)
        self.value: float = 0
        self.count = 0
        self.sum = 0.0
        self.least, self.greatest = inf, -inf
        self.counts: list[int] = [0] * (len(about.get("bounds", ())) + 1)
        self.buckets: dict[int, int] = {}

    def add(self, other: _Values) -> None:
        """Add another process's, but for a gauge."""
        self.value += other.value
        self.sum += other.sum
        self.count += other.count
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)
        if len(self.counts) == len(other.counts):
            self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def read(cls, plain: dict[str, Any]) -> _Values:
        """Return what `plain` gave.

        :raises ValueError: when it is not that; or LookupError, TypeError, AttributeError.
        """
        found = cls(plain["about"])
        for name in ("value", "count", "sum", "least", "greatest"):
            setattr(found, name, _number(plain[name]))
        counts = list(map(_number, plain["counts"]))
        if len(counts) != len(found.counts):
            raise ValueError(f"{found.about['name']} has {len(counts)} counts")
        found.counts = counts
        found.buckets = {int(bucket): _number(n) for bucket, n in plain["buckets"].items()}
        return found

    @property
    def key(self) -> tuple[Any, ...]:
        """What the same series has in each process."""
        about = self.about
        return (
            about["name"],
            about["kind"],
            *sorted(about["labels"].items()),
            *about.get("bounds", ()),
        )


def _check(about: Any) -> None:
    """Refuse what does not say what a series is."""
    names, bounds = [about["name"], *about["labels"]], []
    texts = [*names, about["description"], *about["labels"].values()]
    if about["kind"] == "histogram":
        bounds = [*about["bounds"], *about["classic"]]
    if about["kind"] not in ("counter", "gauge", "histogram") or not all(
        isinstance(text, str) for text in texts
    ):
        raise ValueError(f"this is no series: {about!r:.200}")
    for bound in bounds:
        _number(bound)


def _number(value: Any) -> Any:
    if type(value) not in (int, float):
        raise TypeError(f"a number was expected, not {value!r:.50}")
    return value


_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, StructError, RecursionError)
_said: set[str] = set()


def _say(text: str, *arguments: object) -> None:
    """Log a sentence once: collecting comes again and again."""
    sentence = text % arguments
    if sentence not in _said:
        _said.add(sentence)
        _log.warning("%s", sentence)


def _readable(path: str) -> list[_Values] | None:
    """Return the series in a file, or nothing where it is damaged, which is logged."""
    try:
        return _read(path)
    except _DAMAGED as error:
        _say("%s is damaged, and left out: %s: %s", path, type(error).__name__, error)
        return None


def _read(path: str) -> list[_Values]:
    """Return the series in a file, as they were at one moment."""
    for _ in range(_ATTEMPTS):
        first, second = _bytes_of(path), _bytes_of(path)
        if _is_steady(first, second):
            break
    # Where one is written all the time, its count is that of its buckets: they agree in any case.
    return _parsed(second)


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _is_steady(first: bytes, second: bytes) -> bool:
    """Return whether no histogram changed between two readings, and nothing was moved."""
    if len(first) < _SEGMENT.size or first[: _SEGMENT.size] != second[: _SEGMENT.size]:
        return False
    if _SEGMENT.unpack_from(second)[5] % 2:
        return False
    for kind, start, size in _records(second):
        is_counter = kind == _OF_CELL and _CELL.unpack_from(second, start)[-1] == 0
        of_histogram = kind in (_OF_CELL, _OF_PAGE) and not is_counter
        if of_histogram and first[start : start + size] != second[start : start + size]:
            return False
    return True


def _parsed(data: bytes) -> list[_Values]:
    """Return the series in what was read of a file."""
    values: dict[int, _Values] = {}
    ns, ticks = clock.rate()
    for kind, start, _ in _records(data):
        if kind == _OF_SERIES:
            series, length = _PAIR.unpack_from(data, start)
            text = data[start + _PAIR.size : start + _PAIR.size + length]
            if series:
                values[series] = _Values(json.loads(text.decode("utf-8", "surrogatepass")))
    for kind, start, _ in _records(data):
        if kind != _OF_SERIES:
            _add_record(values, kind, data, start, ns / (ticks * 1e9))
    return list(values.values())


def _records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, where what it holds begins, its size) of each record."""
    segment = 0
    while segment + _SEGMENT.size <= len(data):
        magic, version, size, *_ = _SEGMENT.unpack_from(data, segment)
        if magic != b"stmetric" or version != 1 or size < _SEGMENT.size:
            return
        place = segment + _SEGMENT.size
        while place + _RECORD.size <= min(segment + size, len(data)):
            length, kind, _ = _RECORD.unpack_from(data, place)
            if length < _RECORD.size or place + length > len(data):
                break
            if kind:
                yield kind, place + _RECORD.size, length - _RECORD.size
            place += length
        segment += size


def _add_record(
    values: dict[int, _Values], kind: int, data: bytes, start: int, seconds: float
) -> None:
    """Add a record to the series that it is of."""
    if kind == _OF_GAUGE:
        series, value = _GAUGE.unpack_from(data, start)
        if series in values:
            values[series].value = value
        return
    if kind == _OF_PAGE:
        _, series, octave, *counts = _PAGE.unpack_from(data, start)
        if series in values:
            for sub, count in enumerate(counts):
                if count:
                    bucket = octave << 4 | sub
                    found = values[series].buckets
                    found[bucket] = found.get(bucket, 0) + count
        return
    cell = _CELL.unpack_from(data, start)
    series, finished, whole, total, shape = cell[0], cell[1], cell[3], cell[4], cell[-1]
    one = values.get(series)
    if one is None:
        return
    if one.about["kind"] == "counter":
        one.value += whole + total if total else whole
        return
    one.count += finished
    if finished:
        one.least, one.greatest = min(one.least, cell[5]), max(one.greatest, cell[6])
    one.sum += total + whole * seconds
    if shape & ((1 << _SHAPE_BITS) - 1) == _FIXED:
        fixed = Struct(f"={shape >> _SHAPE_BITS}Q").unpack_from(data, start + _CELL.size)
        one.counts = [a + b for a, b in zip(one.counts, fixed, strict=False)]


class SharedCollector:
    """Collects the metrics of all processes that share them in a directory.

    Counters and histograms of all are added up, those of processes that have ended included. Of
    gauges there are those of the processes that live: their sum, or what ``across`` says.

    :param directory: where they share them.
    """

    def __init__(self, directory: StrPath) -> None:
        self._directory = os.path.abspath(os.fspath(directory))

    def collect(self) -> list[Family]:
        """Return the families of all processes.

        :raises OSError: when the directory cannot be read.
        """
        with _lock, _Exclusive(self._directory):
            ended = self._fold_ended()
            found: dict[tuple[Any, ...], _Values] = {key: _copy(one) for key, one in ended.items()}
            for path in self._files():
                for values in _readable(path) or ():
                    _add(found, values)
        return _families(found.values())

    def _files(self) -> list[str]:
        names = sorted(name for name in os.listdir(self._directory) if name.endswith(_SUFFIX))
        return [os.path.join(self._directory, name) for name in names]

    def _fold_ended(self) -> dict[tuple[Any, ...], _Values]:
        """Return what processes have left that have ended, and remove their files.

        A file that was added says so by its name before it is removed: it is never added again.
        """
        path = os.path.join(self._directory, _ENDED)
        known, series = _left(path)
        gone = []
        for name in filter(_has_ended, self._files()):
            found = [] if os.path.basename(name) in known else _readable(name)
            if found is None:
                continue
            gone.append(name)
            for values in found:
                if values.about["kind"] != "gauge":
                    _add(series, values)
        if gone:
            names = list(map(os.path.basename, gone))
            text = json.dumps({"added": names, "series": [one.plain() for one in series.values()]})
            write_whole(path, text)
            for one_gone in gone:
                os.unlink(one_gone)
        self._clear()
        return series

    def _clear(self) -> None:
        """Remove what processes have left that were killed while they made a file."""
        remove_leftovers(self._directory, _LEFT_S)
        for name in os.listdir(self._directory):
            path = os.path.join(self._directory, name)
            try:
                if (
                    name.endswith(f"{_SUFFIX}{_NEW}")
                    and time.time() - os.stat(path).st_mtime > _LEFT_S
                    and _has_ended(path)
                ):
                    os.unlink(path)
            except OSError:
                continue  # it has its name by now, or another process has removed it


def _left(path: str) -> tuple[list[str], dict[tuple[Any, ...], _Values]]:
    """Return whose figures are in the file of what has ended, and these.

    One that is damaged is set aside, and said: what lives is collected all the same.
    """
    if not os.path.exists(path):
        return [], {}
    with open(path, "rb") as file:
        data = file.read()
    try:
        known = json.loads(data.decode())
        series = {one.key: one for one in map(_Values.read, known["series"])}
        return list(map(str, known["added"])), series
    except _DAMAGED as error:
        aside = f"{path}.damaged"
        os.replace(path, aside)
        _log.error(
            "%s is damaged, and what ended processes have counted is lost; kept as %s: %s: %s",
            *(path, aside, type(error).__name__, error),
        )
        return [], {}


def _copy(values: _Values) -> _Values:
    return _Values.read(values.plain())


def _add(found: dict[tuple[Any, ...], _Values], values: _Values) -> None:
    known = found.setdefault(values.key, values)
    if known is values:
        return
    across = values.about.get("across")
    if across in ("max", "min"):
        known.value = (max if across == "max" else min)(known.value, values.value)
    else:
        known.add(values)


class _Exclusive:
    """Keeps other processes from reading, and removing, at the same time."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, ".lock")
        self._fd = -1

    def __enter__(self) -> None:
        import fcntl

        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def _has_ended(path: str) -> bool:
    """Return whether the process of a file is gone: nobody holds the file."""
    import fcntl

    if _sharing is not None and path == _sharing.path:
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _families(found: Iterable[_Values]) -> list[Family]:
    families: dict[str, Family] = {}
    groups: dict[tuple[Any, ...], list[_Values]] = {}
    for one in found:
        name, kind, labels = (one.about[part] for part in ("name", "kind", "labels"))
        family = families.setdefault(name, Family(name, one.about["description"], kind))
        if family.type == kind:
            groups.setdefault((name, *sorted(labels.items())), []).append(one)
        else:
            _say(
                "%s is a %s in some processes, and a %s in others: those are left out",
                name,
                family.type,
                kind,
            )
    for (name, *_), group in groups.items():
        family, labels = families[name], group[0].about["labels"]
        if family.type == "histogram":
            _add_histogram(family, labels, group)
        else:
            ending = "_total" if family.type == "counter" else ""
            family.add(ending, labels, sum(one.value for one in group))
    return list(families.values())


def _add_histogram(family: Family, labels: dict[str, str], group: list[_Values]) -> None:
    """Add one series, which some processes may have with other buckets than others."""
    total = sum(one.sum for one in group)
    extremes = min(one.least for one in group), max(one.greatest for one in group)
    if extremes[0] <= extremes[1]:
        family.extremes[tuple(labels.items())] = extremes
    else:
        extremes = 0.0, 0.0
    if not any(one.about["bounds"] for one in group):
        buckets: dict[int, int] = {}
        for one in group:
            for bucket, count in one.buckets.items():
                buckets[bucket] = buckets.get(bucket, 0) + count
        family.natives.append((labels, native(in_order(buckets), total, extremes)))
    bounds = _common_bounds(family.name, group)
    counts = [0] * (len(bounds) + 1)
    for one in group:
        own = one.about["bounds"] or bounds
        parts = one.counts if one.about["bounds"] else in_bounds(one.buckets, bounds)
        until = dict(zip((*own, inf), accumulate(parts), strict=True))
        counts = [count + until[bound] for count, bound in zip(counts, (*bounds, inf), strict=True)]
    for bound, count in zip((*bounds, inf), counts, strict=True):
        family.add("_bucket", {**labels, "le": shown_bound(bound)}, count)
    family.add("_count", labels, counts[-1])
    family.add("_sum", labels, total)


def _common_bounds(name: str, group: list[_Values]) -> list[float]:
    """Return the bounds that all have: how many values are below is known of those alone."""
    each = [set(one.about["bounds"] or one.about["classic"]) for one in group]
    bounds = sorted(set.intersection(*each))
    if any(len(one) > len(bounds) for one in each):
        _say("%s has other buckets in some processes: those that all have are shown", name)
    return bounds
