"""Counters, gauges and histograms, as a program makes them."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from math import inf

from .. import _core
from ..config import checks, clock
from ..results.histogram import exact_quantile
from .buckets import DEFAULT_BUCKETS, checked_bounds, in_bounds, in_order, native
from .names import checked_label_names, checked_metric_name
from .samples import Exemplar, Family
from .timer import Timer

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Protocol

    class Registry(Protocol):
        """Where a metric can be registered: a `MetricRegistry`, or one of `prometheus_client`."""

        def register(self, metric: Any, /) -> object:
            """Expose a metric from now on."""
            ...


MOST_SERIES = 2000
OVERFLOW = "(other)"  # the value of each label where there are too many
_LIMITS = (1, 1 << 20)


class Metric:
    """What counters, gauges and histograms have in common."""

    if not TYPE_CHECKING:  # the classes that have these attributes make room for them
        __slots__ = ()

    name: str
    label_names: tuple[str, ...]
    children: dict[tuple[object, ...], Any]
    _description: str
    _most: int
    _overflow: dict[tuple[object, ...], Any]  # of what goes beyond, by its labels
    _told: list[Callable[[Metric, Any], object]]

    kind = ""  # as Prometheus calls it
    gives_checked = True

    def _begin(self, description: object, max_series: int, registry: Registry | None) -> None:
        if not isinstance(description, str):
            raise TypeError(f"a description must be a str, not {checks.shown(description)}")
        checks.check_limit(max_series, "max_series", *_LIMITS)
        self._description = description
        self._most = max_series
        self._overflow = {}
        self._told = []
        if registry is not None:
            registry.register(self)

    @property
    def description(self) -> str:
        """What it is, in a sentence."""
        return self._description

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are its own: no other metric may have one of them."""
        return (self.name,)

    def _new_child(self, label_values: dict[str, str]) -> Any:
        """Return what records for these labels."""
        raise NotImplementedError

    def _labelled(self, values: tuple[object, ...], named: dict[str, object]) -> Any:
        """Return what records for labels that were not found as they were given."""
        texts = self._texts(values, named)
        known = self.children.get(texts)
        if known is not None:
            return known
        if texts in self._overflow:
            return self._overflow[texts]
        if len(self.children) >= self._most:
            return self._overflowing()
        made = self._new_child(dict(zip(self.label_names, texts, strict=True)))
        known = self.children.setdefault(texts, made)
        if known is made:
            self._tell_of(made)
        return known

    def tell(self, listener: Callable[[Metric, Any], object]) -> None:
        """Have a function be told of each series that is made from now on.

        :param listener: called with the metric and the series.
        """
        if listener not in self._told:
            self._told.append(listener)

    def _tell_of(self, series: Any) -> None:
        for listener in self._told:
            listener(self, series)

    def _texts(self, values: tuple[object, ...], named: dict[str, object]) -> tuple[str, ...]:
        expected = ", ".join(self.label_names or ())
        if not self.label_names:
            raise ValueError(f"{self.name} has no labels to be chosen, or has its own already")
        if values and named:
            raise ValueError(f"{self.name}: labels are given in order or by name, not both")
        if named:
            if set(named) != set(self.label_names):
                given = ", ".join(named)
                raise ValueError(f"{self.name} has the labels {expected}, and was given {given}")
            values = tuple(named[name] for name in self.label_names)
        if len(values) != len(self.label_names):
            raise ValueError(
                f"{self.name} has {len(self.label_names)} labels ({expected}), "
                f"and was given {len(values)}"
            )
        return tuple(checks.plain_text(value) for value in values)

    def _overflowing(self) -> Any:
        """Return what records for all labels beyond the limit."""
        other = dict.fromkeys(self.label_names, OVERFLOW)
        texts = tuple(other.values())
        known = self._overflow.get(texts)
        if known is not None:
            return known
        warnings.warn(
            f"{self.name} has {self._most:,} label sets, as many as it may: what is recorded "
            f"under further ones is added up under {OVERFLOW!r}; is a label made up at run "
            "time? max_series allows more",
            RuntimeWarning,
            stacklevel=3,  # what calls it in between is in the core
        )
        there = self.children.get(texts)  # a program may have called one so itself
        made = self._new_child(other) if there is None else there
        known = self._overflow.setdefault(texts, made)
        if known is made and made is not there:
            self._tell_of(made)
        return known

    def series(self) -> list[Any]:
        """Return what records: itself, or what its labels have given so far."""
        if not self.label_names:
            return [self]
        return list({**self.children, **self._overflow}.values())

    def remove(self, *values: object, **named: object) -> None:
        """Forget a label set. What was kept of it records on, and is not collected any more.

        :param values: the values of all labels in order, or by name.
        :raises KeyError: when there is none of these labels.
        :raises ValueError: for other labels than the metric has.
        """
        texts = self._texts(values, named)
        beyond = self._overflow.pop(texts, None)
        gone = self.children.pop(texts, beyond)
        if gone is None:
            raise KeyError(f"{self.name} has recorded nothing under {texts}")
        gone._withdraw()

    def clear(self) -> None:
        """Forget all label sets."""
        if self.label_names:
            for one in self.series():
                one._withdraw()
            self.children.clear()
            self._overflow.clear()

    def reset(self) -> None:
        """Begin from zero, in all series: they stay, and what was kept of them."""
        for one in self.series():
            one._restart()

    def describe(self) -> list[Family]:
        """Return its family without samples."""
        return [Family(self.name, self._description, self.kind)]

    def collect(self) -> list[Family]:
        """Return its samples: a list of one `Family`."""
        family = Family(self.name, self._description, self.kind)
        for one in self.series():
            self._add_samples(family, one)
        return [family]

    def _add_samples(self, family: Family, series: Any) -> None:
        raise NotImplementedError

    def __reduce__(self) -> Any:
        raise TypeError(f"the metric {self.name} belongs to this process, and cannot be pickled")


class Counter(Metric, _core.CounterSeries):
    """What only goes up: requests, bytes, errors.

    Each thread counts for itself, without a lock. Without labels it counts itself; with labels,
    what `labels` gives does. After a fork, the child counts from zero.

    :param name: its name, with or without the ``_total`` that it is exposed with.
    :param description: what it counts, in a sentence.
    :param labelnames: the names of its labels.
    :param max_series: how many label sets it may have; what goes beyond is one, ``(other)``.
    :param registry: where to register it: a `MetricRegistry`, or one of `prometheus_client`.
    :raises TypeError: for an argument of the wrong type.
    :raises ValueError: for a name that Prometheus does not take, or one that is registered.
    """

    __slots__ = ("_description", "_most", "_overflow", "_told")

    kind = "counter"

    def __init__(
        self,
        name: str,
        description: str = "",
        labelnames: Iterable[str] = (),
        *,
        max_series: int = MOST_SERIES,
        registry: Registry | None = None,
    ) -> None:
        name = checked_metric_name(name).removesuffix("_total")
        super().__init__(checked_metric_name(name), {}, checked_label_names(labelnames))
        self._begin(description, max_series, registry)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are its own: no other metric may have one of them."""
        return self.name, f"{self.name}_total", f"{self.name}_created"

    @property
    def value(self) -> float:
        """What it has come to in all threads: an int as long as only ints were added.

        :raises ValueError: when it has labels: what `labels` gives has a value.
        """
        _refuse_labels(self)
        return super().value

    def _new_child(self, label_values: dict[str, str]) -> _core.CounterSeries:
        return _core.CounterSeries(self.name, label_values)

    def _add_samples(self, family: Family, series: _core.CounterSeries) -> None:
        family.add("_total", series.label_values, series.value)


class GaugeChild(_core.GaugeSeries):
    """What has one value: a gauge without labels, or what records for one label set of a gauge."""

    __slots__ = ("_function",)

    def __init__(
        self, name: str, label_values: dict[str, str], label_names: tuple[str, ...] = ()
    ) -> None:
        super().__init__(name, label_values, label_names)
        self._function: Callable[[], float] | None = None

    def set_function(self, function: Callable[[], float]) -> None:
        """Have its value be what a function returns whenever it is collected, by this process.

        :param function: called without arguments, on the thread that collects. When it fails, the
            gauge is left out of what is collected.
        :raises TypeError: when it cannot be called.
        :raises ValueError: when it is of a gauge that has labels: what `labels` gives takes one.
        """
        if not callable(function):
            raise TypeError(f"a gauge's function must be callable, not {checks.shown(function)}")
        _refuse_labels(self)
        self._function = function
        self._withdraw()  # others could not ask it

    @property
    def has_function(self) -> bool:
        """Whether its value is what a function returns."""
        return self._function is not None

    @property
    def value(self) -> float:
        """What it is now.

        :raises ValueError: when it has labels: what `labels` gives has a value.
        """
        _refuse_labels(self)
        return self._read() if self._function is None else float(self._function())


class Gauge(Metric, GaugeChild):
    """What goes up and down: a temperature, requests in progress. One value, for all threads.

    After a fork, it is 0 in the child.

    :param name: its name.
    :param description: what it tells, in a sentence.
    :param labelnames: the names of its labels.
    :param across: what several processes that share it come to, those that live: "sum", "max" or
        "min".
    :param max_series: how many label sets it may have; what goes beyond is one, ``(other)``.
    :param registry: where to register it: a `MetricRegistry`, or one of `prometheus_client`.
    :raises TypeError: for an argument of the wrong type.
    :raises ValueError: for a name that Prometheus does not take, or one that is registered.
    """

    __slots__ = ("_across", "_description", "_most", "_overflow", "_told")

    kind = "gauge"

    def __init__(
        self,
        name: str,
        description: str = "",
        labelnames: Iterable[str] = (),
        *,
        across: str = "sum",
        max_series: int = MOST_SERIES,
        registry: Registry | None = None,
    ) -> None:
        if across not in ("sum", "max", "min"):
            raise ValueError(f"across is 'sum', 'max' or 'min', not {across!r}")
        self._across = across
        super().__init__(checked_metric_name(name), {}, checked_label_names(labelnames))
        self._begin(description, max_series, registry)

    @property
    def across(self) -> str:
        """What several processes that share it come to."""
        return self._across

    def _new_child(self, label_values: dict[str, str]) -> GaugeChild:
        return GaugeChild(self.name, label_values)

    def _add_samples(self, family: Family, series: GaugeChild) -> None:
        family.add("", series.label_values, series.value)


class Figures:
    """A histogram at one moment.

    :ivar count: how many values.
    :ivar sum: their sum.
    :ivar min: the least, 0.0 when there are none.
    :ivar max: the greatest, likewise.
    :ivar counts: of each bucket, the last for what is beyond the greatest bound; or, of a
        log-linear histogram, bucket → count.
    """

    __slots__ = ("count", "counts", "max", "min", "sum")

    def __init__(self, series: _core.HistogramSeries) -> None:
        count, ticks, total, least, greatest, counts = series._read()
        ns, per = clock.rate()
        _core.set_tick_length(ns / per / 1e9)
        self.count = count
        self.sum = total + ticks * ns / (per * 1_000_000_000)
        self.min, self.max = (least, greatest) if count else (0.0, 0.0)
        self.counts: list[int] | dict[int, int] = counts


class Histogram(Metric, _core.HistogramSeries):
    """How many values there were, and of which size: durations in seconds, sizes in bytes.

    By default each power of two has 16 buckets, whatever the values are, so that a percentile is
    off by a thirty-second at most, and Prometheus gets a native histogram where it asks for one.

    :param name: its name.
    :param description: what it measures, in a sentence.
    :param labelnames: the names of its labels.
    :param buckets: the upper bounds of fixed buckets, rising; a value that is equal to a bound is
        below it. Without, buckets are log-linear.
    :param classic_buckets: of a log-linear histogram: the bounds that are shown where native
        histograms are not known; by default those of `prometheus_client`, for seconds.
    :param exemplars: whether one recent value that has labels is kept in each bucket: those of
        ``observe(value, exemplar={…})``; with a function, what it returns for each value that is
        recorded (a dict of texts, or None), `stichotrope.integrations.opentelemetry.trace_labels`
        for example.
    :param max_series: how many label sets it may have; what goes beyond is one, ``(other)``.
    :param registry: where to register it: a `MetricRegistry`, or one of `prometheus_client`.
    :raises TypeError: for an argument of the wrong type.
    :raises ValueError: for a name that Prometheus does not take, or one that is registered; for
        bounds that do not rise.
    """

    __slots__ = (
        *("_bounds", "_classic", "_description", "_exemplified", "_most", "_overflow", "_told"),
    )

    kind = "histogram"

    def __init__(
        self,
        name: str,
        description: str = "",
        labelnames: Iterable[str] = (),
        *,
        buckets: Iterable[float] | None = None,
        classic_buckets: Iterable[float] = DEFAULT_BUCKETS,
        exemplars: bool | Callable[[], dict[str, str] | None] = False,
        max_series: int = MOST_SERIES,
        registry: Registry | None = None,
    ) -> None:
        if not isinstance(exemplars, bool) and not callable(exemplars):
            raise TypeError(
                "exemplars is True, False or a function that gives their labels, "
                f"not {checks.shown(exemplars)}"
            )
        self._bounds = () if buckets is None else checked_bounds(buckets)
        self._classic = self._bounds or checked_bounds(classic_buckets)
        self._exemplified = (bool(exemplars), exemplars if callable(exemplars) else None)
        super().__init__(
            checked_metric_name(name),
            {},
            checked_label_names(labelnames, ("le", "quantile")),
            self._bounds,
            *self._exemplified,
        )
        _tell_tick_length()
        self._begin(description, max_series, registry)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are its own: no other metric may have one of them."""
        endings = ("", "_bucket", "_count", "_sum", "_created")
        return tuple(self.name + ending for ending in endings)

    def _new_child(self, label_values: dict[str, str]) -> HistogramChild:
        return HistogramChild(self.name, label_values, (), self._bounds, *self._exemplified)

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds of its fixed buckets; empty where they are log-linear."""
        return self._bounds

    @property
    def classic_buckets(self) -> tuple[float, ...]:
        """The bounds that are shown where native histograms are not known."""
        return self._classic

    def time(self) -> Timer:
        """Return a timer: a context manager, or a decorator; see `Timer`."""
        return Timer(self)

    def percentile(self, q: float) -> float:
        """Return what ``q`` percent of the values do not exceed, 0.0 when there are none.

        :param q: a number from 0 to 100.
        :raises TypeError: when it is no number.
        :raises ValueError: when it lies outside 0 to 100, or the histogram has labels.
        """
        return percentile(self, q, self._bounds)

    def summary(self) -> dict[str, float]:
        """Return count, sum, mean, min, max, p50, p90, p95 and p99, by these names.

        :raises ValueError: when the histogram has labels: what `labels` gives has a summary.
        """
        return summary(self, self._bounds)

    def _add_samples(self, family: Family, series: _core.HistogramSeries) -> None:
        figures = Figures(series)
        counts, classic, labels = figures.counts, self._classic, series.label_values
        exemplars = self._exemplars_of(series)
        if figures.count:
            family.extremes[tuple(labels.items())] = figures.min, figures.max
        if isinstance(counts, dict):
            sizes = in_order(counts)
            some, extremes = tuple(exemplars.values()), (figures.min, figures.max)
            family.natives.append((labels, native(sizes, figures.sum, extremes, some)))
            counts = in_bounds(counts, classic)
        total = 0
        for place, bound in enumerate((*classic, inf)):
            total += counts[place]
            exemplar = exemplars.get(place)
            family.add("_bucket", {**labels, "le": shown_bound(bound)}, total, exemplar)
        family.add("_count", labels, figures.count)
        family.add("_sum", labels, figures.sum)

    def _exemplars_of(self, series: _core.HistogramSeries) -> dict[int, Exemplar]:
        """Return the newest exemplar in each of the buckets that are shown."""
        found: dict[int, Exemplar] = {}
        for labels, value, when in series._exemplars().values():
            place = bisect_left(self._classic, value)
            if place not in found or (found[place].timestamp or 0) < when:
                found[place] = Exemplar(labels, value, when)
        return found


class HistogramChild(_core.HistogramSeries):
    """What records for one label set of a histogram."""

    __slots__ = ("_bounds",)

    def __init__(
        self,
        name: str,
        label_values: dict[str, str],
        label_names: tuple[str, ...],
        bounds: tuple[float, ...],
        exemplars: bool,
        sampler: Callable[[], dict[str, str] | None] | None,
    ) -> None:
        super().__init__(name, label_values, label_names, bounds, exemplars, sampler)
        self._bounds = bounds

    def time(self) -> Timer:
        """Return a timer: a context manager, or a decorator; see `Timer`."""
        return Timer(self)

    def percentile(self, q: float) -> float:
        """Return what ``q`` percent of the values do not exceed; see `Histogram.percentile`."""
        return percentile(self, q, self._bounds)

    def summary(self) -> dict[str, float]:
        """Return count, sum, mean, min, max and percentiles; see `Histogram.summary`."""
        return summary(self, self._bounds)


def _tell_tick_length() -> None:
    ns, ticks = clock.rate()
    _core.set_tick_length(ns / ticks / 1e9)


def shown_bound(bound: float) -> str:
    """Return the upper bound of a bucket as Prometheus writes it.

    :param bound: the bound.
    """
    return "+Inf" if bound == inf else repr(bound)


def percentile(series: _core.HistogramSeries, q: float, bounds: Sequence[float]) -> float:
    """Return what ``q`` percent of the values do not exceed, 0.0 when there are none.

    :param series: of which histogram.
    :param q: a number from 0 to 100.
    :param bounds: the bounds of its buckets, empty for log-linear ones.
    """
    _refuse_labels(series)
    return quantile(Figures(series), q, bounds)


def _refuse_labels(series: _core.Series) -> None:
    if series.label_names:
        raise ValueError(f"{series.name} has labels: figures are of what its labels() gives")


def summary(series: _core.HistogramSeries, bounds: Sequence[float]) -> dict[str, float]:
    """Return the figures of a histogram by name; see `Histogram.summary`.

    :param series: of which histogram.
    :param bounds: the bounds of its buckets, empty for log-linear ones.
    """
    _refuse_labels(series)
    figures = Figures(series)
    return {
        "count": figures.count,
        "sum": figures.sum,
        "mean": figures.sum / figures.count if figures.count else 0.0,
        "min": figures.min,
        "max": figures.max,
        **{f"p{q}": quantile(figures, q, bounds) for q in (50, 90, 95, 99)},
    }


def quantile(figures: Figures, q: float, bounds: Sequence[float]) -> float:
    """Return a percentile: nearest rank, as for blocks.

    It is the middle of the log-linear bucket that holds it; in a fixed one it is interpolated, as
    ``histogram_quantile`` of Prometheus does. It is never outside of what was recorded.

    :param figures: of which histogram.
    :param q: a number from 0 to 100.
    :param bounds: the bounds of its buckets, empty for log-linear ones.
    :raises TypeError: when ``q`` is no number.
    :raises ValueError: when ``q`` lies outside 0 to 100.
    """
    exact = exact_quantile(q) * figures.count
    rank = -(-exact.numerator // exact.denominator)
    if not figures.count or rank == 0:
        return figures.min
    if rank == figures.count:
        return figures.max
    if isinstance(figures.counts, dict):
        found = _middle_at(in_order(figures.counts), rank)
    else:
        found = _interpolated(figures, figures.counts, rank, bounds)
    return min(max(found, figures.min), figures.max)


def _middle_at(sizes: list[tuple[float, int]], rank: int) -> float:
    for value, count in sizes:
        rank -= count
        if rank <= 0:
            return value
    return sizes[-1][0] if sizes else 0.0


def _interpolated(figures: Figures, counts: list[int], rank: int, bounds: Sequence[float]) -> float:
    for place, count in enumerate(counts):
        if rank <= count:
            lower = bounds[place - 1] if place else figures.min
            upper = bounds[place] if place < len(bounds) else figures.max
            return lower + (upper - lower) * rank / count
        rank -= count
    return figures.max
