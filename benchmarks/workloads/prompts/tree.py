"""Makes trees of plans from a seed, in every state, and moves a plan on as work on it would."""

from __future__ import annotations

import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks._store import write_whole
from benchmarks.workloads.prompts._sizes import PLANS
from benchmarks.workloads.prompts.documents import PlanError
from benchmarks.workloads.prompts.state import (
    ACTIVE_EXECUTION,
    NEEDS_FIX,
    NO_SUBPLAN,
    PLAN_COMPLETE,
    STATES,
    SUBPLAN_ALL_EXECUTED,
    SUBPLAN_COMPLETE,
    SUBPLAN_NO_EXECUTION,
)

SMALLEST, MEDIAN, LARGEST = 2_000, 23_000, 75_000
"""Sizes of plans in bytes."""

MOST_LINES, MOST_ACHIEVEMENTS = 2_000, 30
ACHIEVEMENTS_A_PRIORITY = 6

EPOCH_NS = 1_767_600_000 * 10**9
"""When the youngest file of a tree was written: long ago, so that caches may rely on its time."""

DAY_NS = 86_400 * 10**9

FIX_SHARE = 0.2
"""How many reviews do not approve."""

Progress = Callable[[str], None]


class Made(NamedTuple):
    """A plan that was made: its name, its state, and the next achievement's number."""

    feature: str
    state: str
    number: str | None


def make_tree(
    root: Path, plans: int = PLANS, seed: int = 1, progress: Progress | None = None
) -> tuple[Made, ...]:
    """Make a tree of plans, whole or not at all; return what is in it, by name.

    Args:
        root: its directory, which must not be there, or be empty.
        plans: how many; 7 or more have every state.
        seed: of all that is drawn, so of every byte and every modification time.
        progress: is told the name of each plan that is made.

    Raises:
        PlanError: there is something at `root`.
        ValueError: the number of plans is out of range.
    """
    if not 1 <= plans <= 10_000:
        raise ValueError(f"{plans} plans were asked for; it must be 1 to 10000")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise PlanError(
            f"{root} is there already, and a tree of plans is made only where nothing is"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=root.parent, prefix=f"{root.name}."))
    try:
        made = tuple(_make_plans(scratch, plans, seed, progress))
        if root.exists():
            root.rmdir()
        scratch.chmod(0o755)
        scratch.rename(root)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return made


def _make_plans(root: Path, plans: int, seed: int, progress: Progress | None) -> Iterator[Made]:
    rng = random.Random(seed)
    sizes, states = _sizes(plans), [STATES[i % len(STATES)] for i in range(plans)]
    rng.shuffle(sizes)
    rng.shuffle(states)
    for feature, size, state in zip(_names(plans, rng), sizes, states, strict=True):
        # Each plan draws from a seed of its own, so that its text does not depend on the others'.
        yield _Maker(root, feature, size, state, random.Random(f"{seed} {feature}")).make()
        if progress is not None:
            progress(feature)


def _sizes(plans: int) -> list[int]:
    """Return sizes in bytes: half on each side of the median, evenly by their logarithms."""
    places = [i / (plans - 1) if plans > 1 else 0.5 for i in range(plans)]
    return [
        round(SMALLEST * (MEDIAN / SMALLEST) ** (2 * place))
        if place < 0.5
        else round(MEDIAN * (LARGEST / MEDIAN) ** (2 * place - 1))
        for place in places
    ]


def _names(plans: int, rng: random.Random) -> list[str]:
    pairs = [f"{first}-{second}" for first in _SUBJECTS for second in _ASPECTS]
    rng.shuffle(pairs)
    names = [
        pairs[i % len(pairs)] + (f"-{i // len(pairs) + 1}" if i >= len(pairs) else "")
        for i in range(plans)
    ]
    return sorted(names)


class _Maker:
    """Makes one plan: its file, and what belongs to it."""

    def __init__(self, root: Path, feature: str, size: int, state: str, rng: random.Random) -> None:
        self._home, self._feature, self._size, self._rng = root / feature, feature, size, rng
        count = 1 + round((MOST_ACHIEVEMENTS - 1) * size / LARGEST)
        self._titles = {
            f"{i // ACHIEVEMENTS_A_PRIORITY}.{i % ACHIEVEMENTS_A_PRIORITY + 1}": _title(rng)
            for i in range(count)
        }
        self._numbers = list(self._titles)
        self._state = state
        # A plan may be declared complete with achievements left; most are approved to the last.
        self._abandoned = state == PLAN_COMPLETE and count > 1 and rng.random() < 0.3
        whole = state == PLAN_COMPLETE and not self._abandoned
        self._done = count if whole else rng.randrange(count)

    def make(self) -> Made:
        """Write all files, each as old as it may be; return what was made."""
        number = None if self._state == PLAN_COMPLETE else self._numbers[self._done]
        self._write(f"PLAN_{self._feature}.md", self._plan(number))
        for directory in ("subplans", "execution/feedbacks"):
            (self._home / directory).mkdir(parents=True)
        for done in self._numbers[: self._done]:
            self._approved(done)
        if number is not None:
            self._begun(number)
        for path in sorted(self._home.rglob("*"), reverse=True):
            if path.is_dir():
                set_time(path, self._some_time())
        set_time(self._home, self._some_time())
        return Made(self._feature, self._state, number)

    def _approved(self, number: str) -> None:
        self._subplan(number, "Complete")
        for task in range(1, self._rng.randint(1, 3) + 1):
            self._task(number, task, "Complete")
        self._feedback("APPROVED", number)
        if self._rng.random() < FIX_SHARE:
            self._feedback("FIX", number)

    def _begun(self, number: str) -> None:
        """Write what there is of the next achievement in this state."""
        if self._state == NO_SUBPLAN:
            return
        concluded = self._state in (SUBPLAN_COMPLETE, NEEDS_FIX)
        self._subplan(number, "Complete" if concluded else "Planning")
        if self._state == SUBPLAN_NO_EXECUTION:
            return
        tasks = self._rng.randint(1, 3)
        for task in range(1, tasks + 1):
            active = self._state == ACTIVE_EXECUTION and task == tasks
            self._task(number, task, "In Progress" if active else "Complete")
        if self._state == NEEDS_FIX:
            self._feedback("FIX", number)

    def _subplan(self, number: str, status: str) -> None:
        path = f"subplans/SUBPLAN_{self._feature}_{code(number)}.md"
        self._write(path, subplan_text(self._feature, number, status, self._rng))

    def _task(self, number: str, task: int, status: str) -> None:
        path = f"execution/EXECUTION_TASK_{self._feature}_{code(number)}_{task:02}.md"
        self._write(path, task_text(self._feature, number, task, status, self._rng))

    def _feedback(self, kind: str, number: str) -> None:
        path = f"execution/feedbacks/{kind}_{code(number)}.md"
        self._write(path, feedback_text(kind, number, self._rng))

    def _write(self, name: str, text: str) -> None:
        path = self._home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        set_time(path, self._some_time())

    def _some_time(self) -> int:
        return EPOCH_NS - self._rng.randrange(60 * DAY_NS)

    # The plan's text

    def _plan(self, number: str | None) -> str:
        """Return the plan, about as long as it is to be."""
        bare = self._plan_with(number, {})
        room = self._size - len(bare.encode())
        wanted = {"context": room // 6} if room > 600 else {}
        share = (room - sum(wanted.values())) // len(self._numbers)
        wanted.update((number, share) for number in self._numbers if share > 0)
        said = {slot: "".join(_prose(self._rng, size)) for slot, size in wanted.items()}
        return self._plan_with(number, said)

    def _plan_with(self, number: str | None, said: dict[str, str]) -> str:
        declared = "✅ Complete" if self._abandoned else "In Progress"
        index = "".join(f"- **Achievement {n}**: {t}\n" for n, t in self._titles.items())
        details = "".join(
            f"**Achievement {n}**: {t}\n\n{said.get(n, '')}\n" for n, t in self._titles.items()
        )
        done = "".join(f"- SUBPLAN {code(n)}: approved\n" for n in self._numbers[: self._done])
        title = self._feature.replace("-", " ").capitalize()
        return (
            f"# {title}\n\n**Status**: {declared}\n**Created**: 2025-11-0{1 + self._size % 9}\n"
            f"**Goal**: {title} that holds under load\n"
            f"**Priority**: {('High', 'Medium', 'Low')[self._size % 3]}\n"
            f"**Estimated Effort**: {8 + self._size // 1000} hours\n"
            f"\n## Context\n\nToday this is done by hand — and late.\n{said.get('context', '')}"
            f"\n## Achievement Index\n\n{index}"
            f"\n## Goal\n\n{title} that holds under load, and says so when it does not.\n"
            f"\n## Desirable Achievements\n\n{details}"
            f"\n## Archive Location\n\n`archive/{self._feature.lower()}/`\n"
            f"\n## Subplan Tracking\n\n{done or 'None yet.' + chr(10)}"
            f"\n## Current Status & Handoff\n\n{self._handoff(number)}"
        )

    def _handoff(self, number: str | None) -> str:
        """Return a handoff: right for the most part, else out of date, or silent."""
        approved = f"- {self._done} of {len(self._numbers)} achievements are approved.\n"
        kind = self._size % 7
        if number is None or kind == 0:
            return approved
        named = self._numbers[self._done - 1] if kind == 1 and self._done else number
        return f"{approved}- **Next**: Achievement {named}\n"


def code(number: str) -> str:
    """Return an achievement's number as names of files have it."""
    return number.replace(".", "")


def set_time(path: Path, ns: int) -> None:
    """Let a file or directory have been modified at a time, in ns."""
    os.utime(path, ns=(ns, ns))


# What work on a plan writes


def subplan_text(feature: str, number: str, status: str, rng: random.Random) -> str:
    """Return a subplan."""
    return (
        f"# Subplan: achievement {number} of {feature}\n\n**Status**: {status}\n"
        f"**Estimated Effort**: {rng.randint(1, 9)} hours\n\n## Objective\n\n{_sentence(rng)}\n\n"
        f"## Approach\n\n{''.join(_prose(rng, rng.randint(800, 4000)))}\n"
        f"## Tests\n\n{_sentence(rng)}\n"
    )


def task_text(feature: str, number: str, task: int, status: str, rng: random.Random) -> str:
    """Return an execution task."""
    iterations = "".join(
        f"### Iteration {i}\n\n{''.join(_prose(rng, rng.randint(200, 900)))}\n"
        for i in range(1, rng.randint(2, 6))
    )
    return (
        f"# Execution {task:02}: achievement {number} of {feature}\n\n**Status**: {status}\n"
        f"**Iterations**: {iterations.count('###')}\n\n## Objective\n\n{_sentence(rng)}\n\n"
        f"## Iterations\n\n{iterations}"
    )


def feedback_text(kind: str, number: str, rng: random.Random) -> str:
    """Return a feedback."""
    points = "".join(f"{i}. {_sentence(rng)}\n" for i in range(1, rng.randint(3, 9)))
    return f"# {kind}: achievement {number}\n\n**Status**: {kind}\n\n## Points\n\n{points}"


def advance(
    root: Path, feature: str, state: str, number: str | None, rng: random.Random
) -> set[Path]:
    """Do the next step in a plan, as its prompt would have it done; return what has changed.

    Args:
        root: of the tree.
        feature: the plan's name.
        state: where it stands.
        number: of the next achievement.
        rng: draws texts and verdicts.
    """
    home = root / feature
    plan = home / f"PLAN_{feature}.md"
    if number is None:
        return _written(plan, plan.read_text("utf-8") + f"\n{_sentence(rng)}\n")
    subplan = home / "subplans" / f"SUBPLAN_{feature}_{code(number)}.md"
    first_task = home / "execution" / f"EXECUTION_TASK_{feature}_{code(number)}_01.md"
    if state == NO_SUBPLAN:
        return _written(subplan, subplan_text(feature, number, "Planning", rng))
    if state == SUBPLAN_NO_EXECUTION:
        return _written(first_task, task_text(feature, number, 1, "In Progress", rng))
    if state == ACTIVE_EXECUTION:
        return _completed(_open_task(home, feature, number))
    if state == SUBPLAN_ALL_EXECUTED:
        return _completed(subplan)
    kind = "FIX" if state == SUBPLAN_COMPLETE and rng.random() < FIX_SHARE else "APPROVED"
    feedback = home / "execution" / "feedbacks" / f"{kind}_{code(number)}.md"
    changed = _written(feedback, feedback_text(kind, number, rng))
    return changed | _handed_over(plan, number) if kind == "APPROVED" else changed


def _open_task(home: Path, feature: str, number: str) -> Path:
    tasks = sorted((home / "execution").glob(f"EXECUTION_TASK_{feature}_{code(number)}_*.md"))
    return next(task for task in tasks if "**Status**: Complete" not in task.read_text("utf-8"))


def _completed(path: Path) -> set[Path]:
    text = path.read_text("utf-8")
    return _written(path, re.sub(r"\*\*Status\*\*:.*", "**Status**: Complete", text, count=1))


def _handed_over(plan: Path, number: str) -> set[Path]:
    """Let the plan's handoff name the achievement after this one."""
    text = plan.read_text("utf-8")
    numbers = list(
        dict.fromkeys(re.findall(r"^- \*\*Achievement ([\d.]+)\*\*", text, re.MULTILINE))
    )
    place = numbers.index(number) + 1
    said = f"Achievement {numbers[place]}" if place < len(numbers) else "nothing"
    named = re.sub(r"^- \*\*Next\*\*:.*\n|\Z", "", text, count=1, flags=re.MULTILINE)
    return _written(plan, f"{named}- **Next**: {said}\n")


def _written(path: Path, text: str) -> set[Path]:
    write_whole(path, text)
    return {path, path.parent}


# Texts


def _prose(rng: random.Random, size: int) -> Iterator[str]:
    """Yield lines of Markdown until there are about `size` bytes of them."""
    written = 0
    while written < size:
        part = rng.choices(_PARTS, _PART_SHARES)[0](rng)
        if written + len(part) > size + 60:
            part = f"{_sentence(rng)[: size - written]}\n"
        written += len(part.encode())
        yield part


def _paragraph(rng: random.Random) -> str:
    return "".join(f"{_sentence(rng)}\n" for _ in range(rng.randint(1, 4))) + "\n"


def _bullets(rng: random.Random) -> str:
    return "".join(f"- {_phrase(rng, 5, 11)}\n" for _ in range(rng.randint(2, 6)))


def _code(rng: random.Random) -> str:
    """Return code that looks like what counts in a plan, and does not."""
    lines = "".join(
        f"    {rng.choice(_WORDS)}({rng.choice(_WORDS)})\n" for _ in range(rng.randint(2, 5))
    )
    return f"```text\n## Not a section\n**Achievement 9.9**: not one either\n{lines}```\n"


def _table(rng: random.Random) -> str:
    rows = "".join(
        f"| {rng.choice(_WORDS)} | {rng.randint(1, 999)} | {_phrase(rng, 1, 3)} |\n"
        for _ in range(rng.randint(2, 5))
    )
    return f"| what | how many | remark |\n| --- | --- | --- |\n{rows}\n"


_PARTS = (_paragraph, _bullets, _code, _table)
_PART_SHARES = (5, 3, 1, 1)


def _sentence(rng: random.Random) -> str:
    return f"{_phrase(rng, 9, 18).capitalize()}."


def _phrase(rng: random.Random, least: int, most: int) -> str:
    return " ".join(rng.choices(_WORDS, k=rng.randint(least, most)))


def _title(rng: random.Random) -> str:
    return _phrase(rng, 2, 4).capitalize()


_SUBJECTS = (
    *("CACHE", "QUEUE", "INDEX", "SEARCH", "IMPORT", "EXPORT", "LOGIN", "BILLING", "REPORT"),
    *("BACKUP", "ROUTER", "PARSER", "GATEWAY", "METRICS", "STORAGE", "MAIL", "UPLOAD"),
)
_ASPECTS = (
    *("LAYER", "REWRITE", "LIMITS", "TESTS", "API", "MIGRATION", "SPEED", "LOGGING"),
    *("CLEANUP", "V2", "FAILOVER", "SCHEMA"),
)
_WORDS = (
    *("reader", "writer", "buffer", "queue", "index", "entry", "limit", "signal", "worker"),
    *("a", "the", "each", "before", "after", "when", "without", "under", "into", "from", "and"),
    *("holds", "returns", "keeps", "drops", "counts", "compares", "sends", "waits", "fails"),
    *("empty", "shared", "late", "exact", "broken", "naïve", "large", "second", "last", "open"),
    *("request", "answer", "table", "version", "record", "schema", "socket", "figure", "test"),
)
