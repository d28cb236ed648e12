"""Bad arguments of the public API: a sentence that helps, and what was recorded stays."""

from __future__ import annotations

import errno
import functools
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stichotrope
from conftest import PERMISSIONS_BIND, hits, locked
from stichotrope import Profiler, is_global_enabled

pytestmark = pytest.mark.unit


@pytest.fixture
def p() -> Iterator[Profiler]:
    """A profiler with something recorded, which must be there afterwards, and go on recording."""
    p = Profiler("robust")
    kept = p.block(0, "kept")
    for _ in range(2):
        with kept:
            pass
    p.set_track_name(1, "taken")
    yield p
    assert is_global_enabled()
    assert p.is_started()
    assert p.is_track_enabled(0)
    with kept:
        pass
    assert hits(p) == {"kept": 3}
    assert {i: t.track_name for i, t in p.get_results().tracks.items()} == {
        0: "Track 0",
        1: "taken",
    }


class Thing:
    """Something that is neither a number nor a text."""

    def __repr__(self) -> str:
        return "<a thing>"


THING: Any = Thing()
NOT_A_TRACK = r"by its index \(an int from 0 on\) or its name \(a str\), not {} of type {}"

# What is given as a track → the error and what it says, in what is given and what is expected.
BAD_TRACKS: list[tuple[Any, type[Exception], str]] = [
    (-1, ValueError, "a track's index must be 0 or more, not -1"),
    (-(2**70), ValueError, f"a track's index must be 0 or more, not -{2**70}"),
    ("", ValueError, "a track's name must not be empty"),
    (True, TypeError, NOT_A_TRACK.format("True", "bool")),
    (1.0, TypeError, NOT_A_TRACK.format(r"1\.0", "float")),
    (None, TypeError, NOT_A_TRACK.format("None", "NoneType")),
    (b"io", TypeError, NOT_A_TRACK.format("b'io'", "bytes")),
    ((0,), TypeError, NOT_A_TRACK.format(r"\(0,\)", "tuple")),
    (THING, TypeError, NOT_A_TRACK.format("<a thing>", "Thing")),
]
BAD_NAMES: list[tuple[Any, type[Exception], str]] = [
    ("", ValueError, "a block's name must not be empty"),
    (3, TypeError, "a block's name must be a str, not 3 of type int"),
    (True, TypeError, "a block's name must be a str, not True of type bool"),
    (b"x", TypeError, "a block's name must be a str, not b'x' of type bytes"),
    (THING, TypeError, "a block's name must be a str, not <a thing> of type Thing"),
]


def ids(table: list[tuple[Any, type[Exception], str]]) -> list[str]:
    """How pytest shows the cases."""
    return [repr(given)[:30] for given, *_ in table]


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda p, track: p.track(track), id="track"),
        pytest.param(lambda p, track: p.block(track, "x"), id="block"),
        pytest.param(lambda p, track: p.set_track_enabled(track, True), id="set_track_enabled"),
        pytest.param(lambda p, track: p.is_track_enabled(track), id="is_track_enabled"),
    ],
)
@pytest.mark.parametrize(("given", "error", "message"), BAD_TRACKS, ids=ids(BAD_TRACKS))
def test_a_bad_track_is_refused(
    p: Profiler,
    use: Callable[[Profiler, Any], Any],
    given: Any,
    error: type[Exception],
    message: str,
) -> None:
    """Where it is given: at the decorator and at `block()`, not at the call and not at `with`."""
    with pytest.raises(error, match=f"{message}$"):
        use(p, given)


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda p, name: p.track(0, name), id="track"),
        pytest.param(lambda p, name: p.track("taken", name), id="track by name"),
        pytest.param(lambda p, name: p.block(0, name), id="block"),
        pytest.param(lambda p, name: p.block("taken", name), id="block by name"),
    ],
)
@pytest.mark.parametrize(("given", "error", "message"), BAD_NAMES, ids=ids(BAD_NAMES))
def test_a_bad_block_name_is_refused(
    p: Profiler,
    use: Callable[[Profiler, Any], Any],
    given: Any,
    error: type[Exception],
    message: str,
) -> None:
    """Where it is given."""
    with pytest.raises(error, match=f"{message}$"):
        use(p, given)


def test_a_block_without_a_name_is_refused(p: Profiler) -> None:
    """None is a name for `track` alone, where it stands for the function's own."""
    with pytest.raises(TypeError, match="a block's name must be a str, not None of type NoneType"):
        p.block(0, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((0,), {}), ((0, "x", 1), {}), ((0, "x"), {"nobody": 1})],
    ids=["none", "one", "three", "unknown"],
)
@pytest.mark.parametrize("method", ["block", "set_track_name", "set_track_enabled"])
def test_a_wrong_number_of_arguments_is_refused(
    p: Profiler, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """As by any function; the error names it."""
    with pytest.raises(TypeError, match=method):
        getattr(p, method)(*args, **kwargs)


def test_two_bad_arguments_are_refused_by_the_first(p: Profiler) -> None:
    """The track comes first."""
    with pytest.raises(ValueError, match="index must be 0 or more"):
        p.block(-1, "")


class Odd:
    """A class, which is callable and yet not to be tracked."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Odd, r"Odd is a class; decorate it with track_class, or track its methods"),
        (int, r"int is a class; decorate it with track_class, or track its methods"),
        (None, r"must be callable, not None of type NoneType"),
        (3, r"must be callable, not 3 of type int"),
        ("name", r"must be callable, not 'name' of type str"),
        (THING, r"must be callable, not <a thing> of type Thing"),
        (staticmethod(3), r"must be callable, not 3 of type int"),  # type: ignore[arg-type]
        (property(3), r"must be callable, not 3 of type int"),  # type: ignore[arg-type]
        (functools, r"functools is a module; give it to track_module instead"),
    ],
)
def test_what_cannot_be_tracked_is_refused_at_decoration(
    p: Profiler, given: Any, message: str
) -> None:
    """With what it is, and what could be done instead."""
    with pytest.raises(TypeError, match=message):
        p.track(0)(given)


@pytest.mark.parametrize("given", [1, 0, None, "yes", 1.0, THING])
@pytest.mark.parametrize("switch", ["track", "global"])
def test_a_switch_takes_true_and_false_only(p: Profiler, switch: str, given: Any) -> None:
    """What looks like one may be a mistake."""
    expected = f"a switch is True or False, not {given!r} of type {type(given).__name__}"
    set_enabled: Any = stichotrope.set_global_enabled
    if switch == "track":
        set_enabled = functools.partial(p.set_track_enabled, 0)
    with pytest.raises(TypeError, match=f"^{re.escape(expected)}$"):
        set_enabled(given)


@pytest.mark.parametrize(
    ("track", "name", "error", "message"),
    [
        ("taken", "x", TypeError, "renamed by its index .*, not by its name 'taken'"),
        (True, "x", TypeError, "not True of type bool"),
        (-1, "x", ValueError, "must be 0 or more, not -1"),
        (0, "", ValueError, "a track's name must not be empty"),
        (0, 3, TypeError, "a track's name must be a str, not 3 of type int"),
        (0, None, TypeError, "a track's name must be a str, not None of type NoneType"),
        (0, "taken", ValueError, "track 1 is called 'taken' already; names of tracks must differ"),
    ],
)
def test_a_bad_name_for_a_track_is_refused(
    p: Profiler, track: Any, name: Any, error: type[Exception], message: str
) -> None:
    """And no track is made for it."""
    with pytest.raises(error, match=message):
        p.set_track_name(track, name)


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"),
    [
        ((3,), {}, TypeError, "a profiler's name must be a str, not 3 of type int"),
        ((None,), {}, TypeError, "a profiler's name must be a str, not None of type NoneType"),
        (("",), {}, ValueError, "a profiler's name must not be empty"),
        (("x", 5), {}, TypeError, "positional argument"),
        (
            (),
            {"retain_threads": -1},
            ValueError,
            "retain_threads must lie between 0 and .*, not -1",
        ),
        ((), {"retain_threads": 10**9}, ValueError, "between 0 and 1,000,000, not 1000000000"),
        ((), {"retain_threads": True}, TypeError, "retain_threads must be an int, not True"),
        ((), {"retain_threads": 1.5}, TypeError, "retain_threads must be an int, not 1.5"),
        ((), {"max_nodes": 0}, ValueError, "max_nodes must lie between 1 and .*, not 0"),
        ((), {"max_nodes": 2**40}, ValueError, "max_nodes must lie between 1 and 16,777,216, not"),
        ((), {"max_nodes": "many"}, TypeError, "max_nodes must be an int, not 'many' of type str"),
    ],
)
def test_a_profiler_is_not_made_from_bad_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], error: type[Exception], message: str
) -> None:
    """And leaves nothing behind when it is refused."""
    with pytest.raises(error, match=message):
        Profiler(*args, **kwargs)


def test_a_profiler_whose_init_was_never_called_says_so() -> None:
    """Instead of crashing: a subclass may forget it."""

    class Forgetful(Profiler):
        def __init__(self) -> None:
            """Forget."""

    with pytest.raises((RuntimeError, AttributeError)):
        Forgetful().block(0, "x")
    with pytest.raises((RuntimeError, AttributeError)):
        Forgetful().get_results()


def test_a_profiler_is_made_once() -> None:
    """Calling `__init__` again is refused, and loses nothing of what was recorded."""
    p = Profiler("first")
    with p.block(0, "x"):
        pass
    with pytest.raises(RuntimeError, match="once"):
        p.__init__("again")  # type: ignore[misc]
    assert (p.name, hits(p)) == ("first", {"x": 1})


@pytest.mark.parametrize("given", ["1", 1.0, True, THING])
def test_a_thread_key_of_the_wrong_type_is_refused(p: Profiler, given: Any) -> None:
    """With what was given."""
    with pytest.raises(TypeError, match=f"by its key, an int, not {re.escape(repr(given))}"):
        p.get_results(thread=given)


def test_a_thread_key_that_nobody_has_is_refused(p: Profiler) -> None:
    """With those that there are."""
    (share,) = p.get_results().threads
    with pytest.raises(KeyError, match=rf"key 0 .*'robust'; keys: {share.key}\b"):
        p.get_results(thread=0)
    with pytest.raises(KeyError, match="keys: none"):
        Profiler("empty").get_results(thread=share.key)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda r: r.get_track(9), KeyError, "no track 9; the tracks are 0, 1"),
        (lambda r: r.get_track(None), KeyError, "no track None; the tracks are 0, 1"),
        (lambda r: r.get_track(0).get_block(7), IndexError, "no block 7; its blocks are 0"),
        (lambda r: r.tracks[0].blocks[0].percentile(101), ValueError, "between 0 and 100, not 101"),
        (lambda r: r.tracks[0].blocks[0].percentile(-1), ValueError, "between 0 and 100, not -1"),
        (lambda r: r.tracks[0].blocks[0].percentile(math.nan), ValueError, "100, not nan"),
        (lambda r: r.tracks[0].blocks[0].percentile("50"), TypeError, "to 100, not '50'"),
        (lambda r: r.tracks[0].blocks[0].percentile(True), TypeError, "to 100, not True"),
        (lambda r: r.merge(3), TypeError, "with other ProfilerResults, not with int"),
    ],
)
def test_a_question_that_has_no_answer_is_refused(
    p: Profiler, ask: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    """With what could be asked for."""
    with pytest.raises(error, match=message):
        ask(p.get_results())


# Targets


exports = pytest.mark.parametrize("export", ["export_csv", "export_json"])


@exports
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (3, TypeError, "a path must be a str or a pathlib.Path, not 3"),
        (None, TypeError, "a path must be a str or a pathlib.Path, not None"),
        (b"x", TypeError, "a path must be a str or a pathlib.Path, not b'x'"),
        (THING, TypeError, "a path must be a str or a pathlib.Path, not <a thing>"),
        ("", ValueError, "non-empty"),
        ("a\0b", ValueError, "null character"),
    ],
    ids=["int", "None", "bytes", "thing", "empty", "null"],
)
def test_what_is_no_path_is_refused(
    p: Profiler, export: str, given: Any, error: type[Exception], message: str
) -> None:
    """Before anything is written; in particular an int is not taken for a file descriptor."""
    with pytest.raises(error, match=message):
        getattr(p, export)(given)


@exports
def test_a_directory_is_no_target(p: Profiler, export: str, tmp_path: Path) -> None:
    """The error names it; it is as it was."""
    with pytest.raises(OSError, match=re.escape(str(tmp_path))) as met:
        getattr(p, export)(tmp_path)
    assert met.value.filename == str(tmp_path)
    assert os.listdir(tmp_path) == []


@exports
def test_a_target_in_a_missing_directory_is_refused(
    p: Profiler, export: str, tmp_path: Path
) -> None:
    """The error names the target; no directory is made."""
    target = tmp_path / "missing" / "results"
    with pytest.raises(FileNotFoundError, match="missing") as met:
        getattr(p, export)(target)
    assert (met.value.filename, os.listdir(tmp_path)) == (str(target), [])


@exports
def test_a_target_below_a_file_is_refused(p: Profiler, export: str, tmp_path: Path) -> None:
    """A file is no directory, and stays what it is."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        getattr(p, export)(tmp_path / "file" / "results")
    assert (tmp_path / "file").read_text() == "mine"


@exports
@pytest.mark.skipif(not PERMISSIONS_BIND, reason="one may write anywhere")
def test_a_directory_without_permission_is_refused(
    p: Profiler, export: str, tmp_path: Path
) -> None:
    """What stands there stays."""
    target = tmp_path / "results"
    target.write_text("older")
    with locked(tmp_path), pytest.raises(PermissionError):
        getattr(p, export)(target)
    assert (os.listdir(tmp_path), target.read_text()) == (["results"], "older")


@exports
def test_a_disk_that_is_full_leaves_the_older_file(
    p: Profiler, export: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half-written is left, neither at the target nor beside it."""
    target = tmp_path / "results"
    target.write_text("older")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="results") as met:
        getattr(p, export)(target)
    assert (met.value.errno, met.value.filename) == (errno.ENOSPC, str(target))
    assert (os.listdir(tmp_path), target.read_text()) == (["results"], "older")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@exports
def test_a_device_that_is_full_is_reported(p: Profiler, export: str) -> None:
    """As an error, not as a success."""
    with pytest.raises(OSError, match="/dev/full") as met:
        getattr(p, export)("/dev/full")
    assert met.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("indent", "error", "message"),
    [
        (-1, ValueError, "indent must be 0 or more, not -1"),
        ("  ", TypeError, "a number of spaces or None, not '  '"),
        (True, TypeError, "a number of spaces or None, not True"),
        (1.5, TypeError, "a number of spaces or None, not 1.5"),
    ],
)
def test_a_bad_indent_is_refused(
    p: Profiler, tmp_path: Path, indent: Any, error: type[Exception], message: str
) -> None:
    """Before anything is written."""
    with pytest.raises(error, match=message):
        p.export_json(tmp_path / "x.json", indent=indent)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"file": 3}, TypeError, "file must be a text stream, not 3"),
        ({"sort": "fastest"}, ValueError, "sort must be one of total, .*, not 'fastest'"),
        ({"limit": 0}, ValueError, "limit .*0"),
        ({"limit": "all"}, TypeError, "limit .*'all'"),
        ({"width": 3}, ValueError, "width .*3"),
        ({"color": 1}, TypeError, "color must be True, False or None, not 1"),
        ({"nobody": 1}, TypeError, "nobody"),
    ],
)
def test_bad_options_of_the_report_are_refused(
    p: Profiler,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    """Before anything is printed."""
    with pytest.raises(error, match=message):
        p.print_results(**options)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("given", [None, 3, "results", Profiler, THING])
@pytest.mark.parametrize("function", ["export_csv", "export_json", "print_results"])
def test_what_has_no_results_is_refused(function: str, given: Any, tmp_path: Path) -> None:
    """The class in place of an object included."""
    arguments = [] if function == "print_results" else [tmp_path / "x"]
    with pytest.raises(TypeError, match=f"not {re.escape(repr(given))}"):
        getattr(stichotrope, function)(given, *arguments)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("given", ["1", None, True, THING])
def test_what_is_no_duration_is_refused(given: Any) -> None:
    """With what was given."""
    with pytest.raises(TypeError, match=f"nanoseconds, not {re.escape(repr(given))}"):
        stichotrope.format_time_ns(given)


# Odd, yet allowed


@pytest.mark.parametrize(
    "name",
    [
        "µ",
        "名前",
        "a,b",
        'a"b',
        "a\nb",
        "\t",
        "\0",
        "\ud800",
        " ",
        "x" * 10_000,
        "[red]",
        "\x1b[31m",
    ],
    ids=ascii,
)
def test_any_text_is_a_name_and_can_be_printed_and_exported(name: str, tmp_path: Path) -> None:
    """Control characters, markup, separators, and halves of surrogate pairs included."""
    p = Profiler(name)
    with p.block(name, name), p.block(0, "after"):
        pass
    p.export_csv(tmp_path / "x.csv")
    p.export_json(tmp_path / "x.json")
    with open(tmp_path / "report", "w", encoding="ascii", errors="strict") as stream:
        p.print_results(file=stream)
    loaded = stichotrope.ProfilerResults.load(tmp_path / "x.json")
    assert (loaded.profiler_name, hits(loaded)) == (name, {name: 1, "after": 1})
    assert sys.getsizeof((tmp_path / "report").read_text()) > 0
