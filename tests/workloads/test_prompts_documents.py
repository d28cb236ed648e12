"""Plans, documents and listings: what is read from them, and what is refused."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("cachetools")

from benchmarks.workloads.prompts.documents import (
    EXCERPT_LINES,
    LINE_WIDTH,
    PlanError,
    parse_document,
    parse_listing,
    parse_plan,
    parse_plan_by_line,
)

PLAN = """\
# Cache layer

**Status**: In Progress
**Created**: 2025-11-03
**Goal:** Answers in time
**Estimated Effort**: 12 hours

## Context

It is slow.
**Achievement 7.7**: of another plan

## Achievement Index

- **Achievement 0.1**: Keys
- **Achievement 1.2**: Limits

## Goal

All answers in time.

## Desirable Achievements

**Achievement 1.2**: Limits, at length

Nothing grows.

**Achievement 0.1**: Keys

One key for each version,
and no other.

## Archive Location

`archive/`

## Current Status & Handoff

- **Next**: Achievement 1.2
"""


def plan(text=PLAN):
    """What is read from a plan."""
    return parse_plan("PLAN_X.md", text.encode())


def with_handoff(text):
    """What a plan with this handoff says is next."""
    before, heading, _ = PLAN.partition("## Current Status & Handoff\n")
    return plan(f"{before}{heading}\n{text}").handoff_next


def test_a_plan_is_read_whole():
    """Header, sections, achievements, and what is next."""
    found = plan()
    assert found.fields == {
        "status": "In Progress",
        "created": "2025-11-03",
        "goal": "Answers in time",
        "estimated effort": "12 hours",
    }
    assert list(found.sections) == [
        *("context", "achievement index", "goal", "desirable achievements"),
        *("archive location", "current status & handoff"),
    ]
    assert found.sections["goal"] == ("All answers in time.",)
    assert (found.complete, found.handoff_next, found.lines) == (False, "1.2", 39)


def test_achievements_keep_the_order_of_the_index_and_the_text_of_the_details():
    """Those that other sections speak of are not the plan's."""
    keys, limits = plan().achievements
    assert keys == ("0.1", "01", "Keys", 28, ("One key for each version,", "and no other."))
    assert limits == ("1.2", "12", "Limits", 24, ("Nothing grows.",))


def test_achievements_may_stand_anywhere_when_their_sections_are_missing():
    """As headings, items or lines."""
    text = "# P\n\n## Plan\n\n### **Achievement 0.1**: A\n* **Achievement 0.2:** B\n**Achievement 0.3**:C\n"
    assert [(one.number, one.title) for one in plan(text).achievements] == [
        ("0.1", "A"),
        ("0.2", "B"),
        ("0.3", "C"),
    ]


@pytest.mark.parametrize(
    "fence", ["```", "~~~", "`````", "  ```python"], ids=["ticks", "tildes", "five", "indented"]
)
def test_code_means_nothing(fence):
    """Neither sections nor achievements, up to a fence that closes it."""
    marks = fence.strip().removesuffix("python")
    inside = f"{fence}\n## Goal\n**Achievement 9.9**: no\n{marks[:2]}\n{marks} no\n{marks}\n"
    text = (
        f"## Desirable Achievements\n\n**Achievement 1.1**: A\n\n{inside}**Achievement 1.2**: B\n"
    )
    found = plan(text)
    assert [one.number for one in found.achievements] == ["1.1", "1.2"]
    assert list(found.sections) == ["desirable achievements"]


def test_an_unclosed_fence_takes_the_rest():
    """As Markdown has it."""
    found = plan("**Achievement 1.1**: A\n```\n**Achievement 1.2**: B\n## Goal\n")
    assert [one.number for one in found.achievements] == ["1.1"]
    assert not found.sections


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("- **Next**: Achievement 1.2", "1.2"),
        ("**Next:** achievement 0.1, after 2.5 hours", "0.1"),
        ("Next: 1.2", "1.2"),
        ("**Next Achievement**: 0.1", "0.1"),
        ("**What's Next**:\n\n- Achievement 1.2, Limits", "1.2"),
        ("**Next Steps**: after 3.5 hours, Achievement 0.1", "0.1"),
        ("**Next**: nothing\n- Achievement 1.2", None),
        ("**Next**:", None),
        ("- Next week: Achievement 1.2", None),
        ("```\n**Next**: 0.1\n```\n**Next**: 1.2", "1.2"),
        ("All is well. Achievement 1.2 is approved.", None),
    ],
)
def test_the_handoff_names_what_is_next(text, number):
    """On the line that says next, or on the first below it."""
    assert with_handoff(text) == number


@pytest.mark.parametrize(
    ("status", "complete"),
    [
        ("Complete", True),
        ("✅ COMPLETE", True),
        ("completed, 2025-11-30", True),
        ("Done", True),
        ("Not complete", False),
        ("In Progress", False),
        ("Incomplete", False),
        ("Completeness is being checked", False),
        ("", False),
    ],
)
def test_a_status_is_complete_by_its_first_word(status, complete):
    """In plans and in documents."""
    header = f"**Status**: {status}\n"
    assert plan(f"{header}\n**Achievement 1.1**: A\n").complete is complete
    assert parse_document("S.md", header.encode()).complete is complete


def test_line_ends_and_a_byte_order_mark_do_not_matter():
    """Nor the lack of a line end after the last line."""
    assert parse_plan("X", b"\xef\xbb\xbf" + PLAN.replace("\n", "\r\n").encode()) == plan()
    assert plan(PLAN.removesuffix("\n")) == plan()


def test_lines_are_ended_by_line_feeds_alone():
    """What else Unicode has does not move the numbers of lines."""
    found = plan("a\u2028b\x0cc\n**Achievement 1.1**: A\n")
    assert (found.lines, found.achievements[0].line) == (2, 2)


def test_texts_are_cut_to_what_may_be_quoted():
    """Long lines, long texts, and empty lines in a row."""
    lines = ["", "x" * 300, "", "", *(f"line {i}" for i in range(50))]
    found = plan("\n".join(["**Achievement 1.1**: A", *lines, "## Goal"]))
    first, empty, second, *_ = text = found.achievements[0].text
    assert first == "x" * (LINE_WIDTH - 1) + "…"
    assert (empty, second, len(text)) == ("", "line 0", EXCERPT_LINES)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"# Plan\n", "PLAN_X.md has no line such as '**Achievement 1.1**: title'"),
        (b"", "PLAN_X.md has no line such as '**Achievement 1.1**: title'"),
        (b"ab\xff\n", "PLAN_X.md is not UTF-8: byte 2 is 0xff"),
        (
            b"**Achievement 1.12**: A\n**Achievement 11.2**: B\n",
            "PLAN_X.md has achievements 1.12 and 11.2; the names of their files would both have 112",
        ),
    ],
)
def test_a_plan_that_cannot_be_used_is_refused(content, sentence):
    """In a sentence that names it."""
    with pytest.raises(PlanError) as refused:
        parse_plan("PLAN_X.md", content)
    assert str(refused.value) == sentence


def test_a_document_has_a_status_and_a_text():
    """The text begins with the first section; without one, at the top."""
    text = "# Title\n**Status**: In Progress\n\n## Objective\n\nTo be fast.\n"
    assert parse_document("S.md", text.encode()) == (
        "In Progress",
        False,
        ("## Objective", "", "To be fast."),
    )
    assert parse_document("S.md", b"all\n") == ("not given", False, ("all",))


def test_a_listing_knows_tasks_and_feedbacks_by_their_names():
    """Tasks by their numbers, whatever else is there, and whatever the plan's name has in it."""
    names = (
        *(
            "EXECUTION_TASK_A_1_12_10.md",
            "EXECUTION_TASK_A_1_12_09.md",
            "EXECUTION_TASK_A_12_01.md",
        ),
        *("EXECUTION_TASK_A_12_02.txt", "execution_task_A_12_03.md", "notes.md", "APPROVED_.md"),
        *("APPROVED_12.md", "APPROVED_01.md", "FIX_13.md", "FIX_14.md.part", "feedbacks"),
    )
    found = parse_listing("execution", names)
    assert found.tasks == {
        ("A_1", "12"): ("EXECUTION_TASK_A_1_12_09.md", "EXECUTION_TASK_A_1_12_10.md"),
        ("A", "12"): ("EXECUTION_TASK_A_12_01.md",),
    }
    assert found.approved == frozenset({"12", "01"})
    assert found.fixes == {"13": "FIX_13.md"}


PIECES = st.sampled_from(
    [
        *("## Goal", "## Achievement Index", "##Not", " ## Not", "### Sub", "#", "-", "*", "", " "),
        *("**Achievement 1.1**: A", "- **Achievement 2.1**: B", "  **Achievement 3.1**: C"),
        *("### **Achievement 4.1**: D", "-\t**Achievement 5.1:** E", "- Achievement 6.1", "text"),
        *("```", "````", "~~~", "   ```text", "    ```", "``` no", "**Status**: Complete"),
        *("## Current Status & Handoff", "**Next**: 2.1", "Next:", "Achievement 1.1", "--**--"),
    ]
)


@given(st.lists(PIECES, max_size=40))
@example(["**Achievement 1.1**: A", "   ```", "## Goal", "```", "## Goal"])
def test_the_faster_and_the_slower_way_read_the_same(lines):
    """Whatever stands in a plan."""
    content = "\n".join([*lines, "```", "~~~", "````"]).encode()

    def read(parse):
        try:
            return parse("X", content)
        except PlanError as error:
            return str(error)

    assert read(parse_plan) == read(parse_plan_by_line)


def test_both_ways_agree_on_a_whole_plan():
    """Not only where both refuse."""
    assert parse_plan_by_line("PLAN_X.md", textwrap.dedent(PLAN).encode()) == plan()
