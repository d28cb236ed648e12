"""The state of a plan from its files alone, and what is next in it."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("cachetools")

from benchmarks.workloads.prompts.generate import PromptGenerator

NUMBERS = ("0.1", "1.1", "1.2")
LONG_AGO_NS = 1_700_000_000 * 10**9
_later = count(1).__next__
FEATURE = "CACHE"


def plan_text(status="In Progress", handoff="- **Next**: Achievement 1.1", numbers=NUMBERS):
    """A plan with some achievements."""
    lines = "".join(f"**Achievement {number}**: Title {number}\n\nText.\n\n" for number in numbers)
    return (
        f"# Plan\n\n**Status**: {status}\n\n## Context\n\nIt is slow.\n\n"
        f"## Desirable Achievements\n\n{lines}## Current Status & Handoff\n\n{handoff}\n"
    )


def write(root: Path, *files: str | tuple[str, str], feature: str = FEATURE, **plan) -> Path:
    """Write a plan and more of its files, all long ago; return the plan's directory.

    Files are named shortly: "subplan 11", "task 11 01", "approved 01", "fix 11"; a status may be
    given with each.
    """
    home = root / feature
    put(home / f"PLAN_{feature}.md", plan_text(**plan))
    for file in files:
        name, status = (file, "In Progress") if isinstance(file, str) else file
        put(place(home, name), f"# {name}\n\n**Status**: {status}\n\n## Text\n\nOf {name}.\n")
    for path in (home, *home.rglob("*")):
        age(path)
    return home


def place(home: Path, name: str) -> Path:
    """Where a file is that is named shortly."""
    kind, *numbers = name.split()
    feature, codes = home.name, "_".join(numbers)
    if kind == "subplan":
        return home / "subplans" / f"SUBPLAN_{feature}_{codes}.md"
    if kind == "task":
        return home / "execution" / f"EXECUTION_TASK_{feature}_{codes}.md"
    return home / "execution" / "feedbacks" / f"{kind.upper()}_{codes}.md"


def put(path: Path, text: str) -> None:
    """Write a file, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def age(path: Path) -> None:
    """Let a file or directory have been modified long ago, and later than all that were before it."""
    ns = LONG_AGO_NS + _later() * 10**9
    os.utime(path, ns=(ns, ns))


DONE, OPEN = "Complete", "In Progress"
FIRST_DONE = ("subplan 01", ("task 01 01", DONE), "approved 01")


def found(root, *files, **plan):
    """State, next achievement and text, of a plan with these files."""
    write(root, *files, **plan)
    prompt = PromptGenerator(root).generate(FEATURE)
    return prompt.state, prompt.number, prompt.text


def state(root, *files, **plan):
    """State and next achievement."""
    return found(root, *files, **plan)[:2]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), "no_subplan"),
        ((("subplan 11", "Planning"),), "subplan_no_execution"),
        (("subplan 11", "task 11 01"), "active_execution"),
        (("subplan 11", ("task 11 01", DONE), "task 11 02"), "active_execution"),
        ((("subplan 11", DONE), ("task 11 01", DONE), "task 11 02"), "active_execution"),
        (("subplan 11", "task 11 01", ("task 11 02", DONE)), "active_execution"),
        (("subplan 11", ("task 11 01", DONE), ("task 11 02", DONE)), "subplan_all_executed"),
        ((("subplan 11", DONE), ("task 11 01", DONE)), "subplan_complete"),
        ((("subplan 11", DONE),), "subplan_complete"),
        ((("subplan 11", DONE), ("task 11 01", DONE), "fix 11"), "needs_fix"),
        (("subplan 11", "task 11 01", "fix 11"), "needs_fix"),
        (("fix 11",), "needs_fix"),
        (("task 11 01",), "no_subplan"),
    ],
)
def test_each_state_comes_from_the_files_of_the_next_achievement(tmp_path, files, expected):
    """Whatever there is of the others."""
    assert state(tmp_path, *FIRST_DONE, "subplan 12", "task 12 01", *files) == (expected, "1.1")


@pytest.mark.parametrize("status", [OPEN, DONE])
def test_a_plan_is_complete_when_all_is_approved(tmp_path, status):
    """Whatever its status says, and its handoff."""
    files = ("approved 01", "approved 11", "approved 12")
    assert state(tmp_path, *files, status=status) == ("plan_complete", None)


def test_a_plan_is_complete_when_its_status_says_so(tmp_path):
    """Achievements may be left over; that comes before the handoff."""
    assert state(tmp_path, "approved 01", status="✅ Complete") == ("plan_complete", None)


def test_a_fix_reopens_a_plan_that_is_declared_complete(tmp_path):
    """And the disagreement is told."""
    kind, number, text = found(tmp_path, "approved 01", "fix 11", status=DONE)
    assert (kind, number) == ("needs_fix", "1.1")
    assert "> The plan's status says complete, and FIX is open for 1.1." in text


def test_approved_beats_fix(tmp_path):
    """Also where it makes the plan complete."""
    assert state(tmp_path, "approved 01", "approved 11", "fix 11") == ("no_subplan", "1.2")
    files = ("approved 12", "fix 12", "fix 01")
    assert state(tmp_path, *files) == ("plan_complete", None)


@pytest.mark.parametrize(
    ("handoff", "files", "number"),
    [
        ("- **Next**: Achievement 1.2", (), "1.2"),
        ("- **Next**: Achievement 1.2", ("approved 01",), "1.2"),
        ("Nothing is said.", (), "0.1"),
        ("Nothing is said.", ("approved 01",), "1.1"),
        ("Nothing is said.", ("approved 11",), "0.1"),
        ("Nothing is said.", ("approved 01", "fix 11"), "1.1"),
        ("- **Next**: Achievement 0.1", ("approved 01",), "1.1"),
        ("- **Next**: Achievement 8.1", ("approved 01",), "1.1"),
    ],
    ids=[
        *("handoff", "handoff before first", "first", "first unapproved", "first of a gap"),
        *("fix is unapproved", "out of date", "unknown"),
    ],
)
def test_next_is_what_the_handoff_names_or_else_the_first_without_approval(
    tmp_path, handoff, files, number
):
    """A handoff that is out of date does not count."""
    assert state(tmp_path, *files, handoff=handoff)[1] == number


@pytest.mark.parametrize(
    ("named", "note"),
    [
        ("0.1", "The handoff says that 0.1 is next, which is approved already."),
        ("8.1", "The handoff says that 8.1 is next, which is not in the plan."),
    ],
)
def test_a_handoff_out_of_date_is_told(tmp_path, named, note):
    """So that somebody corrects it."""
    text = found(tmp_path, "approved 01", handoff=f"**Next**: {named}")[2]
    assert f"> {note}" in text


def test_first_means_first_in_the_plan(tmp_path):
    """Not the least number."""
    numbers = ("2.1", "0.1", "1.1")
    assert state(tmp_path, handoff="", numbers=numbers) == ("no_subplan", "2.1")


def test_other_open_fixes_are_told(tmp_path):
    """The handoff may name another achievement than the one that is to be fixed."""
    kind, number, text = found(tmp_path, "fix 01", handoff="**Next**: 1.2")
    assert (kind, number) == ("no_subplan", "1.2")
    assert "| feedback | FIX is open for 0.1 |" in text


def test_directories_may_be_missing(tmp_path):
    """A plan alone is a plan whose first achievement has no subplan."""
    assert state(tmp_path) == ("no_subplan", "1.1")
    assert not (tmp_path / FEATURE / "execution").exists()


def test_files_of_other_plans_do_not_count(tmp_path):
    """Even in this plan's directories, and with names that begin alike."""
    home = write(tmp_path)
    for name in ("SUBPLAN_CACHE_V2_11.md", "SUBPLAN_CACH_11.md"):
        (home / "subplans").mkdir(exist_ok=True)
        (home / "subplans" / name).write_text("**Status**: Complete\n")
    assert PromptGenerator(tmp_path).generate(FEATURE).state == "no_subplan"


def test_a_whole_life(tmp_path):
    """One generator sees each step at once, from the first subplan to the end of the plan."""
    generator = PromptGenerator(tmp_path)
    steps: list[tuple[tuple[str | tuple[str, str], ...], str]] = [
        ((), "no_subplan"),
        (("subplan 01",), "subplan_no_execution"),
        (("task 01 01",), "active_execution"),
        ((("task 01 01", DONE),), "subplan_all_executed"),
        (("task 01 02",), "active_execution"),
        ((("task 01 02", DONE),), "subplan_all_executed"),
        ((("subplan 01", DONE),), "subplan_complete"),
        (("fix 01",), "needs_fix"),
        (("approved 01",), "plan_complete"),
    ]
    seen = []
    for files, _ in steps:
        write(tmp_path, *files, numbers=("0.1",), handoff="")
        for _ in range(2):
            seen.append(generator.generate(FEATURE).state)
    assert seen == [state for _, state in steps for _ in range(2)]
