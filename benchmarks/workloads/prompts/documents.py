"""What the files say: plans, the documents that belong to them, and directories of such."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from benchmarks.workloads.prompts._tracks import PARSE, marks

EXCERPT_LINES, LINE_WIDTH = 40, 120
"""What is kept of a text to be quoted."""

SUFFIX = ".md"
INDEX, DESIRABLE = "achievement index", "desirable achievements"
GOAL, CONTEXT, ARCHIVE = "goal", "context", "archive location"
TRACKING, HANDOFF = "subplan tracking", "current status & handoff"

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_BEFORE_FENCES, _BEFORE_BOLD = frozenset(" `~"), frozenset("*-")
_FIELD = re.compile(r"\*\*([^*:]+)(?::\*\*|\*\*:)[ \t]*(.*)")
_SECTION = re.compile(r"##[ \t]+(.*?)[ \t#]*$")
_ACHIEVEMENT = re.compile(
    r"(?:#{3,6}[ \t]+|[-*][ \t]+)?\*\*Achievement (\d+)\.(\d+)(?::\*\*|\*\*:)[ \t]*(.*)"
)
_COMPLETE = re.compile(r"\W*(?:completed?|done)\b", re.IGNORECASE)
_NEXT = re.compile(
    r"[-*\s]*(?:What's )?Next(?: Achievement| Action| Steps?| Up)?(?:\*\*:|:\*\*|:)[ \t]*(.*)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\b(\d+\.\d+)\b")
_NAMED_NUMBER = re.compile(r"Achievement (\d+\.\d+)\b", re.IGNORECASE)

_TASK = re.compile(r"EXECUTION_TASK_(.+)_(\d+)_(\d+)\.md")
_FEEDBACK = re.compile(r"(APPROVED|FIX)_(\d+)\.md")


class PlanError(ValueError):
    """A tree, plan or document from which no prompt can be made."""


class Achievement(NamedTuple):
    """One achievement of a plan.

    Attributes:
        number: as the plan writes it, "2.1".
        code: as names of files have it, "21".
        title: what it is called.
        line: where the plan says most of it, from 1 on.
        text: what it says there, as an excerpt.
    """

    number: str
    code: str
    title: str
    line: int
    text: tuple[str, ...]


class Plan(NamedTuple):
    """A plan.

    Attributes:
        fields: its header; lower-case name → what stands there.
        sections: lower-case title → an excerpt.
        achievements: in the order of the plan.
        complete: whether its status says so.
        handoff_next: the number that the handoff says is next; None when it says none.
        lines: how long it is.
    """

    fields: Mapping[str, str]
    sections: Mapping[str, tuple[str, ...]]
    achievements: tuple[Achievement, ...]
    complete: bool
    handoff_next: str | None
    lines: int


class Document(NamedTuple):
    """A subplan, an execution task or a feedback: its status, and an excerpt of its text."""

    status: str
    complete: bool
    text: tuple[str, ...]


class Listing(NamedTuple):
    """What a directory has; subplans are not looked for, there is one name at most.

    Attributes:
        tasks: (feature, code) → names, by the tasks' own numbers.
        approved: codes.
        fixes: code → name.
    """

    tasks: Mapping[tuple[str, str], tuple[str, ...]]
    approved: frozenset[str]
    fixes: Mapping[str, str]


class _Section(NamedTuple):
    """A section: its lower-case title, where its lines are, and those that may mean something."""

    title: str
    first: int
    end: int
    marked: list[tuple[int, str]]


_Marked = Callable[[list[str]], Iterator[tuple[int, str]]]
"""Finds the lines of a text that may be headings, fields or achievements, with their places."""


EMPTY = Listing({}, frozenset(), {})
"""The listing of a directory that is not there."""


@marks.track(PARSE, "plan")
def parse_plan(path: str, content: bytes) -> Plan:
    """Return what a plan says.

    Args:
        path: named in errors.
        content: of the file.

    Raises:
        PlanError: it is not UTF-8, has no achievements, or two that no name of a file tells apart.
    """
    return _plan(path, content, _skim)


@marks.track(PARSE, "plan")
def parse_plan_by_line(path: str, content: bytes) -> Plan:
    """Return what `parse_plan` returns, in a simpler and slower way: each line is matched."""
    return _plan(path, content, _outside_fences)


@marks.track(PARSE, "document")
def parse_document(path: str, content: bytes) -> Document:
    """Return what a subplan, an execution task or a feedback says.

    Args:
        path: named in errors.
        content: of the file.

    Raises:
        PlanError: it is not UTF-8.
    """
    lines = _lines(path, content)
    sections = _sections(lines, _skim)
    status = _fields(sections[0].marked).get("status", "")
    first = sections[1].first - 1 if len(sections) > 1 else 0
    complete = _COMPLETE.match(status) is not None
    return Document(status or "not given", complete, _excerpt(lines[first:]))


@marks.track(PARSE, "listing")
def parse_listing(path: str, names: tuple[str, ...]) -> Listing:
    """Return which execution tasks and feedbacks a directory has, by their names.

    Args:
        path: of the directory.
        names: of what is in it.
    """
    tasks: dict[tuple[str, str], list[tuple[int, str]]] = {}
    feedbacks: dict[str, dict[str, str]] = {"APPROVED": {}, "FIX": {}}
    for name in names:
        if found := _TASK.fullmatch(name):
            tasks.setdefault((found[1], found[2]), []).append((int(found[3]), name))
        elif found := _FEEDBACK.fullmatch(name):
            feedbacks[found[1]][found[2]] = name
    by_number = {key: tuple(name for _, name in sorted(some)) for key, some in tasks.items()}
    return Listing(by_number, frozenset(feedbacks["APPROVED"]), feedbacks["FIX"])


def _plan(path: str, content: bytes, marked: _Marked) -> Plan:
    lines = _lines(path, content)
    sections = _sections(lines, marked)
    fields = _fields(sections[0].marked)
    handoff = [section for section in sections if section.title == HANDOFF]
    return Plan(
        fields,
        {section.title: _excerpt(lines[section.first : section.end]) for section in sections[1:]},
        _achievements(path, lines, sections),
        _COMPLETE.match(fields.get("status", "")) is not None,
        _next_named(lines[handoff[0].first : handoff[0].end]) if handoff else None,
        len(lines),
    )


def _lines(path: str, content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start} is {content[error.start]:#04x}"
        raise PlanError(f"{path} is not UTF-8: {wrong}") from None
    # Not splitlines: editors count lines by line feeds, and by nothing else that Unicode has.
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _outside_fences(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not code, with their places; a fence may be left unclosed."""
    fence = ""
    for place, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark is not None:
            fence = _after(mark, fence)
        elif not fence:
            yield place, line


def _skim(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not code and may mean something: the others are not even matched."""
    fence = ""
    for place, line in enumerate(lines):
        first = line[:1]
        if first in _BEFORE_FENCES:
            mark = _FENCE.match(line)
            if mark is not None:
                fence = _after(mark, fence)
        elif not fence and (first == "#" or (first in _BEFORE_BOLD and "**" in line)):
            yield place, line


def _after(mark: re.Match[str], fence: str) -> str:
    """Return which fence is open after one was met, "" for none."""
    if not fence:
        return mark[1]
    closes = mark[1].startswith(fence) and not mark.string.strip().strip(fence[0])
    return "" if closes else fence


def _sections(lines: list[str], marked: _Marked) -> list[_Section]:
    """Return what stands before the first section, and then the sections."""
    starts: list[tuple[str, int]] = [("", 0)]
    found: list[list[tuple[int, str]]] = [[]]
    for place, line in marked(lines):
        title = _SECTION.match(line)
        if title is None:
            found[-1].append((place, line))
        else:
            starts.append((title[1].casefold(), place + 1))
            found.append([])
    ends = [first - 1 for _, first in starts[1:]] + [len(lines)]
    return [
        _Section(title, first, end, some)
        for (title, first), end, some in zip(starts, ends, found, strict=True)
    ]


def _fields(header: list[tuple[int, str]]) -> dict[str, str]:
    found = (_FIELD.match(line) for _, line in header)
    return {field[1].strip().casefold(): field[2].strip() for field in found if field}


def _achievements(path: str, lines: list[str], sections: list[_Section]) -> tuple[Achievement, ...]:
    """Return the achievements in their order of appearance, each with where most is said of it.

    Only two sections are asked, where there is any: others may speak of those of other plans.
    """
    own = [section for section in sections if section.title in (INDEX, DESIRABLE)]
    said: dict[str, Achievement] = {}
    for section in own or sections:
        for achievement in _achievements_in(lines, section):
            known = said.get(achievement.number)
            if known is None:
                said[achievement.number] = achievement
            elif len(achievement.text) > len(known.text):
                said[achievement.number] = achievement._replace(title=known.title)
    if not said:
        raise PlanError(f"{path} has no line such as '**Achievement 1.1**: title'")
    _check_codes(path, said.values())
    return tuple(said.values())


def _achievements_in(lines: list[str], section: _Section) -> Iterator[Achievement]:
    found = [(place, _ACHIEVEMENT.match(line)) for place, line in section.marked]
    starts = [(place, match) for place, match in found if match is not None]
    ends = [place for place, _ in starts] + [section.end]
    for (place, match), end in zip(starts, ends[1:], strict=True):
        text = _excerpt(lines[place + 1 : end])
        number, code = f"{match[1]}.{match[2]}", match[1] + match[2]
        yield Achievement(number, code, match[3].strip(), place + 1, text)


def _check_codes(path: str, achievements: Iterable[Achievement]) -> None:
    known: dict[str, str] = {}
    for number, code, *_ in achievements:
        if code in known:
            raise PlanError(
                f"{path} has achievements {known[code]} and {number}; "
                f"the names of their files would both have {code}"
            )
        known[code] = number


def _next_named(handoff: list[str]) -> str | None:
    """Return the number on the line that says what is next, or on the first below it with text."""
    text = (line for _, line in _outside_fences(handoff))
    for line in text:
        found = _NEXT.match(line)
        if found:
            said = found[1].strip() or next((below for below in text if below.strip()), "")
            number = _NAMED_NUMBER.search(said) or _NUMBER.search(said)
            return number[1] if number else None
    return None


def _excerpt(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the first lines of a text, as long as may be, and no two empty ones in a row."""
    kept: list[str] = []
    for line in lines:
        shown = line.rstrip()
        if len(shown) > LINE_WIDTH:
            shown = shown[: LINE_WIDTH - 1] + "…"
        if shown or (kept and kept[-1]):
            kept.append(shown)
            if len(kept) == EXCERPT_LINES:
                break
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)
