"""The generator: from a plan's name to the filled prompt."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.workloads.prompts import documents, templates
from benchmarks.workloads.prompts._tracks import GENERATE, marks
from benchmarks.workloads.prompts.caching import (
    TTL_S,
    CacheStatistics,
    Content,
    FileCache,
    Value,
    read_directory,
    read_file,
)
from benchmarks.workloads.prompts.documents import Achievement, Document, Listing, Plan, PlanError
from benchmarks.workloads.prompts.state import (
    EXECUTION,
    FEEDBACKS,
    STATES,
    SUBPLANS,
    Situation,
    find_situation,
)

if TYPE_CHECKING:  # a bare program imports no profiler
    from benchmarks.workloads.prompts.metrics import PromptMetrics

PLANS, LISTINGS, DOCUMENTS = 50, 100, 200
"""How many of each are kept."""

LINES = 160
"""How long a prompt is, when there is enough to be quoted."""

AROUND = 9
"""How many achievements are listed, the next one among them; of a plan that is complete, all."""

REFUSED = "refused"
OUTCOMES = (*STATES, REFUSED)

LEAST_QUOTED = 4
"""To how many lines a quotation may be shortened."""

ATTEMPTS = 5
"""How often a plan is looked at again whose files disappear while it is looked at."""

_FEATURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Way(NamedTuple):
    """How a generator works: what comes out is the same, and either thing takes longer without.

    Attributes:
        remember_paths: do not resolve the links of each path each time.
        skim: do not match each line of a plan.
    """

    remember_paths: bool = True
    skim: bool = True


BEST_WAY = Way()


class Prompt(NamedTuple):
    """A filled prompt: the plan's name, its state, the next achievement's number, and the text."""

    feature: str
    state: str
    number: str | None
    text: str


class Statistics(NamedTuple):
    """What a generator has done.

    Attributes:
        prompts: outcome → how many; a state, or "refused".
        elapsed_ns: what they took, all together.
        caches: name → what the cache has done.
    """

    prompts: dict[str, int]
    elapsed_ns: int
    caches: dict[str, CacheStatistics]

    @property
    def hit_rate(self) -> float:
        """The share of all look-ups, of all caches, that was there."""
        asked = sum(cache.asked for cache in self.caches.values())
        return sum(cache.hits for cache in self.caches.values()) / asked if asked else 0.0


class PromptGenerator:
    """Makes prompts from a tree of plans; safe to use from many threads."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        ttl_s: float = TTL_S,
        clock: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        timer_ns: Callable[[], int] = time.perf_counter_ns,
        way: Way = BEST_WAY,
        metrics: PromptMetrics | None = None,
    ) -> None:
        """Begin with empty caches.

        Args:
            root: the directory with a directory for each plan.
            ttl_s: how long anything is kept, in s.
            clock: tells the time for that, in s.
            wall_ns: the time that modification times are compared with, in ns.
            timer_ns: times prompts and what is worked out for them, in ns.
            way: how to work.
            metrics: what counts prompts, and plans that are known already.

        Raises:
            PlanError: there is no such directory.
        """
        self.root = os.fspath(root)
        if not os.path.isdir(self.root):
            raise PlanError(f"{self.root} is no directory; a tree of plans was expected there")
        self._timer_ns = timer_ns
        self._metrics = metrics

        def cache(
            name: str,
            limit: int,
            read: Callable[[str], Content],
            compute: Callable[[str, Content], Value],
            on_hit: Callable[[], None] | None = None,
        ) -> FileCache[Content, Value]:
            return FileCache(
                name,
                limit,
                read,
                compute,
                ttl_s=ttl_s,
                clock=clock,
                wall_ns=wall_ns,
                timer_ns=timer_ns,
                remember_paths=way.remember_paths,
                on_hit=on_hit,
            )

        parse_plan = documents.parse_plan if way.skim else documents.parse_plan_by_line
        known = metrics.plan_hit if metrics is not None else None
        self._plans = cache("plans", PLANS, read_file, parse_plan, known)
        self._documents = cache("documents", DOCUMENTS, read_file, documents.parse_document)
        self._listings = cache("listings", LISTINGS, read_directory, documents.parse_listing)
        self._lock = threading.Lock()
        self._prompts = dict.fromkeys(OUTCOMES, 0)
        self._elapsed_ns = 0

    @marks.track(GENERATE, "prompt")
    def generate(self, feature: str) -> Prompt:
        """Return the prompt for what is next in a plan.

        Args:
            feature: the plan's name.

        Raises:
            PlanError: there is no such plan, or no prompt can be made of it.
        """
        start_ns = self._timer_ns()
        outcome = REFUSED
        try:
            plan, situation = self._look(feature)
            prompt = _FILL[situation.state](feature, plan, situation)
            outcome = situation.state
        except PlanError:
            _refuse()
            raise
        finally:
            took_ns = self._timer_ns() - start_ns
            with self._lock:
                self._prompts[outcome] += 1
                self._elapsed_ns += took_ns
            if self._metrics is not None:
                self._metrics.end(outcome != REFUSED, took_ns)
        return prompt

    def features(self) -> list[str]:
        """Return the names of all plans, sorted."""
        return sorted(
            name
            for name in os.listdir(self.root)
            if os.path.isfile(os.path.join(self.root, name, f"PLAN_{name}.md"))
        )

    def statistics(self) -> Statistics:
        """Return what the generator and its caches have done since it was made."""
        with self._lock:
            prompts, elapsed_ns = dict(self._prompts), self._elapsed_ns
        caches = {
            "plans": self._plans.statistics(),
            "documents": self._documents.statistics(),
            "listings": self._listings.statistics(),
        }
        return Statistics(prompts, elapsed_ns, caches)

    def clear(self) -> None:
        """Empty the caches."""
        for cache in (self._plans, self._documents, self._listings):
            cache.clear()

    def _look(self, feature: str) -> tuple[Plan, Situation]:
        if not (isinstance(feature, str) and _FEATURE.fullmatch(feature)):
            raise PlanError(
                f"a plan's name is of letters, digits, - and _, as CACHE-LAYER is; not {feature!r}"
            )
        home = os.path.join(self.root, feature)
        for _ in range(ATTEMPTS):
            plan = self._plan(feature, os.path.join(home, f"PLAN_{feature}.md"))
            try:
                return plan, self._situation(feature, home, plan)
            except FileNotFoundError as error:  # it was there a moment ago
                gone = error.filename
            except OSError as error:
                raise PlanError(f"{error.filename} cannot be read: {error.strerror}") from None
        raise PlanError(f"{feature} changes all the time: {gone} was listed and is not there")

    def _plan(self, feature: str, path: str) -> Plan:
        try:
            return self._plans.get(path)
        except FileNotFoundError:
            raise PlanError(f"there is no plan {feature}: {path} is not there") from None
        except OSError as error:
            raise PlanError(f"{path} cannot be read: {error.strerror}") from None

    def _situation(self, feature: str, home: str, plan: Plan) -> Situation:
        execution = os.path.join(home, EXECUTION)
        places = {
            EXECUTION: execution,
            FEEDBACKS: os.path.join(execution, FEEDBACKS),
            SUBPLANS: os.path.join(home, SUBPLANS),
        }

        def load(directory: str, name: str) -> Document:
            return self._documents.get(os.path.join(places[directory], name))

        return find_situation(feature, plan, lambda name: self._listing(places[name]), load)

    def _listing(self, path: str) -> Listing:
        try:
            return self._listings.get(path)
        except FileNotFoundError:
            return documents.EMPTY


@marks.track(GENERATE, REFUSED)
def _refuse() -> None:
    """Be counted: a prompt was asked for that cannot be made."""


class _Quote(NamedTuple):
    """A section of the prompt that quotes: its number and title, what, and where there is more."""

    number: int
    title: str
    lines: tuple[str, ...]
    source: str


def _fill(feature: str, plan: Plan, situation: Situation) -> Prompt:
    """Return the prompt, quoting as much as its length allows."""
    facts = _facts(feature, plan, situation)
    head = templates.HEAD.format_map(facts)
    steps = f"\n## 7. What to do now\n\n{templates.STEPS[situation.state].format_map(facts)}\n"
    tail = templates.TAIL.format_map(facts)
    around = _around(plan, situation)
    room = LINES - sum(part.count("\n") for part in (head, around, steps, tail))
    quotes = _quoted(_quotes(facts, plan, situation), room)
    number = situation.achievement.number if situation.achievement else None
    text = "".join((head, *quotes, around, steps, tail))
    return Prompt(feature, situation.state, number, text)


_FILL = {state: marks.track(GENERATE, f"fill {state}")(_fill) for state in STATES}


def _facts(feature: str, plan: Plan, situation: Situation) -> dict[str, object]:
    """Return what the templates name."""
    shown = situation.achievement or plan.achievements[0]
    home = f"plans/{feature}"
    execution = f"{home}/execution"
    plan_path = f"{home}/PLAN_{feature}.md"
    tasks, fields = situation.tasks, plan.fields
    open_tasks = [name for name, task in tasks if not task.complete]
    approved = sum(one.code in situation.approved for one in plan.achievements)
    facts: dict[str, object] = {
        "feature": feature,
        "headline": templates.HEADLINES[situation.state].format(number=shown.number),
        "state": situation.state,
        "next": f"{shown.number}, {shown.title}" if situation.achievement else "nothing",
        "approved": approved,
        "total": len(plan.achievements),
        "plan_path": plan_path,
        "plan_lines": plan.lines,
        "place": f"line {shown.line}" if situation.achievement else "nowhere",
        "number": shown.number,
        "title": shown.title,
        "example_number": shown.number,
        "example_code": shown.code,
        "subplan": _listed([situation.subplan] if situation.subplan else []),
        "tasks": _listed(tasks),
        "feedback": _feedback(situation),
        "subplan_path": f"{home}/subplans/SUBPLAN_{feature}_{shown.code}.md",
        "approved_path": f"{execution}/feedbacks/APPROVED_{shown.code}.md",
        "fix_path": f"{execution}/feedbacks/FIX_{shown.code}.md",
        "new_task": f"{execution}/EXECUTION_TASK_{feature}_{shown.code}_{_following(tasks):02}.md",
        "task_names": ", ".join(f"`{name}`" for name, _ in tasks) or "none",
        "open_task": f"{execution}/{open_tasks[0]}" if open_tasks else "",
        "open_tasks": f"{len(open_tasks)} of {len(tasks)} tasks",
        "why_complete": "every achievement is approved"
        if approved == len(plan.achievements)
        else "its status says that it is complete",
    }
    for name in ("status", "priority", "created"):
        facts[name] = fields.get(name) or "not given"
    facts["effort"] = fields.get("estimated effort") or "not given"
    return facts


def _listed(files: Iterable[tuple[str, Document]]) -> str:
    return ", ".join(f"`{name}` ({document.status})" for name, document in files) or "none yet"


def _feedback(situation: Situation) -> str:
    said = [f"`{situation.fix[0]}`"] if situation.fix else []
    next_number = situation.achievement.number if situation.achievement else None
    said += [f"FIX is open for {other}" for other in situation.open_fixes if other != next_number]
    return ", ".join(said) or "none"


def _following(tasks: tuple[tuple[str, Document], ...]) -> int:
    """Return the number that the next execution task gets."""
    return int(tasks[-1][0].rpartition("_")[2].removesuffix(documents.SUFFIX)) + 1 if tasks else 1


def _quotes(facts: dict[str, object], plan: Plan, situation: Situation) -> list[_Quote]:
    """Return what is to be quoted, in the order of the prompt."""
    path, sections = str(facts["plan_path"]), plan.sections
    goal = sections.get(documents.GOAL) or (plan.fields.get("goal", ""),)
    achievement = situation.achievement
    if achievement:
        asked = _Quote(
            4, f"Achievement {achievement.number}: {achievement.title}", achievement.text, path
        )
    else:
        tracked = sections.get(documents.ARCHIVE, ()) + sections.get(documents.TRACKING, ())
        asked = _Quote(4, "Where it is archived, and what was tracked", tracked, path)
    return [
        _Quote(2, "The goal of the plan", goal, path),
        _Quote(3, "Context", sections.get(documents.CONTEXT, ()), path),
        asked,
        _last_said(facts, plan, situation),
    ]


def _last_said(facts: dict[str, object], plan: Plan, situation: Situation) -> _Quote:
    """Return what speaks most of the state: the feedback, the open or last execution, the subplan,
    or the handoff.
    """
    if situation.fix:
        name, document = situation.fix
    elif situation.tasks:
        waiting = [task for task in situation.tasks if not task[1].complete]
        name, document = waiting[0] if waiting else situation.tasks[-1]
    elif situation.subplan:
        name, document = situation.subplan
    else:
        handoff = plan.sections.get(documents.HANDOFF, ())
        return _Quote(
            5, "What the handoff says", situation.notes + handoff, str(facts["plan_path"])
        )
    return _Quote(5, f"What `{name}` says", situation.notes + document.text, name)


def _quoted(quotes: list[_Quote], room: int) -> list[str]:
    """Return the sections that quote, in at most so many lines, if only just.

    The later ones matter more: they get what they need first, but leave a few lines to the others.
    """
    room -= len(quotes) * len(("", "heading", ""))
    texts = []
    for place in range(len(quotes) - 1, -1, -1):
        left = sum(min(len(quote.lines), LEAST_QUOTED) or 1 for quote in quotes[:place])
        allowed = max(room - left, LEAST_QUOTED)
        lines = _shortened(quotes[place], allowed)
        room -= len(lines)
        said = "\n".join([f"> {line}" if line else ">" for line in lines])
        texts.append(f"\n## {quotes[place].number}. {quotes[place].title}\n\n{said}\n")
    return texts[::-1]


def _shortened(quote: _Quote, allowed: int) -> tuple[str, ...]:
    lines = quote.lines
    if not any(lines):
        return ("(nothing)",)
    if len(lines) <= allowed and len(lines) < documents.EXCERPT_LINES:
        return lines
    # An excerpt that is as long as one may be is taken to be cut; one line less makes that true.
    shown = lines[: min(allowed, documents.EXCERPT_LINES) - 1]
    return (*shown, f"… and more in `{quote.source}`")


def _around(plan: Plan, situation: Situation) -> str:
    """Return the section on the achievements that come before and after the next."""
    achievements, next_one = plan.achievements, situation.achievement
    if next_one:
        first = max(0, min(achievements.index(next_one) - AROUND // 2, len(achievements) - AROUND))
        achievements = achievements[first : first + AROUND]
    rows = [_row(one, situation) for one in achievements]
    return "".join(
        (
            "\n## 6. The achievements around it\n\n",
            "| achievement | title | |\n| --- | --- | --- |\n",
            *rows,
        )
    )


def _row(one: Achievement, situation: Situation) -> str:
    if one.code in situation.approved:
        said = "approved"
    elif one == situation.achievement:
        said = "**next**"
    else:
        said = "to be fixed" if one.number in situation.open_fixes else "open"
    return f"| {one.number} | {one.title} | {said} |\n"
