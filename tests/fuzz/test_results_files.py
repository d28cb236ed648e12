"""A short, repeatable part of what `make fuzz` does, and everything that it has found."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from results_files import CORPUS, check, check_reports, mutated

from handmade import sample
from stichotrope import ProfilerResults
from stichotrope.results import ResultsFormatError

pytestmark = pytest.mark.unit

SEEDS = sorted(CORPUS.iterdir())

Document = dict[str, Any]


def edited(edit: Callable[[Document], object]) -> bytes:
    """The sample's document after an edit, as a file."""
    document = sample().to_dict()
    edit(document)
    return json.dumps(document).encode()


def block_of(document: Document) -> Document:
    """Its first block."""
    block: Document = document["tracks"][0]["blocks"][0]
    return block


def nested(levels: int) -> list[Any]:
    """Lists in each other."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("seed", SEEDS, ids=[seed.stem for seed in SEEDS])
def test_every_seed_holds_results(seed: Path, tmp_path: Path) -> None:
    """Else the fuzzer would begin with files that are refused."""
    assert check(seed.read_bytes(), tmp_path)


@settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.sampled_from(SEEDS), choice=st.integers(0, 2**32 - 1), rounds=st.integers(1, 4))
def test_a_file_that_nearly_holds_results_is_read_or_refused(
    tmp_path: Path, seed: Path, choice: int, rounds: int
) -> None:
    """Read, it can be shown, merged and saved; refused, it is named, in a sentence."""
    random, raw = Random(choice), seed.read_bytes()
    for _ in range(rounds):
        raw = mutated(raw, random)
    check(raw, tmp_path)


@settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path: Path, raw: bytes) -> None:
    """Nothing that short holds results."""
    assert not check(raw, tmp_path)


# What has been found, each with what is expected now


@pytest.mark.parametrize(
    ("field", "bits", "legal"),
    [
        ("sum_time_ns", 256, True),
        ("sum_time_ns", 257, False),
        ("sum_squares_ns2", 2000, False),
        ("hit_count", 256, True),
        ("hit_count", 14_000, False),
        ("self_time_ns", 256, True),
        ("self_time_ns", 257, False),
    ],
)
def test_a_number_too_large_for_its_mean_is_refused(
    tmp_path: Path, field: str, bits: int, legal: bool
) -> None:
    """It would overflow in a mean or a deviation, or have more digits than may be written."""
    number = (1 << bits) - 1
    for sign in (1, -1) if field == "self_time_ns" else (1,):
        raw = edited(lambda document: block_of(document).update({field: sign * number}))  # noqa: B023
        assert check(raw, tmp_path) is legal
    if not legal:
        with pytest.raises(
            ResultsFormatError,
            match=rf'a number in field "{field}" at tracks\[0\].blocks\[0\] is too large: '
            rf"it has {bits:,} bits, expected 256 at most",
        ):
            ProfilerResults.from_dict(json.loads(raw))


def test_a_histogram_of_numbers_too_large_is_refused(tmp_path: Path) -> None:
    """The bucket as well as the count."""
    for pair in ([1 << 256, 1], [1, 1 << 256]):
        assert not check(
            edited(lambda document: block_of(document).update(histogram=[pair])),  # noqa: B023
            tmp_path,
        )


@pytest.mark.parametrize(("levels", "legal"), [(100, True), (101, False), (900, False)])
def test_metadata_nested_too_deeply_is_refused(tmp_path: Path, levels: int, legal: bool) -> None:
    """Rather than by a RecursionError; what is just not too deep can be merged, too."""
    raw = edited(lambda document: document.update(metadata={"a": nested(levels - 1)}))
    assert check(raw, tmp_path) is legal


def test_metadata_within_itself_is_refused() -> None:
    """Also when it comes from the program."""
    metadata: dict[str, Any] = {}
    metadata["itself"] = metadata
    with pytest.raises(ValueError, match="must not be nested more than 102 levels deep"):
        ProfilerResults("x", metadata=metadata)


@pytest.mark.parametrize("field", ["format", "profiler_name", "tracks", "metadata"])
def test_a_field_that_is_deep_or_long_is_refused_in_a_sentence(tmp_path: Path, field: str) -> None:
    """What is found there is told as far as a sentence can hold it."""
    for value in (nested(900), "x" * 100_000, list(range(100_000)), {"a" * 1000: nested(900)}):
        legal = (field, type(value)) in {("profiler_name", str)}
        if field == "metadata" and isinstance(value, dict):
            continue  # see the test of its nesting
        raw = edited(lambda document: document.update({field: value}))  # noqa: B023
        assert check(raw, tmp_path) is legal


@pytest.mark.parametrize("levels", [5_000, 200_000])
def test_a_file_nested_deeper_than_the_interpreter_bears_is_refused(
    tmp_path: Path, levels: int
) -> None:
    """In whatever place."""
    assert not check(b"[" * levels + b"]" * levels, tmp_path)
    raw = json.dumps({**sample().to_dict(), "metadata": {"a": "HERE"}}).encode()
    assert not check(raw.replace(b'"HERE"', b"[" * levels + b"]" * levels), tmp_path)


def test_a_long_key_of_metadata_costs_no_more_than_its_length(tmp_path: Path) -> None:
    """It was copied once for each value below it: the file of 4 MB took a terabyte."""
    metadata = {"k" * 1_000_000: [0] * 1_000_000}
    results = ProfilerResults.from_dict({**sample().to_dict(), "metadata": metadata})
    assert results.metadata == metadata


def test_a_place_within_metadata_is_still_named() -> None:
    """By all keys that lead there."""
    with pytest.raises(TypeError, match=r"metadata\['a'\]\[1\]\['b'\] must be something that JSON"):
        ProfilerResults("x", metadata={"a": [0, {"b": object()}]})
    with pytest.raises(TypeError, match=r"the keys of metadata\['a'\]\[0\] must be str, not 5"):
        ProfilerResults("x", metadata={"a": [{5: 1}]})


@pytest.mark.parametrize("merged", [5, True, "abc", {}, {"a": 1}, [5], []])
def test_metadata_that_claims_to_be_merged_can_be_merged(merged: Any) -> None:
    """Whatever it gives as the runs."""
    results = ProfilerResults.from_dict({**sample().to_dict(), "metadata": {"merged": merged}})
    runs = results.merge(sample()).metadata["merged"]
    assert runs[-1] == sample().metadata
    assert runs[:-1] == (merged if isinstance(merged, list) and merged else [results.metadata])


REPORTED: list[tuple[str, dict[str, Any]]] = [
    ("a clock's step that is no number", {"clock": {"source": "x", "resolution_ns": True}}),
    ("an overhead whose product is infinite", {"overhead_ns_per_pass": 1e308}),
    ("an overhead with too many digits", {"overhead_ns_per_pass": 10**4299}),
    ("runs that are no list", {"merged": 5}),
    ("more ended threads than can be written", {"merged": [{"folded_threads": 10**4299 * 9}] * 2}),
]


@pytest.mark.parametrize(
    "metadata", [found[1] for found in REPORTED], ids=[found[0] for found in REPORTED]
)
def test_metadata_of_an_unknown_shape_is_left_out_of_the_report(
    metadata: dict[str, Any], tmp_path: Path
) -> None:
    """A later version may write anything there."""
    results = ProfilerResults.from_dict({**sample().to_dict(), "metadata": metadata})
    results.threads[0].key = 0  # the line of the older ended threads
    for track in results.tracks.values():
        for block in track.blocks:
            block.hit_count = 1 << 200
    check_reports(results, tmp_path)


def test_the_interpreters_limit_of_digits_is_what_these_tests_take_it_for() -> None:
    """JSON integers of more digits are refused by the interpreter itself."""
    assert sys.get_int_max_str_digits() == 4300
