"""The generator of trees: reproducible, as large as it is to be, and in every state."""

from __future__ import annotations

import random
import statistics

import pytest

pytest.importorskip("cachetools")

from benchmarks.workloads.prompts import tree
from benchmarks.workloads.prompts.documents import PlanError, parse_plan
from benchmarks.workloads.prompts.generate import PromptGenerator
from benchmarks.workloads.prompts.state import STATES
from benchmarks.workloads.prompts.tree import advance, make_tree


def everything(root):
    """Each path of a tree, its content and its modification time."""
    return {
        path.relative_to(root): (
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mtime_ns,
        )
        for path in root.rglob("*")
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The usual tree, and what the generator says is in it."""
    root = tmp_path_factory.mktemp("usual") / "plans"
    return root, make_tree(root)


def plans(root):
    return [path.read_bytes() for path in sorted(root.glob("*/PLAN_*.md"))]


def test_one_seed_makes_one_tree(tmp_path):
    """To the last byte and the last modification time; another seed makes another."""
    trees = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made = make_tree(tmp_path / name, 8, seed)
        trees.append((made, everything(tmp_path / name)))
    first, again, other = trees
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_the_usual_tree_is_as_it_is_to_be(made):
    """40 plans of 2 to 75 KB, half of them below 23 KB; up to 2,000 lines and 30 achievements."""
    root, plans_made = made
    assert len(plans_made) == len(set(plans_made)) == 40
    contents = plans(root)
    sizes = sorted(map(len, contents))
    assert 1_900 <= sizes[0] <= 2_200
    assert 74_000 <= sizes[-1] <= 76_000
    assert 22_000 <= statistics.median(sizes) <= 24_000
    read = [parse_plan("plan", content) for content in contents]
    assert 1_500 <= max(plan.lines for plan in read) <= 2_000
    assert max(len(plan.achievements) for plan in read) == 30


def test_plans_have_what_plans_have(made):
    """Header, sections and index."""
    for content in plans(made[0]):
        plan = parse_plan("plan", content)
        assert list(plan.fields) == ["status", "created", "goal", "priority", "estimated effort"]
        assert list(plan.sections) == [
            *("context", "achievement index", "goal", "desirable achievements"),
            *("archive location", "subplan tracking", "current status & handoff"),
        ]


def test_every_state_is_there_and_is_found(made):
    """What was made is what is read from the files alone, handoffs that are out of date included."""
    root, plans_made = made
    generator = PromptGenerator(root)
    found = [generator.generate(plan.feature)[:3] for plan in plans_made]
    assert found == list(plans_made)
    counts = [sum(state == plan.state for plan in plans_made) for state in STATES]
    assert sum(counts) == 40
    assert min(counts) >= 5
    handoffs = {
        (
            generator._plan(p.feature, str(root / p.feature / f"PLAN_{p.feature}.md")).handoff_next
            == p.number
        )
        for p in plans_made
        if p.number
    }
    assert handoffs == {True, False}


def test_everything_is_old(made):
    """So that caches may rely on what they have read."""
    assert max(ns for _, ns in everything(made[0]).values()) < tree.EPOCH_NS


@pytest.mark.parametrize("count", [1, 2, 300])
def test_any_number_of_plans_has_names_of_their_own(count):
    """Also more of them than there are words."""
    assert len({*tree._names(count, random.Random(1))}) == count


@pytest.mark.parametrize("count", [1, 2])
def test_few_plans_can_be_made(tmp_path, count):
    """Too few for every state."""
    made = make_tree(tmp_path / "plans", count)
    assert sorted(path.name for path in (tmp_path / "plans").iterdir()) == [p.feature for p in made]
    assert len(made) == count


def test_an_empty_directory_may_be_there_and_nothing_else(tmp_path):
    """What is there is not touched."""
    (tmp_path / "plans").mkdir()
    make_tree(tmp_path / "plans", 1)
    before = everything(tmp_path)
    for root in (tmp_path / "plans", next(path for path in (tmp_path / "plans").rglob("*.md"))):
        with pytest.raises(PlanError, match="is there already"):
            make_tree(root, 1)
    assert everything(tmp_path) == before


def test_a_tree_is_made_whole_or_not_at_all(tmp_path):
    """A failure leaves nothing behind."""

    def fail(feature):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        make_tree(tmp_path / "plans", 3, progress=fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_a_number_out_of_range_is_refused(tmp_path, count):
    """With what is possible."""
    with pytest.raises(ValueError, match=f"{count} plans were asked for; it must be 1 to 10000"):
        make_tree(tmp_path / "plans", count)


def test_work_moves_every_plan_to_its_end(tmp_path):
    """Each step leads to a state that follows, as one generator sees it at once."""
    root, rng = tmp_path / "plans", random.Random(1)
    follows = {
        "no_subplan": {"subplan_no_execution"},
        "subplan_no_execution": {"active_execution"},
        "active_execution": {"subplan_all_executed"},
        "subplan_all_executed": {"subplan_complete"},
        "subplan_complete": {"needs_fix", "no_subplan", "plan_complete"},
        "needs_fix": {"no_subplan", "plan_complete"},
    }
    seen = set()
    made = make_tree(root, 7)
    generator = PromptGenerator(root)
    for feature, state, number in made:
        while state != "plan_complete":
            assert advance(root, feature, state, number, rng)
            prompt = generator.generate(feature)
            assert prompt.state in follows[state]
            seen.add((state, prompt.state))
            _, state, number, _ = prompt
    assert seen == {(state, later) for state, some in follows.items() for later in some}


def test_a_complete_plan_may_change_too(tmp_path):
    """It stays complete."""
    root = tmp_path / "plans"
    made = make_tree(root, 7)
    feature = next(plan.feature for plan in made if plan.state == "plan_complete")
    before = (root / feature / f"PLAN_{feature}.md").read_bytes()
    changed = advance(root, feature, "plan_complete", None, random.Random(1))
    assert changed == {root / feature / f"PLAN_{feature}.md", root / feature}
    assert (root / feature / f"PLAN_{feature}.md").read_bytes().startswith(before)
    assert PromptGenerator(root).generate(feature).state == "plan_complete"
