"""What collectors of others give, checked, as the formats can write it: of a known kind."""

from __future__ import annotations

from ..config import checks
from .names import is_label_name, is_metric_name
from .samples import Exemplar, Family, Sample

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# What the samples of a kind may have after the family's name; the label that one of them must have.
_ENDINGS: dict[str, dict[str, str]] = {
    "counter": {"_total": ""},
    "gauge": {"": ""},
    "unknown": {"": ""},
    "summary": {"": "quantile", "_count": "", "_sum": ""},
    "histogram": {"_bucket": "le", "_count": "", "_sum": ""},
}
_SAME = {"untyped": "unknown"}


def checked_families(family: Any) -> Iterator[Family]:
    """Yield what a collector gave as families that each format can write.

    Kinds that are not ours, such as ``info`` and ``stateset`` of `prometheus_client`, and samples
    that a kind of ours has no place for, become gauges under the names of the samples. When a
    series was made (``_created``) is left out: only one of the formats has a place for it.

    :param family: what was given: with a name, documentation, type and samples.
    :raises TypeError: when it is no family, or a part of it of the wrong type.
    :raises ValueError: when a name or a label cannot be written.
    """
    for part in ("name", "documentation", "type", "samples"):
        if not hasattr(family, part):
            raise TypeError(f"collect() gives families, not {checks.shown(family)}")
    if not is_metric_name(family.name):
        raise ValueError(f"a family has a name that Prometheus takes, not {family.name!r}")
    kind = _SAME.get(family.type, family.type)
    endings = _ENDINGS.get(kind, {})
    whole = Family(family.name, str(family.documentation), kind)
    whole.natives = list(getattr(family, "natives", ()))
    whole.extremes = dict(getattr(family, "extremes", ()))
    others: dict[str, Family] = {}
    for sample in family.samples:
        one = _checked_sample(family.name, sample)
        ending = one.name.removeprefix(family.name) if one.name.startswith(family.name) else None
        wanted = endings.get(ending) if ending is not None else None
        if ending == "_created" and endings:
            continue
        if wanted is not None and (not wanted or _is_number(one.labels.get(wanted))):
            whole.samples.append(one)
        else:
            other = others.setdefault(one.name, Family(one.name, whole.documentation, "gauge"))
            other.samples.append(Sample(one.name, one.labels, one.value))
    if endings and (whole.samples or not others):
        yield whole
    yield from others.values()


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def _checked_sample(family: str, sample: Any) -> Sample:
    name: Any = getattr(sample, "name", None)
    labels: Any = getattr(sample, "labels", None)
    value: Any = getattr(sample, "value", None)
    if not is_metric_name(name):
        raise ValueError(f"{family}: a sample has a name that Prometheus takes, not {name!r}")
    if not isinstance(labels, dict):
        raise TypeError(f"{family}: the labels of a sample are a dict, not {checks.shown(labels)}")
    for label, text in labels.items():
        if not is_label_name(label):
            raise ValueError(f"{family}: a label has a name that Prometheus takes, not {label!r}")
        if not isinstance(text, str):
            raise TypeError(f"{family}: the label {label} is a str, not {checks.shown(text)}")
    labels = {label: checks.plain_text(text) for label, text in labels.items()}
    if type(value) not in (int, float):  # what is written is what repr gives
        if not hasattr(value, "__float__") or isinstance(value, str):
            raise TypeError(f"{family}: a sample is a number, not {checks.shown(value)}")
        value = float(value)
    exemplar = _checked_exemplar(getattr(sample, "exemplar", None))
    return Sample(name, labels, value, None, exemplar)


def _checked_exemplar(exemplar: Any) -> Exemplar | None:
    """Return an exemplar, or nothing for what is none: the figure is right without."""
    if exemplar is None:
        return None
    try:
        labels = dict(exemplar.labels)
        when = exemplar.timestamp
        found = Exemplar(labels, float(exemplar.value), None if when is None else float(when))
    except (AttributeError, TypeError, ValueError):
        return None
    are_texts = all(is_label_name(name) and isinstance(labels[name], str) for name in labels)
    return found if are_texts else None
