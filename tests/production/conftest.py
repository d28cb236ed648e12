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

# Far beyond what any scenario takes, and before the tests' own watchdog gives up the process.
LIMIT_SECONDS = 60.0

# A limit in seconds is for the program alone: on a machine that is busy with others a round may be
# late twice, and is played again. The seconds on processors, which a failure shows, tell who it was.
ATTEMPTS = 3

NOTHING = {"profilers": 0, "call sites": 0, "stores": 0, "buffers": 0}


def is_slowed_down() -> bool:
    """Whether limits in seconds are not meant for this: a sanitizer watches each access to memory, coverage each line,
    or threads take turns as often as they can."""
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
        within: float | None = None,
        limit: float = LIMIT_SECONDS,
        environment: dict[str, str] | None = None,
        **arguments: Any,
    ) -> list[Any]:
        """Play a scenario, see that it leaves nothing behind, and return what it found in each round.

        :param scenario: a function of a test module; what it returns can be written as JSON.
        :param within: the seconds that each round has to stay below.
        :param limit: the seconds after which a round is taken to hang.
        :param environment: variables of the process.
        :param arguments: what to call the function with.
        """
        path = f"{scenario.__module__}:{scenario.__qualname__}"
        facts: list[Any] = []
        late: list[Any] = [None] * self.rounds
        for _ in range(ATTEMPTS):
            call = (path, limit, sys.getswitchinterval(), len(late), arguments)
            rounds = self._play(call, environment)
            facts += [played["facts"] for played in rounds]
            late = [played["took"] for played in rounds if played["took"][0] >= (within or limit)]
            if not late or is_slowed_down():
                return facts
        pytest.fail(f"to stay below {within} s; took (on processors): {late}", pytrace=False)

    def _play(self, call: tuple[Any, ...], environment: dict[str, str] | None) -> list[Any]:
        """What was printed for each round."""
        lines = self._run(f"from production.watchdog import play\nplay(*{call!r})", environment)
        rounds = [json.loads(line) for line in lines]
        assert len(rounds) == call[3]
        assert [played["left"] for played in rounds] == [NOTHING] * len(rounds)
        return rounds

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
