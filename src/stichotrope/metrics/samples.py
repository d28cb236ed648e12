"""What collecting gives: families of samples, in the shapes that `prometheus_client` knows."""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container


class Exemplar(NamedTuple):
    """One value that says more of itself.

    :ivar labels: what it says, such as the id of its trace.
    :ivar value: the value.
    :ivar timestamp: when it was recorded, in seconds since 1970.
    """

    labels: dict[str, str]
    value: float
    timestamp: float | None = None


class Native(NamedTuple):
    """A histogram in exponential buckets, as Prometheus calls a native one.

    Bucket ``i`` holds the values above ``base ** (i - 1)`` and up to ``base ** i``, with a base of
    ``2 ** 2 ** -schema``: https://prometheus.io/docs/specs/native_histograms/.

    :ivar schema: how fine the buckets are: each power of two has ``2 ** schema``.
    :ivar zero_threshold: values no further than that from 0 are counted in ``zero_count``.
    :ivar zero_count: how many those are.
    :ivar positive: bucket → count, of the values above.
    :ivar negative: the same of those below, by their absolute values.
    :ivar values: how many there are.
    :ivar sum: their sum.
    :ivar least: the least of them, 0.0 when there are none.
    :ivar greatest: the greatest, likewise.
    :ivar exemplars: some of the values.
    """

    schema: int
    zero_threshold: float
    zero_count: int
    positive: dict[int, int]
    negative: dict[int, int]
    values: int
    sum: float
    least: float = 0.0
    greatest: float = 0.0
    exemplars: tuple[Exemplar, ...] = ()

    def coarser(self, schema: int) -> Native:
        """Return the same with fewer buckets, each of which holds some of these wholly.

        :param schema: how fine they are to be, at most as fine as they are.
        """
        if schema >= self.schema:
            return self
        positive, negative = (
            _merged(buckets, self.schema - schema) for buckets in (self.positive, self.negative)
        )
        return self._replace(schema=schema, positive=positive, negative=negative)


def _merged(buckets: dict[int, int], halvings: int) -> dict[int, int]:
    merged: dict[int, int] = {}
    for place, count in buckets.items():
        wider = -(-place >> halvings)  # rounded up
        merged[wider] = merged.get(wider, 0) + count
    return merged


class Sample(NamedTuple):
    """One figure.

    :ivar name: its name, that of its family with an ending.
    :ivar labels: its labels.
    :ivar value: the figure.
    :ivar timestamp: when it was so, or None for now.
    :ivar exemplar: one of the values that it counts, or None.
    :ivar native_histogram: always None; a place that `prometheus_client` looks at.
    """

    name: str
    labels: dict[str, str]
    value: float
    timestamp: float | None = None
    exemplar: Exemplar | None = None
    native_histogram: None = None


class Family:
    """All samples of one metric.

    :ivar name: its name; that of a counter without ``_total``.
    :ivar documentation: what it is, in a sentence.
    :ivar type: "counter", "gauge" or "histogram"; "summary" and "unknown" of other libraries.
    :ivar unit: always empty; a place that `prometheus_client` looks at.
    :ivar samples: its samples.
    :ivar natives: of a histogram: (labels, histogram in exponential buckets) of each series.
    :ivar extremes: of a histogram: the pairs of the labels of a series → its least and greatest
        value, of those where they are known.
    """

    __slots__ = ("documentation", "extremes", "name", "natives", "samples", "type", "unit")

    def __init__(self, name: str, documentation: str, kind: str) -> None:
        self.name = name
        self.documentation = documentation
        self.type = kind
        self.unit = ""
        self.samples: list[Sample] = []
        self.natives: list[tuple[dict[str, str], Native]] = []
        self.extremes: dict[tuple[tuple[str, str], ...], tuple[float, float]] = {}

    def add(
        self,
        ending: str,
        labels: dict[str, str],
        value: float,
        exemplar: Exemplar | None = None,
    ) -> None:
        """Add a sample.

        :param ending: what its name has after the family's.
        :param labels: its labels.
        :param value: the figure.
        :param exemplar: one of the values that it counts.
        """
        self.samples.append(Sample(self.name + ending, labels, value, None, exemplar))

    def restricted(self, names: Container[str]) -> Family | None:
        """Return it with some of its samples alone, or None when there are none of them.

        :param names: of the samples.
        """
        some = Family(self.name, self.documentation, self.type)
        some.samples = [one for one in self.samples if one.name in names]
        return some if some.samples else None

    _restricted_metric = restricted  # what `prometheus_client` calls

    def __repr__(self) -> str:
        return f"<{self.type} {self.name}: {len(self.samples)} samples>"
