"""What metrics and labels may be called: https://prometheus.io/docs/concepts/data_model/."""

from __future__ import annotations

import re

from ..config import checks

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Iterable

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


def checked_metric_name(name: object) -> str:
    """Return the name of a metric.

    :param name: what was given.
    :raises TypeError: when it is no str.
    :raises ValueError: when it is none that Prometheus takes.
    """
    name = checks.checked_text(name, "a metric's name")
    if not _METRIC.fullmatch(name):
        raise ValueError(
            f"a metric's name is letters, digits, _ and :, and begins with no digit, not {name!r}"
        )
    return name


def checked_label_names(names: Iterable[object], reserved: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of a metric's labels.

    :param names: what was given.
    :param reserved: names that its kind of metric uses itself.
    :raises TypeError: when they are no names.
    :raises ValueError: when one is none that Prometheus takes, is reserved, or given twice.
    """
    if isinstance(names, (str, bytes)):
        raise TypeError(f"labelnames is a list or tuple of names, not one text: {names!r}")
    checks.check_iterable(names, "labelnames is a list or tuple of names")
    checked = tuple(checks.checked_text(name, "a label's name") for name in names)
    for name in checked:
        if not _LABEL.fullmatch(name):
            raise ValueError(
                f"a label's name is letters, digits and _, and begins with no digit, not {name!r}"
            )
        if name.startswith("__") or name in reserved:
            raise ValueError(f"the label {name!r} is reserved: call it something else")
    if len(set(checked)) < len(checked):
        raise ValueError(f"the labels of a metric must differ, and these do not: {list(checked)}")
    return checked


def is_metric_name(name: object) -> bool:
    """Return whether a metric may be called so.

    :param name: anything.
    """
    return isinstance(name, str) and _METRIC.fullmatch(name) is not None


def is_label_name(name: object) -> bool:
    """Return whether a label may be called so.

    :param name: anything.
    """
    return isinstance(name, str) and _LABEL.fullmatch(name) is not None
