"""What callers may give: checks that say what was given, what is expected, and where."""

from __future__ import annotations

# From where to where the limits of a profiler may go.
RETAIN_THREADS = (0, 1_000_000)
MAX_NODES = (1, 1 << 24)
MAX_BLOCKS = (1, 1 << 23)
TIMELINE = (128, 1 << 22)
STORE_LIMIT_BYTES = (1 << 20, 1 << 50)

_LONGEST_SHOWN = 200  # characters of what was given

STORE_BYTES = 1 << 30  # how large a store may be, unless somebody says otherwise


def check_track(track: object) -> None:
    """Refuse what is neither a track's index nor its name."""
    if isinstance(track, str):
        checked_text(track, "a track's name")
    elif isinstance(track, bool) or not isinstance(track, int):
        raise TypeError(
            "a track is given by its index (an int from 0 on) or its name (a str), "
            f"not {shown(track)}"
        )
    elif track < 0:
        raise ValueError(f"a track's index must be 0 or more, not {track}")


def check_switch(value: object, what: str = "a switch") -> None:
    """Refuse what is not True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{what} is True or False, not {shown(value)}")


def check_limit(value: object, what: str, least: int, most: int) -> None:
    """Refuse what is not an int from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{what} must be an int, not {shown(value)}")
    if not least <= value <= most:
        raise ValueError(f"{what} must lie between {least:,} and {most:,}, not {value}")


def check_thread_key(key: object) -> None:
    """Refuse what cannot be a thread's key."""
    if not isinstance(key, int) or isinstance(key, bool):
        raise TypeError(f"a thread is chosen by its key, an int, not {shown(key)}")


def checked_text(text: object, what: str) -> str:
    """Return a text that is not empty, as an exact str."""
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {shown(text)}")
    if not text:
        raise ValueError(f"{what} must not be empty")
    return str.__str__(text)


def checked_name(name: object) -> str:
    """Return the name of a block, as an exact str."""
    return checked_text(name, "a block's name")


def check_include(include: object) -> None:
    """Refuse what can neither be asked nor left out."""
    if include is not None and not callable(include):
        raise TypeError(
            "include is called with a name and a function: it must be callable or None, "
            f"not {shown(include)}"
        )


def check_size(function: object, what: str) -> None:
    """Refuse what cannot be asked how much a result is."""
    if function is not None and not callable(function):
        raise TypeError(
            f"{what} is a function that tells of a result how many {what} it is, such as len, "
            f"not {shown(function)}"
        )


def plain_text(value: object) -> str:
    """Return a text as an exact str: of a member of an enumeration, the value. Of others, str()."""
    return str.__str__(value) if isinstance(value, str) else str(value)


def check_iterable(values: object, what: str) -> None:
    """Refuse what gives no values, with what is expected."""
    if not hasattr(values, "__iter__") and not hasattr(values, "__getitem__"):
        raise TypeError(f"{what}, not {shown(values)}")


def shown(value: object) -> str:
    """Return how an error names what was given: in a line, however long that is."""
    try:
        text = repr(value)
    except Exception:  # an int of too many digits, for one
        text = "one that cannot be printed,"
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[: _LONGEST_SHOWN // 2]}…{text[-(_LONGEST_SHOWN // 4) :]}"
    return f"{text} of type {type(value).__name__}"
