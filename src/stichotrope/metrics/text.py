"""The text formats in which Prometheus reads metrics.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from math import inf

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .samples import Exemplar, Family, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render(families: Iterable[Family]) -> str:
    """Return samples in Prometheus's own text format.

    :param families: what collecting gave.
    """
    return "".join(line for family in families for line in _lines(family))


def render_openmetrics(families: Iterable[Family]) -> str:
    """Return samples in the OpenMetrics text format, which has exemplars.

    :param families: what collecting gave.
    """
    lines = (line for family in families for line in _lines(family, openmetrics=True))
    return "".join(lines) + "# EOF\n"


def _lines(family: Family, openmetrics: bool = False) -> Iterator[str]:
    name, kind = family.name, family.type
    if kind == "counter" and not openmetrics:
        name += "_total"
    if kind == "unknown" and not openmetrics:
        kind = "untyped"
    text = _escaped(family.documentation, quotes=openmetrics)
    yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for sample in family.samples:
        exemplar = sample.exemplar if openmetrics else None
        end = "\n" if exemplar is None else f" # {_exemplar(exemplar)}\n"
        yield f"{sample.name}{_labels(sample)} {number(sample.value)}{end}"


def _labels(sample: Sample) -> str:
    return f"{{{_pairs(sample.labels)}}}" if sample.labels else ""


def _pairs(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _exemplar(exemplar: Exemplar) -> str:
    when = "" if exemplar.timestamp is None else f" {exemplar.timestamp:.3f}"
    return f"{{{_pairs(exemplar.labels)}}} {number(exemplar.value)}{when}"


def _escaped(text: str, quotes: bool = True) -> str:
    if "\\" in text:
        text = text.replace("\\", r"\\")
    if "\n" in text:
        text = text.replace("\n", r"\n")
    if quotes and '"' in text:
        text = text.replace('"', r"\"")
    # What is half of a pair cannot be written as UTF-8.
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def number(value: float) -> str:
    """Return a figure as Prometheus writes it.

    :param value: the figure.
    """
    if value == inf:
        return "+Inf"
    if value == -inf:
        return "-Inf"
    return "NaN" if value != value else repr(value)
