"""What a setting can be: each kind checks what it is given, and reads a variable's text."""

from __future__ import annotations

import os

from . import checks

TYPE_CHECKING = False  # `typing` itself is too slow to import for a handful of annotations
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class ConfigError(ValueError):
    """A setting that is unknown or makes no sense, or a file of settings that cannot be read."""


class WrongError(Exception):
    """What is wrong with a value; who catches it knows where the value stands.

    :param sentence: what is expected, and what was given.
    :param key: the part of the setting that is meant, from the setting's own name on.
    """

    def __init__(self, sentence: str, *key: str) -> None:
        super().__init__(sentence)
        self.key = key


class TrackSettings:
    """What is set for one track.

    :ivar name: its name, or None where none is given.
    :ivar enabled: whether its passes are recorded.
    """

    __slots__ = ("enabled", "name")

    name: str | None
    enabled: bool

    def __init__(self, name: str | None = None, enabled: bool = True) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "enabled", enabled)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"settings are frozen; {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"settings are frozen; {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrackSettings):
            return NotImplemented
        return (self.name, self.enabled) == (other.name, other.enabled)

    def __hash__(self) -> int:
        return hash((self.name, self.enabled))

    def __repr__(self) -> str:
        return f"TrackSettings(name={self.name!r}, enabled={self.enabled!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.enabled)


class Kind:
    """What a setting can be, whoever gives it.

    :ivar expected: what an error says that it must be.
    """

    expected = ""

    def checked(self, value: Any, folder: str | None) -> Any:
        """Return a value as it is kept.

        :param value: what was given.
        :param folder: that of the file it stands in, or None where it stands in none.
        :raises WrongError: when it cannot be taken.
        """
        raise NotImplementedError

    def read(self, text: str) -> Any:
        """Return what the text of a variable stands for."""
        return self.checked(text, None)

    def added(self, value: Any, before: Any) -> Any:
        """Return a value that comes after one of less weight."""
        return value

    def wrong(self, value: object) -> WrongError:
        """Return an error that says what is expected and what was given."""
        return WrongError(f"must be {self.expected}, not {checks.shown(value)}")


class Switch(Kind):
    expected = "true or false"

    def checked(self, value: Any, folder: str | None) -> bool:
        if not isinstance(value, bool):
            raise self.wrong(value)
        return value

    def read(self, text: str) -> bool:
        known = _WORDS.get(text.strip().lower())
        if known is None:
            raise WrongError(f"must be one of {', '.join(_WORDS)}, not {text!r}")
        return known


class Text(Kind):
    expected = "a text that is not empty"

    def checked(self, value: Any, folder: str | None) -> str:
        if not isinstance(value, str) or not value:
            raise self.wrong(value)
        return str.__str__(value)


class Choice(Kind):
    def __init__(self, choices: Callable[[], Iterable[str]]) -> None:
        self._choices = choices

    def wrong(self, value: object) -> WrongError:
        self.expected = f"one of {', '.join(self._choices())}"
        return super().wrong(value)

    def checked(self, value: Any, folder: str | None) -> str:
        if not isinstance(value, str) or value not in self._choices():
            raise self.wrong(value)
        return str.__str__(value)


class Path(Kind):
    expected = "a path (a text that is not empty, without null characters)"

    def checked(self, value: Any, folder: str | None) -> str:
        if isinstance(value, os.PathLike) and folder is None:
            value = value.__fspath__()
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.wrong(value)
        # Absolute at once: a program may change its directory before the path is used.
        return os.path.abspath(os.path.join(folder or "", value))


class Count(Kind):
    def __init__(self, least: int, most: int | None = None) -> None:
        self._least = least
        self._most = most
        bounds = f"of {least:,} or more" if most is None else f"from {least:,} to {most:,}"
        self.expected = f"a whole number {bounds}"

    def checked(self, value: Any, folder: str | None) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(value)
        if value < self._least or (self._most is not None and value > self._most):
            raise self.wrong(value)
        return int(value)

    def read(self, text: str) -> int:
        try:
            return self.checked(int(text), None)
        except ValueError:
            raise self.wrong(text) from None


class Seconds(Kind):
    expected = "a number of seconds, more than 0 and finite"

    def checked(self, value: Any, folder: str | None) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self.wrong(value)
        if not 0 < value < float("inf"):
            raise self.wrong(value)
        return float(value)

    def read(self, text: str) -> float:
        try:
            return self.checked(float(text), None)
        except ValueError:
            raise self.wrong(text) from None


class Texts(Kind):
    expected = "a list of texts that are not empty"

    def checked(self, value: Any, folder: str | None) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)):
            raise self.wrong(value)
        if not all(isinstance(each, str) and each for each in value):
            raise self.wrong(value)
        return tuple(map(str.__str__, value))

    def read(self, text: str) -> tuple[str, ...]:
        return tuple(filter(None, map(str.strip, text.split(","))))


class Tracks(Kind):
    """Tracks by index or name, as what is said of each: any of "name" and "enabled"."""

    expected = "a table of tracks by index or name"

    def checked(self, value: Any, folder: str | None) -> dict[int | str, dict[str, Any]]:
        if not hasattr(value, "items"):
            raise self.wrong(value)
        # Keys in TOML are texts, also those that are numbers.
        keys = {_track_key(key, number_is_text=folder is not None): key for key in value}
        return {key: _track(key, value[given]) for key, given in keys.items()}

    def read(self, text: str) -> dict[int | str, dict[str, Any]]:
        tracks: dict[int | str, dict[str, Any]] = {}
        for item in filter(None, map(str.strip, text.split(","))):
            key, equals, said = (part.strip() for part in item.partition("="))
            if not key or not equals or not said:
                raise WrongError(
                    f"must be INDEX=NAME, INDEX=on or NAME=off, separated by commas, not {item!r}"
                )
            track = _track_key(key, number_is_text=True)
            tracks.setdefault(track, {}).update(_track(track, _WORDS.get(said.lower(), said)))
        return tracks

    def added(self, value: Any, before: Any) -> Any:
        keys = [*before, *(key for key in value if key not in before)]
        tracks = {key: {**before.get(key, {}), **value.get(key, {})} for key in keys}
        # What is said by the name of a track that has an index is put where the index is.
        for key in [key for key in keys if isinstance(key, int)]:
            name = tracks[key].get("name")
            said = tracks.pop(name, {})
            if name in value or "enabled" not in tracks[key]:
                tracks[key].update(said)
        return tracks


def _track_key(key: object, *, number_is_text: bool) -> int | str:
    if number_is_text and isinstance(key, str) and key.isdecimal():
        return int(key)
    try:
        checks.check_track(key)
    except (TypeError, ValueError) as error:
        raise WrongError(f"has a wrong key: {error}") from None
    return str.__str__(key) if isinstance(key, str) else int(key)  # type: ignore[call-overload]


def _track(key: int | str, said: Any) -> dict[str, Any]:
    """Return what is said of one track."""
    if isinstance(said, TrackSettings):
        said = {"enabled": said.enabled, **({} if said.name is None else {"name": said.name})}
    if isinstance(said, bool):
        return {"enabled": said}
    if isinstance(said, str) and isinstance(key, int):
        return {"name": _part(Text(), said, str(key))}
    if not hasattr(said, "items"):
        expected = "its name, true" if isinstance(key, int) else "true"
        raise WrongError(
            f"must be {expected}, false, or a table, not {checks.shown(said)}", str(key)
        )
    parts: dict[str, Kind] = {"enabled": Switch()}
    if isinstance(key, int):
        parts["name"] = Text()
    for part in said:
        if part not in parts:
            raise WrongError(f"has an {unknown(part, parts, 'part')}", str(key))
    return {part: _part(parts[part], value, str(key), part) for part, value in said.items()}


def _part(kind: Kind, value: object, *key: str) -> Any:
    try:
        return kind.checked(value, "")
    except WrongError as error:
        raise WrongError(str(error), *key) from None


def unknown(key: str, known: Iterable[str], what: str) -> str:
    """Return a sentence about a name that is none of those known."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(key.lower(), [name.lower() for name in names], 1, 0.6)
    if near:
        (meant,) = (name for name in names if name.lower() == near[0])
        return f"unknown {what} {key!r}; did you mean {meant!r}?"
    return f"unknown {what} {key!r}; it can be {', '.join(names)}"
