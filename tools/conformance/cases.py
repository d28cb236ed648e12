"""The rows of the table: which program each one is, and what it asks of a tool."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .adapters import Tool

Program = Callable[["Tool"], "dict[str, bool] | None"]
"""Runs under a tool; may return what else has to hold: sentence → whether it does."""

GROUPS = {
    "callables": "Callables",
    "suspending": "Generators and coroutines",
    "concurrency": "Concurrency",
    "processes": "Processes and interpreters",
}


class Case(NamedTuple):
    """One row.

    needs: modules without which the program cannot run. per_thread: whether a tool that tells
    threads apart must find as many as there were. greenlets: whether the program switches
    greenlets, which some tools must be told. asynchronous: whether it runs an event loop, of
    which the same holds. children: whether what child processes did counts. least: the oldest
    Python it runs on.
    """

    id: str
    title: str
    group: str
    program: Program
    needs: tuple[str, ...] = ()
    per_thread: bool = False
    greenlets: bool = False
    asynchronous: bool = False
    children: bool = False
    least: tuple[int, int] = (3, 0)


CASES: dict[str, Case] = {}


def case(title: str, **options: Any) -> Callable[[Program], Program]:
    """Make a function a row; the module that it stands in is its group."""

    def register(program: Program) -> Program:
        group = program.__module__.rpartition(".")[2]
        CASES[program.__name__] = Case(program.__name__, title, group, program, **options)
        return program

    return register


def load() -> dict[str, Case]:
    """Return all rows, in the order in which they are written."""
    for group in GROUPS:
        import_module(f".programs.{group}", __package__)
    return CASES
