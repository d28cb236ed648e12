"""What is next in a plan, and how far it is, from the files alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.workloads.prompts._tracks import STATE, marks
from benchmarks.workloads.prompts.documents import Achievement, Document, Listing, Plan

STATES = (
    "needs_fix",
    "no_subplan",
    "subplan_no_execution",
    "active_execution",
    "subplan_all_executed",
    "subplan_complete",
    "plan_complete",
)
(
    NEEDS_FIX,
    NO_SUBPLAN,
    SUBPLAN_NO_EXECUTION,
    ACTIVE_EXECUTION,
    SUBPLAN_ALL_EXECUTED,
    SUBPLAN_COMPLETE,
    PLAN_COMPLETE,
) = STATES


class Next(NamedTuple):
    """The next achievement, None when the plan is complete; and what the files disagree about."""

    achievement: Achievement | None
    notes: tuple[str, ...]


class Situation(NamedTuple):
    """Where a plan stands.

    Attributes:
        state: one of `STATES`.
        achievement: the next one; None when the plan is complete.
        notes: what the files disagree about.
        approved: which achievements are, by code.
        open_fixes: numbers of achievements with a FIX and no APPROVED.
        subplan: name and document; None when there is none.
        tasks: names and documents, by number.
        fix: name and document of the FIX that is to be dealt with.
    """

    state: str
    achievement: Achievement | None
    notes: tuple[str, ...]
    approved: frozenset[str]
    open_fixes: tuple[str, ...]
    subplan: tuple[str, Document] | None
    tasks: tuple[tuple[str, Document], ...]
    fix: tuple[str, Document] | None


EXECUTION, FEEDBACKS, SUBPLANS = DIRECTORIES = ("execution", "feedbacks", "subplans")

List = Callable[[str], Listing]
"""Lists one of the directories, which may be missing."""

Load = Callable[[str, str], Document]
"""Reads a document: one of the directories, and the document's name in it."""


@marks.track(STATE, "next achievement")
def find_next(plan: Plan, feedbacks: Listing) -> Next:
    """Return the next achievement: of a plan that is complete none, else the one that the handoff
    names, else the first without APPROVED.

    A plan is complete when all of it is approved, or when its status says so and nothing is to be
    fixed. A handoff is out of date when what it names is not there or approved already.
    """
    approved = feedbacks.approved
    waiting = [one for one in plan.achievements if one.code not in approved]
    if not waiting:
        return Next(None, ())
    fixes = [one.number for one in waiting if one.code in feedbacks.fixes]
    if plan.complete and not fixes:
        return Next(None, ())
    notes = []
    if plan.complete:
        notes.append(f"The plan's status says complete, and FIX is open for {', '.join(fixes)}.")
    named = plan.handoff_next
    for one in waiting:
        if one.number == named:
            return Next(one, tuple(notes))
    if named is not None:
        known = any(one.number == named for one in plan.achievements)
        why = "is approved already" if known else "is not in the plan"
        notes.append(f"The handoff says that {named} is next, which {why}.")
    return Next(waiting[0], tuple(notes))


@marks.track(STATE, "state")
def find_situation(feature: str, plan: Plan, list_directory: List, load: Load) -> Situation:
    """Return where a plan stands.

    Args:
        feature: its name.
        plan: what it says.
        list_directory: lists a directory of it.
        load: reads a document of it.

    Raises:
        OSError: a document cannot be read, or was listed and is not there.
    """
    feedbacks = list_directory(FEEDBACKS)
    achievement, notes = find_next(plan, feedbacks)
    open_fixes = tuple(
        one.number
        for one in plan.achievements
        if one.code in feedbacks.fixes and one.code not in feedbacks.approved
    )
    known = Situation(
        PLAN_COMPLETE, achievement, notes, feedbacks.approved, open_fixes, None, (), None
    )
    if achievement is None:
        return known
    subplan = _subplan(f"SUBPLAN_{feature}_{achievement.code}.md", load)
    names = list_directory(EXECUTION).tasks.get((feature, achievement.code), ())
    tasks = tuple((name, load(EXECUTION, name)) for name in names)
    fix_name = feedbacks.fixes.get(achievement.code)
    fix = (fix_name, load(FEEDBACKS, fix_name)) if fix_name else None
    return known._replace(state=_state(subplan, tasks, fix), subplan=subplan, tasks=tasks, fix=fix)


def _subplan(name: str, load: Load) -> tuple[str, Document] | None:
    try:
        return name, load(SUBPLANS, name)
    except FileNotFoundError:
        return None


def _state(
    subplan: tuple[str, Document] | None,
    tasks: tuple[tuple[str, Document], ...],
    fix: tuple[str, Document] | None,
) -> str:
    """Return the state of an achievement that is not approved. What is open comes first."""
    if fix is not None:
        return NEEDS_FIX
    if subplan is None:
        return NO_SUBPLAN
    if not all(task.complete for _, task in tasks):
        return ACTIVE_EXECUTION
    if subplan[1].complete:
        return SUBPLAN_COMPLETE
    return SUBPLAN_ALL_EXECUTED if tasks else SUBPLAN_NO_EXECUTION
