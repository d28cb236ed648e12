"""Durations, counts, shares and names as text."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stichotrope._text.format import (
    format_count,
    format_percent,
    format_rate,
    format_ratio,
    format_time_ns,
    printable,
    shorten,
)

pytestmark = pytest.mark.unit

S = 1_000_000_000


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (7, "7 ns"),
        (999, "999 ns"),
        (12.0, "12 ns"),
        (12.34, "12.3 ns"),
        (0.25, "0.25 ns"),
        (999.5, "1.00 µs"),
        (999.4, "999 ns"),
        (1_000, "1.00 µs"),
        (1_234, "1.23 µs"),
        (9_994, "9.99 µs"),
        (9_995, "10.0 µs"),
        (99_949, "99.9 µs"),
        (99_950, "100 µs"),
        (999_499, "999 µs"),
        (999_500, "1.00 ms"),
        (12_345_678, "12.3 ms"),
        (999_499_999, "999 ms"),
        (999_500_000, "1.00 s"),
        (1_230_000_000, "1.23 s"),
        (59_949_999_999, "59.9 s"),
        (59_950_000_000, "1 min 00 s"),
        (125 * S, "2 min 05 s"),
        (125.4 * S, "2 min 05 s"),
        (3599 * S, "59 min 59 s"),
        (3599 * S + S // 2, "1 h 00 min"),
        (3720 * S, "1 h 02 min"),
        (3600 * 1234 * S, "1,234 h 00 min"),
        (-1_234, "-1.23 µs"),
        (-125 * S, "-2 min 05 s"),
        (Fraction(2469, 2), "1.23 µs"),
    ],
)
def test_a_duration_has_three_digits_and_the_unit_that_fits(ns: float, text: str) -> None:
    """Rounding moves on to the next unit rather than to four digits."""
    assert format_time_ns(ns) == text


@given(st.one_of(st.integers(0, 59_900_000_000), st.floats(0, 59.9 * S)))
def test_a_formatted_duration_is_within_half_a_percent_of_the_true_one(ns: float) -> None:
    """Three digits are as good as that, and never more than 999 of a unit."""
    number, unit = format_time_ns(ns).split(" ")
    scale = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]
    assert float(number) <= 999
    assert math.isclose(float(number) * scale, ns, rel_tol=0.005001, abs_tol=0.005001)


def test_a_duration_beyond_the_range_of_floats_is_formatted() -> None:
    """Whole nanoseconds are not turned into a float on the way."""
    assert format_time_ns(36 * 10**11 * 10**400) == f"{10**400:,} h 00 min"


@pytest.mark.parametrize("ns", ["1", None, True, 1j])
def test_a_duration_that_is_no_number_is_refused(ns: object) -> None:
    """The error says what was given."""
    with pytest.raises(TypeError, match="a number of nanoseconds, not "):
        format_time_ns(ns)  # type: ignore[arg-type]


@pytest.mark.parametrize("ns", [math.nan, math.inf, -math.inf])
def test_a_duration_that_is_not_finite_is_refused(ns: float) -> None:
    """There is no unit for it."""
    with pytest.raises(ValueError, match="must be finite, not "):
        format_time_ns(ns)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1_234_567, "1,234,567"), (-1000, "-1,000")]
)
def test_a_count_has_its_thousands_set_apart(count: int, text: str) -> None:
    """With commas."""
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 3, "33.3 %"),
        (3, 3, "100.0 %"),
        (0, 3, "0.0 %"),
        (1, 10_000, "<0.1 %"),
        (5, 10_000, "0.1 %"),
        (5, 0, "0.0 %"),
        (-1, 10, "-10.0 %"),
    ],
)
def test_a_share_has_one_decimal(part: int, whole: int, text: str) -> None:
    """What is small but there does not read as nothing."""
    assert format_percent(part, whole) == text


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("read", 4, "read"),
        ("/usr/lib/python3.13/ast.py:54", 20, "…ast.py:54"),
        ("C:\\a\\b\\long_directory\\file.py", 18, "…file.py"),
        ("package.module.Class.method", 16, "…Class.method"),
        ("pkg.a_rather_long_function", 24, "…a_rather_long_function"),
        ("a_name_without_any_parts", 13, "a_na…ny_parts"),
        ("pkg.a_last_part_that_is_too_long", 13, "pkg.…too_long"),
        ("/home/my files/a_module.py:54", 16, "…a_module.py:54"),
        ("GET /orders/{number}/items", 20, "GET /o…number}/items"),
        ("SELECT a.id, b.name FROM a WHERE a.id = ?", 24, "SELECT …a WHERE a.id = ?"),
        ("abcdefghij", 1, "…"),
        ("abcdefghij", 0, ""),
        ("abcdefghij", -5, ""),
        ("", 0, ""),
    ],
)
def test_a_long_name_loses_what_it_is_in_before_its_last_part(
    text: str, width: int, short: str
) -> None:
    """The function of a dotted name and the file of a path are what tells names apart."""
    assert shorten(text, width) == short


def test_a_name_is_shortened_in_the_units_of_the_measure() -> None:
    """On a terminal some characters take two columns."""
    short = shorten("读取数据块", 7, "..", lambda text: sum(2 - char.isascii() for char in text))
    assert short == "..据块"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("می‌خواهم", "می‌خواهم"),
        ("a\u200db", "a\\u200db"),  # invisible between letters that join nothing
        ("\u200d👩", "\\u200d👩"),
        ("👩\u200d\u200d👩", "👩\\u200d\\u200d👩"),
        ("a\x1b[31m\n", "a\\x1b[31m\\n"),
        ("right\u202eleft", "right\\u202eleft"),
    ],
)
def test_what_joins_two_visible_characters_stays_and_what_is_invisible_does_not(text, shown):
    """Emoji of several parts read as one; names cannot hide anything."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (2400, 40, "60"),
        (0, 3, "0"),
        (1, 3, "0.33"),
        (1, 8, "0.12"),
        (5, 2, "2.5"),
        (1999, 20, "100"),
        (123_456, 1, "123,456"),
        (1, 100_000, "<0.01"),
    ],
)
def test_a_ratio_has_three_digits(part: int, whole: int, text: str) -> None:
    """What is small but there does not read as nothing."""
    assert format_ratio(part, whole) == text


@pytest.mark.parametrize(
    ("count", "ns", "rate"),
    [
        (0, 10**9, "0"),
        (1, 3 * 10**9, "0.333"),
        (3, 2 * 10**9, "1.5"),
        (99_949, 10**12, "99.9"),
        (123_456, 10**9, "123,000"),
        (1_234_567_890, 10**9, "1,230,000,000"),
    ],
)
def test_a_rate_has_three_digits(count: int, ns: int, rate: str) -> None:
    """More would change from look to look."""
    assert format_rate(count, ns) == rate
