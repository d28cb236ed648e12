"""Figures as people read them: durations with a fitting unit, counts, shares, shortened names."""

from __future__ import annotations

from math import isfinite
from numbers import Real

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND = 1_000_000_000
_MINUTE = 60 * _SECOND
_JOINERS = "\u200c\u200d"  # zero width non-joiner, zero width joiner
_UNITS = (("ns", 1), ("µs", 1_000), ("ms", 1_000_000), ("s", _SECOND))


def format_time_ns(ns: float) -> str:
    """Return a duration with three significant digits and the unit that fits.

    For example ``0 ns``, ``1.23 µs``, ``12.3 ms``, ``2 min 05 s``, ``1 h 02 min``.

    :param ns: a duration in nanoseconds, possibly negative or with a fraction.
    :raises TypeError: when it is not a real number.
    :raises ValueError: when it is infinite or not a number (nan).
    """
    if not _is_real(ns):
        raise TypeError(f"a duration must be a number of nanoseconds, not {ns!r}")
    if isinstance(ns, float) and not isfinite(ns):
        raise ValueError(f"a duration must be finite, not {ns!r}")
    text = _magnitude(abs(ns))
    return f"-{text}" if ns < 0 else text


def _is_real(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _magnitude(ns: float) -> str:
    # Above this, tenths of a second would round to "60.0 s".
    if ns >= 59.95 * _SECOND:
        return _long(round(ns))
    if ns < 999.5 and ns == int(ns):
        return f"{int(ns)} ns"
    unit, scale = next(unit for unit in _UNITS if ns < 999.5 * unit[1])
    return f"{_three_digits(float(ns / scale))} {unit}"


def _three_digits(value: float) -> str:
    """Return a number below 999.5 with three digits, counting those that rounding adds."""
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _long(ns: int) -> str:
    seconds = (ns + _SECOND // 2) // _SECOND
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    minutes = (ns + _MINUTE // 2) // _MINUTE
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def format_count(count: int) -> str:
    """Return a count with its thousands set apart: ``1,234,567``."""
    return f"{count:,}"


def format_percent(part: float, whole: float) -> str:
    """Return a share in percent with one decimal: ``12.3 %``; ``0.0 %`` when the whole is 0.

    A share that is small but not zero reads ``<0.1 %``.

    :param part: the share, in any unit.
    :param whole: what 100 percent is, in the same unit.
    """
    percent = 100 * part / whole if whole else 0.0
    return "<0.1 %" if 0 < percent < 0.05 else f"{percent:.1f} %"


def format_rate(count: int, ns: float) -> str:
    """Return how many there are in a second, with three significant digits: ``1,230``, ``0.456``.

    :param count: how many there were.
    :param ns: in how long, more than 0.
    """
    rate = count * _SECOND / ns
    if rate >= 99.95:
        rounded = round(rate, -max(len(str(int(rate))) - 3, 0))
        return f"{int(rounded):,}"
    return f"{rate:.3g}"


def format_ratio(part: float, whole: float) -> str:
    """Return how many times a whole goes into a part, with three digits: ``60``, ``2.5``, ``0.33``.

    A ratio that is small but not zero reads ``<0.01``.

    :param part: the part.
    :param whole: the whole, in the same unit, more than 0.
    """
    ratio = part / whole
    if 0 < ratio < 0.005:
        return "<0.01"
    if ratio >= 99.95:
        return f"{ratio:,.0f}"
    return _three_digits(ratio).rstrip("0").rstrip(".")


def format_throughput(bytes_per_s: float) -> str:
    """Return a throughput with three significant digits and the unit that fits: ``81.3 MB/s``.

    Units are decimal: a kB is 1,000 bytes. From 999.5 PB/s on there is no larger one.

    :param bytes_per_s: bytes in a second, finite, 0 or more.
    """
    value, units = bytes_per_s, ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{_three_digits(value)} {units[0]}/s"


def printable(text: str) -> str:
    """Return a text with all that is invisible, breaks a line or drives a terminal escaped.

    What joins two visible characters, as in emoji of several parts and in some scripts, stays.

    :param text: a text from the user's program; lone surrogates in it are escaped, too.
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable() or (char in _JOINERS and _joins(text, place))
        else char.encode("unicode_escape").decode("ascii")
        for place, char in enumerate(text)
    )


def _joins(text: str, place: int) -> bool:
    """Return whether a joiner stands between two characters that are shown and are not ASCII."""
    around = text[place - 1 : place] + text[place + 1 : place + 2]
    return len(around) == 2 and around.isprintable() and not any(map(str.isascii, around))


def shorten(text: str, width: int, ellipsis: str = "…", measure: Callable[[str], int] = len) -> str:
    """Return a text cut so that it fits: at the module or the folder, not in the name.

    What goes first are the parts of a dotted name or a path before its last: of
    ``shop.orders.Order.total``, ``…Order.total`` stays. A last part that is too long itself, a text
    of one part, and one of several words, as a query or ``GET /orders/{number}``, is cut in the
    middle.

    :param text: the text; it is returned as it is when it fits.
    :param width: the room, in the units of ``measure``.
    :param ellipsis: what stands for the part cut out.
    :param measure: how wide a text is; characters unless told otherwise.
    """
    if measure(text) <= width:
        return text
    room = width - measure(ellipsis)
    if room <= 0:
        return _head(ellipsis, width, measure)
    for begin in _begins(text):
        if measure(text[begin:]) <= room:
            return ellipsis + text[begin:]
    tail = _tail(text, room - room // 3, measure)
    return _head(text, room - measure(tail), measure) + ellipsis + tail


def _begins(text: str) -> list[int]:
    """Return where the parts of a path or a dotted name begin, but for the first."""
    if " " in text and text[0] not in "/\\" and text[1:2] != ":":
        return []
    separators = "/\\" if "/" in text or "\\" in text else "."
    places = [place + 1 for place, char in enumerate(text) if char in separators]
    return [place for place in places if text[place : place + 1].strip()]


def _head(text: str, width: int, measure: Callable[[str], int]) -> str:
    end = min(len(text), max(width, 0))
    while end and measure(text[:end]) > width:
        end -= 1
    return text[:end]


def _tail(text: str, width: int, measure: Callable[[str], int]) -> str:
    start = len(text) - min(len(text), max(width, 0))
    while start < len(text) and measure(text[start:]) > width:
        start += 1
    return text[start:]
