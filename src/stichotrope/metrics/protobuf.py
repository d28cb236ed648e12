"""The protobuf format in which Prometheus reads metrics, native histograms among them.

Each family is a message of ``io.prometheus.client``, with its length before it:
https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto
"""

from __future__ import annotations

from .._text.protobuf import double, integer, packed, sized, varint, zigzag
from .buckets import SCHEMA

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .samples import Exemplar, Family, Native, Sample

CONTENT_TYPE = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)
_KINDS = {"counter": 0, "gauge": 1, "summary": 2, "unknown": 3, "histogram": 4}
# The fields of a Metric.
_FIGURES = {"counter": 3, "gauge": 2, "unknown": 5}
_SUMMARY, _HISTOGRAM = 4, 7
_FURTHEST = 2  # empty buckets that are written out, rather than begin another span


def render(families: Iterable[Family]) -> bytes:
    """Return samples in the delimited protobuf format.

    :param families: what collecting gave.
    """
    return b"".join(_delimited(_family(family)) for family in families)


def _delimited(message: bytes) -> bytes:
    return varint(len(message)) + message


def _text(field: int, text: str) -> bytes:
    return sized(field, text.encode("utf-8", "replace"))


def _family(family: Family) -> bytes:
    name = family.name + ("_total" if family.type == "counter" else "")
    head = _text(1, name) + _text(2, family.documentation) + integer(3, _KINDS[family.type])
    return head + b"".join(sized(4, metric) for metric in _metrics(family))


def _metrics(family: Family) -> list[bytes]:
    if family.type == "histogram":
        return _histograms(family)
    if family.type == "summary":
        return _summaries(family)
    field = _FIGURES[family.type]
    return [
        _labels(sample.labels.items()) + sized(field, double(1, sample.value))
        for sample in family.samples
    ]


def _labels(labels: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(sized(1, _text(1, name) + _text(2, value)) for name, value in labels)


def _summaries(family: Family) -> list[bytes]:
    """Return each series of a summary as one message."""
    found: dict[tuple[tuple[str, str], ...], bytes] = {}
    for sample in family.samples:
        labels = tuple(pair for pair in sample.labels.items() if pair[0] != "quantile")
        if "quantile" in sample.labels:
            quantile = double(1, float(sample.labels["quantile"])) + double(2, sample.value)
            part = sized(3, quantile)
        elif sample.name.endswith("_count"):
            part = integer(1, int(sample.value))
        else:
            part = double(2, sample.value)
        found[labels] = found.get(labels, b"") + part
    return [_labels(labels) + sized(_SUMMARY, parts) for labels, parts in found.items()]


def _histograms(family: Family) -> list[bytes]:
    """Return each series of a histogram as one message: all its samples, and its native buckets."""
    natives = {tuple(labels.items()): native for labels, native in family.natives}
    buckets: dict[tuple[tuple[str, str], ...], list[bytes]] = {}
    sums: dict[tuple[tuple[str, str], ...], bytes] = {}
    for sample in family.samples:
        labels = tuple(pair for pair in sample.labels.items() if pair[0] != "le")
        parts = buckets.setdefault(labels, [])
        if "le" in sample.labels:
            parts.append(sized(3, _bucket(sample)))
        elif sample.name.endswith("_count"):
            parts.append(integer(1, int(sample.value)))
        else:
            sums[labels] = double(2, sample.value)
    return [
        _labels(labels)
        + sized(
            _HISTOGRAM,
            b"".join(parts)
            + sums.get(labels, b"")
            + (_native(natives[labels]) if labels in natives else b""),
        )
        for labels, parts in buckets.items()
    ]


def _bucket(sample: Sample) -> bytes:
    bound = double(2, float(sample.labels["le"]))
    found = integer(1, int(sample.value)) + bound
    return found + (sized(3, _exemplar(sample.exemplar)) if sample.exemplar else b"")


def _exemplar(exemplar: Exemplar) -> bytes:
    found = _labels(exemplar.labels.items()) + double(2, exemplar.value)
    if exemplar.timestamp is None:
        return found
    seconds, rest = divmod(round(exemplar.timestamp * 1e9), 1_000_000_000)
    return found + sized(3, integer(1, seconds) + integer(2, rest))


def _native(native: Native) -> bytes:
    native = native.coarser(SCHEMA)
    return b"".join(
        [
            integer(5, zigzag(native.schema)),
            double(6, native.zero_threshold),
            integer(7, native.zero_count),
            *_spans(9, 10, native.negative),
            *_spans(12, 13, native.positive),
            *(sized(16, _exemplar(one)) for one in native.exemplars),
        ]
    )


def _spans(span_field: int, delta_field: int, buckets: dict[int, int]) -> list[bytes]:
    """Return buckets as runs of them and the differences from one to the next."""
    if not buckets:
        return []
    spans: list[tuple[int, int]] = []  # how far from the last one's end, how many buckets
    counts: list[int] = []
    end = 0
    for place in sorted(buckets):
        gap = place - end
        if spans and gap <= _FURTHEST:
            spans[-1] = (spans[-1][0], spans[-1][1] + gap + 1)
            counts.extend([0] * gap)
        else:
            spans.append((gap, 1))
        counts.append(buckets[place])
        end = place + 1
    deltas = [count - before for before, count in zip([0, *counts], counts, strict=False)]
    return [
        *(sized(span_field, integer(1, zigzag(gap)) + integer(2, many)) for gap, many in spans),
        packed(delta_field, map(zigzag, deltas)),
    ]
