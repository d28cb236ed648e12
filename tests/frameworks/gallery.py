"""Programs over frameworks: each is run bare and marked, and gives the same; marked, each call is recorded.

A case gets a decorator, and returns what the program comes to. It names the packages that it needs, and how often
each of its marked functions is called.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

Mark = Callable[[Any], Any]


class Case(NamedTuple):
    """One program.

    :ivar run: takes the decorator, and returns what is compared.
    :ivar needs: modules without which it cannot run.
    :ivar hits: name of a block → how often it is passed; None where a library takes the code out of a function.
    """

    run: Callable[[Mark], Any]
    needs: tuple[str, ...]
    hits: dict[str, int] | None


CASES: dict[str, Case] = {}


def case(*needs: str, hits: dict[str, int] | None = None) -> Callable[[Any], Any]:
    """Add a program to the gallery.

    :param needs: modules without which it cannot run.
    :param hits: see `Case`.
    """

    def add(run: Any) -> Any:
        CASES[run.__name__] = Case(run, needs, hits)
        return run

    return add


def all_cases() -> dict[str, Case]:
    """Return the programs of all rooms of the gallery."""
    for room in ("concurrency", "data", "language", "odd", "tooling", "web"):
        importlib.import_module(f"frameworks.{room}")
    return CASES


def plain(value: Any) -> str:
    """What is compared: addresses differ, and paths of temporary folders."""
    text = re.sub(r"0x[0-9a-f]+", "0x", repr(value))
    return re.sub(r"/tmp\w*/\w+", "/tmp", text)


def main(name: str) -> None:
    """Run a program bare and marked, and print what came out, and how often each block was passed."""
    from stichotrope import Profiler

    run = all_cases()[name].run
    profiler = Profiler(name)
    bare = plain(run(lambda function: function))
    marked = plain(run(profiler.track(0)))
    hits: dict[str, int] = {}
    for track in profiler.get_results().tracks.values():
        for block in track.blocks:
            if block.hit_count:
                hits[block.name] = hits.get(block.name, 0) + block.hit_count
    print()
    print(json.dumps({"bare": bare, "marked": marked, "hits": hits}))


if __name__ == "__main__":
    sys.modules["frameworks.gallery"] = sys.modules["__main__"]  # the rooms add to this one
    main(sys.argv[1])
