"""The metrics that are exposed together."""

from __future__ import annotations

import logging

from .. import _core
from ..config import checks
from .checked import checked_families
from .metric import Metric
from .samples import Family
from .text import render

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Protocol

    class Collector(Protocol):
        """What can be registered: anything that collects."""

        def collect(self) -> Iterable[Family]:
            """Return its families."""
            ...


_log = logging.getLogger("stichotrope")


class MetricRegistry:
    """The metrics that are exposed together: each name is one metric's.

    `expose` gives them as text. What `prometheus_client` has takes it for a registry of its own:
    ``generate_latest(registry)``, ``make_wsgi_app(registry)``.
    """

    gives_checked = True  # families that need no other look

    __slots__ = (
        "__weakref__",
        "_by_name",
        "_collectors",
        "_failed",
        "_parted",
        "_said",
        "_watchers",
    )

    def __init__(self) -> None:
        # Changed in single steps, never locked: a signal handler may come in between, and a fork.
        self._by_name: dict[str, Collector] = {}
        self._collectors: dict[int, Collector] = {}
        self._watchers: list[Callable[[Metric, Any], object]] = []
        self._parted: list[Callable[[Metric, Any], object]] = []
        self._said: dict[str, int] = {}  # of what is lost, how much has been logged
        self._failed = _core.CounterSeries("stichotrope_collector_errors", {})

    def register(self, metric: Collector) -> None:
        """Expose a metric from now on.

        :param metric: a counter, gauge or histogram, or anything else that has a ``collect`` which
            returns families.
        :raises TypeError: when it has none.
        :raises ValueError: when it, or another of one of its names, is registered.
        """
        if not callable(getattr(metric, "collect", None)):
            raise TypeError(f"a registry takes what has collect(), not {checks.shown(metric)}")
        if id(metric) in self._collectors:
            raise ValueError(f"registered already: {metric!r}")
        names = _names_of(metric)
        for place, name in enumerate(names):
            holder = self._by_name.setdefault(name, metric)
            if holder is not metric:
                self._forget(names[:place], metric)
                raise ValueError(f"the name {name!r} is taken: {holder!r} is registered under it")
        self._collectors[id(metric)] = metric
        if isinstance(metric, Metric):
            metric.tell(self.series_made)
            for series in metric.series():
                self.series_made(metric, series)

    def watch(
        self,
        watcher: Callable[[Metric, Any], object],
        gone: Callable[[Metric, Any], object] | None = None,
    ) -> None:
        """Have functions be told of series from now on.

        :param watcher: called with the metric and the series, for each that is registered or made.
        :param gone: likewise, for each series of a metric that is unregistered.
        """
        self._watchers.append(watcher)
        if gone is not None:
            self._parted.append(gone)

    def series_made(self, metric: Metric, series: Any) -> None:
        """Tell who watches of a series that is new.

        :param metric: of which metric; nothing is told of one that is not registered any more.
        :param series: the series.
        """
        if self._watchers and id(metric) in self._collectors:
            for watcher in self._watchers:
                watcher(metric, series)

    def _forget(self, names: Iterable[str], metric: Collector) -> None:
        for name in names:
            if self._by_name.get(name) is metric:
                self._by_name.pop(name, None)

    def unregister(self, metric: Collector) -> None:
        """Expose a metric no more. It can still be used, and registered again.

        :param metric: what was registered.
        :raises KeyError: when it is not registered.
        """
        if self._collectors.pop(id(metric), None) is None:
            raise KeyError(f"not registered: {metric!r}")
        self._forget(_names_of(metric), metric)
        if isinstance(metric, Metric):
            for series in metric.series():
                for gone in self._parted:
                    gone(metric, series)

    def get(self, name: str) -> Collector | None:
        """Return the metric of a name, or None when there is none.

        :param name: its name; that of a counter with or without ``_total``.
        """
        return self._by_name.get(name)

    def collect(self) -> Iterator[Family]:
        """Yield the families of all that is registered.

        What raises, or gives what cannot be written, is left out, logged, and counted in
        ``stichotrope_collector_errors_total``, which is there once it has happened.
        """
        for collector in list(self._collectors.values()):
            yield from self._collected(collector)
        if self._failed.value:
            yield _counted(
                self._failed.name, "Collectors that failed when asked.", self._failed.value
            )
        for name, text, count in _lost():
            if self._said.get(name, 0) != count:
                _log.warning("%s: %s until now", text.rstrip("."), f"{count:,}")
                self._said[name] = count
            yield _counted(name, text, count)

    def describe(self) -> list[Family]:
        """Return the families that there are now, without samples.

        A registry of `prometheus_client` asks for them once, when this one is registered with it.
        """
        found: list[Family] = []
        for collector in list(self._collectors.values()):
            describe = getattr(collector, "describe", None)
            families = describe() if callable(describe) else self._collected(collector)
            found += (Family(one.name, one.documentation, one.type) for one in families)
        return found

    def _collected(self, collector: Collector) -> Iterator[Family]:
        """Yield what one collector gives, as far as it can be written."""
        try:
            families = list(collector.collect())
        except Exception:
            self._failed.inc()
            _log.exception("a collector failed, and its metrics are left out: %r", collector)
            return
        if getattr(collector, "gives_checked", False):
            yield from families
            return
        for family in families:
            try:
                checked = list(checked_families(family))
            except Exception:
                self._failed.inc()
                _log.exception("what %r gave cannot be written, and is left out", collector)
            else:
                yield from checked

    def restricted_registry(self, names: Iterable[str]) -> Restricted:
        """Return what collects only some samples, as scrapes with ``name[]`` ask for.

        :param names: of samples.
        """
        return Restricted(self, frozenset(names))

    def expose(self) -> str:
        """Return all metrics in the text format of Prometheus."""
        return render(self.collect())

    def reset(self) -> None:
        """Begin from zero, in all metrics."""
        for collector in list(self._collectors.values()):
            if isinstance(collector, Metric):
                collector.reset()

    def __iter__(self) -> Iterator[Collector]:
        """Yield what is registered."""
        return iter(list(self._collectors.values()))

    def __repr__(self) -> str:
        return f"<MetricRegistry of {len(self._collectors)}>"


def _counted(name: str, text: str, count: float) -> Family:
    family = Family(name, text, "counter")
    family.add("_total", {}, count)
    return family


def _lost() -> Iterator[tuple[str, str, int]]:
    """Yield name, sentence and number of what this process could not keep, if there is any."""
    for name, text, count in (
        (
            "stichotrope_unrecorded_values",
            "Values of metrics that found no memory.",
            _core.unrecorded_values(),
        ),
        (
            "stichotrope_unshared_metrics",
            "Cells of metrics that found no room in the shared file, and are this process's alone.",
            _core.unshared_metrics(),
        ),
    ):
        if count:
            yield name, text, count


def _names_of(metric: object) -> tuple[str, ...]:
    names = getattr(metric, "names", ())
    return names if isinstance(names, tuple) else ()


class Restricted:
    """What collects some of a registry's samples.

    :param registry: the registry.
    :param names: of the samples.
    """

    __slots__ = ("_names", "_registry")

    def __init__(self, registry: Collector, names: frozenset[str]) -> None:
        self._registry = registry
        self._names = names

    def collect(self) -> Iterator[Family]:
        """Yield the families that have some of the samples, with these alone."""
        for family in self._registry.collect():
            some = family.restricted(self._names)
            if some is not None:
                yield some


REGISTRY = MetricRegistry()
