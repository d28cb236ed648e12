"""Reads the delimited protobuf format of Prometheus, by the fields of the schema that its authors publish.

https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto
"""

from __future__ import annotations

from typing import Any

from published import Schema, message_class

SCHEMA: Schema = {
    "LabelPair": {"name": (1, "string"), "value": (2, "string")},
    "Gauge": {"value": (1, "double")},
    "Counter": {"value": (1, "double"), "exemplar": (2, "Exemplar")},
    "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "int32")},
    "Exemplar": {
        "label": (1, "[LabelPair]"),
        "value": (2, "double"),
        "timestamp": (3, "Timestamp"),
    },
    "BucketSpan": {"offset": (1, "sint32"), "length": (2, "uint32")},
    "Bucket": {
        "cumulative_count": (1, "uint64"),
        "upper_bound": (2, "double"),
        "exemplar": (3, "Exemplar"),
    },
    "Histogram": {
        "sample_count": (1, "uint64"),
        "sample_sum": (2, "double"),
        "bucket": (3, "[Bucket]"),
        "schema": (5, "sint32"),
        "zero_threshold": (6, "double"),
        "zero_count": (7, "uint64"),
        "negative_span": (9, "[BucketSpan]"),
        "negative_delta": (10, "[sint64]"),
        "positive_span": (12, "[BucketSpan]"),
        "positive_delta": (13, "[sint64]"),
        "exemplars": (16, "[Exemplar]"),
    },
    "Untyped": {"value": (1, "double")},
    "Quantile": {"quantile": (1, "double"), "value": (2, "double")},
    "Summary": {
        "sample_count": (1, "uint64"),
        "sample_sum": (2, "double"),
        "quantile": (3, "[Quantile]"),
    },
    "Metric": {
        "label": (1, "[LabelPair]"),
        "gauge": (2, "Gauge"),
        "counter": (3, "Counter"),
        "summary": (4, "Summary"),
        "untyped": (5, "Untyped"),
        "histogram": (7, "Histogram"),
    },
    "MetricFamily": {
        "name": (1, "string"),
        "help": (2, "string"),
        "type": (3, "int32"),
        "metric": (4, "[Metric]"),
    },
}

MetricFamily = message_class(SCHEMA, "io.prometheus.client", "MetricFamily")


def families(body: bytes) -> dict[str, Any]:
    """The families of a scrape, by their names."""
    found = {}
    while body:
        length = shift = used = 0
        while not used or body[used - 1] >= 0x80:
            length |= (body[used] & 0x7F) << shift
            shift += 7
            used += 1
        body = body[used:]
        family = MetricFamily.FromString(body[:length])
        assert len(body) >= length
        found[family.name] = family
        body = body[length:]
    return found


def buckets(spans: Any, deltas: Any) -> dict[int, int]:
    """Exponential buckets by their numbers, empty ones left out."""
    found = {}
    left = list(deltas)
    place = count = 0
    for span in spans:
        place += span.offset
        for _ in range(span.length):
            count += left.pop(0)
            if count:
                found[place] = count
            place += 1
    assert not left
    return found
