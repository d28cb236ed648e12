"""Starts scenarios, each in a process of its own, and fails with all stacks when one hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from conftest import outcome, run_program

# A round that takes so long hangs. Before the tests' own watchdog gives up the process, so that its stacks are shown.
LIMIT_SECONDS = 240.0

NOTHING = {"profilers": 0, "call sites": 0, "stores": 0, "buffers": 0}


def is_disturbed() -> bool:
    """Whether memory is not the program's alone: a sanitizer keeps what is freed, coverage something of each thread,
    and with threads that take turns as often as they can, more is alive at once."""
    watched = "san" in os.environ.get("LD_PRELOAD", "") or "coverage" in sys.modules
    return watched or sys.getswitchinterval() < 0.001


class Player:
    """Plays scenarios.

    :ivar rounds: how often each is played, in one process.
    """

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def __call__(
        self,
        scenario: Callable[..., Any],
        *,
        limit: float = LIMIT_SECONDS,
        environment: dict[str, str] | None = None,
        **arguments: Any,
    ) -> list[Any]:
        """Play a scenario, see that it leaves nothing behind, and return what it found in each round.

        :param scenario: a function of a test module; what it returns can be written as JSON.
        :param limit: the seconds after which a round is taken to hang.
        :param environment: variables of the process.
        :param arguments: what to call the function with.
        """
        path = f"{scenario.__module__}:{scenario.__qualname__}"
        call = (path, limit, sys.getswitchinterval(), self.rounds, arguments)
        lines = self._run(f"from production.watchdog import play\nplay(*{call!r})", environment)
        rounds = [json.loads(line) for line in lines]
        assert [played["left"] for played in rounds] == [NOTHING] * self.rounds
        return [played["facts"] for played in rounds]

    def _run(self, program: str, environment: dict[str, str] | None) -> list[str]:
        try:
            done = run_program(program, "-W", "error", **(environment or {}))
        except subprocess.TimeoutExpired as expired:
            said = b"".join(filter(None, [expired.stdout, expired.stderr]))  # type: ignore[list-item]
            pytest.fail(f"it had to be killed: {expired}\n{said.decode(errors='replace')}")
        status, facts, errors = outcome(done)
        if status or errors:
            pytest.fail(f"exit status {status}\n{errors}", pytrace=False)
        return facts.splitlines()


@pytest.fixture(
    params=[1, pytest.param(10, marks=[pytest.mark.stress, pytest.mark.slow])],
    ids=["once", "10 times"],
)
def play(request: pytest.FixtureRequest, switching: None) -> Player:
    """A way to play scenarios: with threads that take turns as usual, and as often as they can."""
    return Player(request.param)


@pytest.fixture
def once() -> Player:
    """A way to play scenarios once, with threads that take turns as usual."""
    return Player(1)


@pytest.fixture(params=["profilers", "blocks", "call sites"])
def kind(request: pytest.FixtureRequest) -> str:
    """What a scenario makes many of; see `production.subjects`."""
    return str(request.param)
