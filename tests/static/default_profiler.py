"""What a type checker makes of the marks; `make lint` checks it, strictly, and a test runs it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING, TypeVar

from stichotrope import Profiler, profile, profile_function

if TYPE_CHECKING:
    from typing import assert_type
else:
    T = TypeVar("T")

    def assert_type(value: T, kind: object) -> T:
        """Stand for the checker's own."""
        return value


@profile
def plain(number: int, *, text: str = "") -> list[str]:
    return [text] * number


@profile(track="I/O", name="other")
def named(number: int) -> float:
    return number / 2


@profile_function
def logged(number: int) -> str:
    return str(number)


@profile_function(track=1, level="DEBUG")
async def coroutine(number: int) -> str:
    return str(number)


@profile_function(logger="x")
def generator(number: int) -> Iterator[int]:
    yield number


@Profiler("typed").track(0)
def tracked(number: int) -> bytes:
    return bytes(number)


class Thing:
    """Something with methods."""

    @profile
    def method(self, number: int) -> int:
        return number

    @staticmethod
    @profile
    def static(number: int) -> int:
        return number


async def awaits() -> None:
    assert_type(await coroutine(1), str)


def right_calls() -> None:
    assert_type(plain(2, text="a"), list[str])
    assert_type(named(2), float)
    assert_type(logged(2), str)
    assert_type(tracked(2), bytes)
    assert_type(list(generator(2)), list[int])
    assert_type(Thing().method(2), int)
    assert_type(Thing.static(2), int)
    with profile.block("x"), profile.block("y", "I/O"), profile.block("z", track=2):
        pass


def wrong_calls() -> None:
    """Each is an error of the checker: a comment that hides none is one, too."""
    plain("2")  # type: ignore[arg-type]
    plain(2, tekst="a")  # type: ignore[call-arg]
    named()  # type: ignore[call-arg]
    logged("2")  # type: ignore[arg-type]
    tracked("2")  # type: ignore[arg-type]
    Thing().method("2")  # type: ignore[arg-type]
    profile.block(2)  # type: ignore[arg-type]
    profile(track=1.5)  # type: ignore[call-overload]
    waits: Awaitable[int] = coroutine(1)  # type: ignore[assignment]
    del waits
