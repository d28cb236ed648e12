"""How often a block is passed in a pass of the block around it: compared exactly, and a gate on it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from handmade import block, node, root, single
from stichotrope.cli import main
from stichotrope.results import CallNode, ProfilerResults
from stichotrope.statistics import SLOWER, compare
from stichotrope.statistics.conditions import Condition

pytestmark = pytest.mark.unit


def orders(
    requests: int, queries: int, *, query_ns: int = 100, extra: int = 0, line: int = 20
) -> ProfilerResults:
    """Results of a program that lists orders: so many requests, with so many queries in all."""
    query = block("query", (query_ns,) * queries, idx=1, line=line)
    inner = query_ns * queries
    listed = block("list orders", (1000 + inner // requests,) * requests, self_ns=1000 * requests)
    log = block("log", (5,) * extra, idx=2, line=30)
    results = single(listed, query, *([log] if extra else []))
    below = [node(query), *([node(log)] if extra else [])]
    results.tree = root(node(listed, *below))
    return results


def failed(condition: str, old: object, new: object) -> list[str]:
    """What a condition names in a comparison."""
    return Condition(condition).blocks(compare(old, new))  # type: ignore[arg-type]


def test_a_query_for_each_row_is_found_in_one_run() -> None:
    """From 1 to 50 in a pass of the block around it, however many requests there were."""
    found = failed("hits-per-parent>1.5x", orders(10, 10), orders(3, 150))
    assert found == ["list orders > query: 1 → 50 in a pass of list orders"]


def within(queries: int) -> ProfilerResults:
    """Results that were taken within the only pass of `main`, and within the last query."""
    main_ = block("main", total_ns=1000, now_open=1)
    query = block("query", (10,) * (queries - 1), idx=1, line=20, now_open=1)
    results = single(main_, query)
    results.tree = root(node(main_, node(query)))
    return results


def test_passes_that_are_open_count() -> None:
    """They have begun, in results that are taken before the program ends."""
    assert failed("hits-per-parent>1.5x", within(2), within(4)) == [
        "main > query: 2 → 4 in a pass of main"
    ]


def test_more_load_is_no_change() -> None:
    """Ten times the requests with ten times the queries."""
    assert failed("hits-per-parent", orders(10, 20), orders(100, 200)) == []


@pytest.mark.parametrize(
    ("queries", "found"),
    [(30, []), (31, ["list orders > query: 2 → 3.1 in a pass of list orders"])],
)
def test_the_factor_is_exact(queries: int, found: list[str]) -> None:
    """1.5 times as many are not more than 1.5 times as many."""
    assert failed("hits-per-parent > 1.5x", orders(10, 20), orders(10, queries)) == found


def test_fewer_are_no_failure_but_a_change() -> None:
    """They are told, as what has become better."""
    comparison = compare(orders(10, 20), orders(10, 10))
    assert Condition("hits-per-parent").blocks(comparison) == []
    assert [count.is_changed for count in comparison.counts] == [True]


def test_where_runs_differ_all_new_ones_have_to_be_above_all_old_ones() -> None:
    """A cache that is warm in one run and cold in another raises no alarm."""
    old = [orders(10, 10), orders(10, 40)]
    assert failed("hits-per-parent", old, [orders(10, 41), orders(10, 39)]) == []
    (said,) = failed("hits-per-parent", old, [orders(10, 41), orders(10, 60)])
    assert said == "list orders > query: 1 to 4 → 4.1 to 6 in a pass of list orders"


def test_a_run_without_any_counts_as_none() -> None:
    """Its parent was passed, and the block was not."""
    (count,) = compare([orders(10, 0), orders(10, 5)], orders(10, 5)).counts
    assert (count.old_least, count.old_most) == (Fraction(0), Fraction(1, 2))


def test_paths_are_known_again_when_lines_have_moved() -> None:
    """By tracks and names."""
    assert failed("new-path", orders(10, 10), orders(10, 10, line=99)) == []


def test_new_and_vanished_paths_are_found() -> None:
    """By the first block that the other version does not pass."""
    assert failed("new-path", orders(1, 1), orders(1, 1, extra=2)) == ["list orders > log"]
    assert failed("missing-path", orders(1, 1, extra=2), orders(1, 1)) == ["list orders > log"]


def test_what_is_below_a_new_path_is_not_told_again() -> None:
    """One sentence for each thing that is new."""
    old, new = orders(1, 1), orders(1, 1)
    (listed,) = new.tree.children
    inner = CallNode("inner", 0, 4, "a.py", 2, 1, 1, 1)
    listed.children.append(CallNode("outer", 0, 3, "a.py", 1, 1, 1, 1, [inner]))
    assert failed("new-path", old, new) == ["list orders > outer"]


def test_namesakes_below_one_parent_are_one_path() -> None:
    """Wherever they stand: a call that moved to another line is the same call."""
    new = orders(10, 10)
    new.tree.children[0].children.append(CallNode("query", 0, 7, "b.py", 9, 10, 10, 10))
    assert failed("hits-per-parent", orders(10, 10), new) == [
        "list orders > query: 1 → 2 in a pass of list orders"
    ]


def test_outermost_blocks_have_no_parent_to_be_counted_in() -> None:
    """How often they are passed is the load."""
    assert compare(single(block("a", (5,) * 40)), single(block("a", (5,) * 400))).counts == []


def test_paths_beyond_a_threads_limit_are_left_out() -> None:
    """Of them nothing tells which they are."""
    results = orders(1, 1)
    results.tree.children.append(CallNode("(other paths)", -1, -1, hit_count=5))
    assert failed("new-path", orders(1, 1), results) == []


def test_a_parent_is_not_blamed_for_its_child() -> None:
    """Of a block that is slower for what is nested in it alone, the verdict says so."""
    old = [orders(10, 10, query_ns=1000 + run) for run in range(4)]
    new = [orders(10, 10, query_ns=2000 + run) for run in range(4)]
    notes = {one.name: one.note for one in compare(old, new).of_verdict(SLOWER)}
    assert notes == {
        "list orders": "its own time is not shown to be slower, but what is nested in it: query",
        "query": "",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hits-per-parent>much", "'much' in 'hits-per-parent>much' is no factor, such as 1.5x"),
        ("hits-per-parent>", "'' in 'hits-per-parent>' is no factor"),
        ("hits-per-parent>1/0", "'1/0' in 'hits-per-parent>1/0' is no factor"),
        ("hits-per-parent>nan", "'nan' in 'hits-per-parent>nan' is no factor"),
        ("hits-per-parent>0.5x", "the factor in 'hits-per-parent>0.5x' must be 1x or more"),
        ("new-path>2", "'new-path>2' is no condition"),
    ],
)
def test_what_is_no_factor_is_refused(text: str, sentence: str) -> None:
    """With what was given and what is expected."""
    with pytest.raises(ValueError, match=r"path|hits") as error:
        Condition(text)
    assert str(error.value).startswith(sentence)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a run before and one after a change."""
    monkeypatch.chdir(tmp_path)
    orders(10, 10).save("old.json")
    orders(10, 500, extra=1).save("new.json")
    return tmp_path


@pytest.mark.integration
@pytest.mark.parametrize("form", ["table", "markdown"])
def test_changed_counts_are_told_below_the_table(
    saved: Path, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    """One line for each path."""
    assert main(["compare", "old.json", "new.json", "-f", form]) == 0
    lines = [
        line.replace("\\", "").removeprefix("- ") for line in capfd.readouterr().out.split("\n")
    ]
    assert "list orders > query: 1 → 50 in a pass of list orders" in lines
    assert "list orders > log: new" in lines


@pytest.mark.integration
def test_a_gate_on_counts_names_the_path(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And exits with 1; one run of each is enough."""
    assert main(["compare", "old.json", "new.json", "--fail-on", "hits-per-parent>1.5x"]) == 1
    assert capfd.readouterr().err == (
        "stichotrope compare: failed, as --fail-on hits-per-parent>1.5x says: "
        "list orders > query: 1 → 50 in a pass of list orders\n"
    )


@pytest.mark.integration
def test_a_gate_on_times_of_two_machines_is_warned_of(
    saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A gate on counts is not: they are the same on any."""
    other = orders(10, 10)
    other.metadata.update(host="there", python="3.13.0")
    here = orders(10, 10)
    here.metadata.update(host="here", python="3.13.0")
    other.save("other.json")
    here.save("here.json")
    main(["compare", "here.json", "other.json", "--fail-on", "slower"])
    assert capfd.readouterr().err == (
        "stichotrope compare: times may not compare: different host: here in old, there in new\n"
        "stichotrope compare: one run of each does not tell how times vary from run to run, and --fail-on may "
        "fail for that alone: give several, or let stichotrope ab make them in turns\n"
    )
    main(["compare", "here.json", "other.json", "--fail-on", "hits-per-parent"])
    assert capfd.readouterr().err == ""
