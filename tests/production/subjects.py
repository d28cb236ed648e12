"""What scenarios make many of: profilers, blocks of one profiler, or places in the call-site registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from conftest import hits
from stichotrope import Profiler, ProfilerResults, profiler
from stichotrope._core import Block

NOWHERE = "<production>"  # the file of the lines that are made up


class Subject:
    """Numbered things that passes are made of, each with a block that is named by its number.

    :param limits: what profilers are made with.
    """

    def __init__(self, **limits: int) -> None:
        self._limits = limits

    def make(self, number: int) -> None:
        """Make a thing. Any thread may, at any time."""
        raise NotImplementedError

    def open(self, number: int) -> Block:
        """What `with` takes for a pass."""
        raise NotImplementedError

    def look_up(self, number: int) -> Block:
        """The same, found anew through the registry that the thing is in."""
        raise NotImplementedError

    def identity(self, number: int) -> int:
        """Its number in that registry."""
        raise NotImplementedError

    def profiler(self, number: int) -> Profiler:
        """The profiler that the thing belongs to."""
        raise NotImplementedError

    def profilers(self) -> list[Profiler]:
        """All profilers."""
        raise NotImplementedError

    def tracked(self, number: int, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function, decorated for the thing's profiler."""
        return self.profiler(number).track(0, f"{function.__name__} {number}")(function)

    def results(self) -> list[ProfilerResults]:
        """What each profiler has recorded."""
        return [p.get_results() for p in self.profilers()]

    def hits(self) -> dict[str, int]:
        """Block name → passes, of all profilers."""
        return all_hits(self.results())


def all_hits(results: Iterable[ProfilerResults]) -> dict[str, int]:
    """Block name → passes, of results that have no name in common."""
    return {name: count for found in results for name, count in hits(found).items()}


class Profilers(Subject):
    """Each thing is a profiler, with one kept block."""

    def __init__(self, **limits: int) -> None:
        super().__init__(**limits)
        self._made: dict[int, tuple[Profiler, Block]] = {}

    def make(self, number: int) -> None:
        p = Profiler(f"profiler {number}", **self._limits)  # type: ignore[arg-type]
        self._made[number] = (p, p.block(0, f"{number}"))

    def open(self, number: int) -> Block:
        return self._made[number][1]

    def look_up(self, number: int) -> Block:
        found = profiler._PROFILER_REGISTRY[self.identity(number)]
        assert found is self.profiler(number)
        return self.open(number)

    def identity(self, number: int) -> int:
        return self.profiler(number)._profiler_id

    def profiler(self, number: int) -> Profiler:
        return self._made[number][0]

    def profilers(self) -> list[Profiler]:
        return [p for p, _ in list(self._made.values())]


class _OfOneProfiler(Subject):
    """Things of one profiler."""

    def __init__(self, **limits: int) -> None:
        super().__init__(**limits)
        self._profiler = Profiler("shared", **limits)  # type: ignore[arg-type]

    def profiler(self, number: int) -> Profiler:
        return self._profiler

    def profilers(self) -> list[Profiler]:
        return [self._profiler]

    def look_up(self, number: int) -> Block:
        self.identity(number)
        return self._ask(number)

    def identity(self, number: int) -> int:
        owner = self._profiler._profiler_id
        key = (owner, 0, *self._place(number), f"{number}")
        found, index = profiler._CALL_SITE_CACHE[key]
        assert found == owner
        return index

    def _ask(self, number: int) -> Block:
        """Ask the profiler for the block, from where it is asked for each time."""
        raise NotImplementedError

    def _place(self, number: int) -> tuple[str, int]:
        """File and line of that place."""
        raise NotImplementedError


class Blocks(_OfOneProfiler):
    """Each thing is a kept block; all of them come from one line, and differ in name."""

    def __init__(self, **limits: int) -> None:
        super().__init__(**limits)
        self._made: dict[int, Block] = {}

    def make(self, number: int) -> None:
        self._made[number] = self._ask(number)

    def open(self, number: int) -> Block:
        return self._made[number]

    def _ask(self, number: int) -> Block:
        return self._profiler.block(0, f"{number}")

    def _place(self, number: int) -> tuple[str, int]:
        code = Blocks._ask.__code__
        return code.co_filename, code.co_firstlineno + 1


class CallSites(_OfOneProfiler):
    """Each thing is a line that asks for its block at every pass."""

    def __init__(self, **limits: int) -> None:
        super().__init__(**limits)
        self._lines: dict[int, Callable[[Profiler], Block]] = {}

    def make(self, number: int) -> None:
        line = new_line(number)
        line(self._profiler)
        self._lines[number] = line

    def open(self, number: int) -> Block:
        return self._lines[number](self._profiler)

    def _ask(self, number: int) -> Block:
        return self.open(number)

    def _place(self, number: int) -> tuple[str, int]:
        return NOWHERE, number + 1


def new_line(number: int) -> Callable[[Profiler], Block]:
    """A line of code, at a line number of its own, that asks a profiler for a block."""
    source = "\n" * number + f"lambda p: p.block(0, '{number}')"
    line: Callable[[Profiler], Block] = eval(compile(source, NOWHERE, "eval"))
    return line


KINDS: dict[str, type[Subject]] = {
    "profilers": Profilers,
    "blocks": Blocks,
    "call sites": CallSites,
}
