"""Settings: who has the last word, what is refused and how, and what they do to a profiler."""

from __future__ import annotations

import os
import pickle
import re
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from conftest import hits, run_program
from stichotrope import Profiler, _core, config
from stichotrope._text.columns import SORTS
from stichotrope.config import ConfigError, Settings, TrackSettings
from stichotrope.config import clock as clocks

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "config"


def loaded(
    text: str | None = None, environ: dict[str, str] | None = None, **programmatic: Any
) -> Settings:
    """Settings of a file in the working directory, an environment and arguments, and no others."""
    path = Path("stichotrope.toml")
    path.write_text(text or "", encoding="utf-8")
    return config.load(path, environ or {}, **programmatic)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own, without settings in the environment."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.startswith("STICHOTROPE_") and not name.startswith("STICHOTROPE_TEST_"):
            monkeypatch.delenv(name)
    return folder


# Who has the last word


def test_without_anything_there_are_the_defaults() -> None:
    """And nothing says that somebody gave them."""
    settings = config.load(os.devnull, {})
    assert settings.to_dict() == {
        "enabled": True,
        "name": None,
        "tracks": {},
        "clock": None,
        "cpu": False,
        "targets": [],
        "output": None,
        "format": "table",
        "sort": "total",
        "limit": None,
        "report_at_exit": False,
        "store": None,
        "store_limit_bytes": None,
        "gather": None,
        "gather_period_s": 1.0,
        "gather_anew": False,
        "retain_threads": None,
        "max_nodes": None,
        "max_blocks": None,
        "timeline": None,
        "dump_to": None,
        "dump_signal": "SIGUSR2",
    }
    assert dict(settings.origins) == {}
    assert settings.source == os.path.abspath(os.devnull)


@pytest.mark.parametrize(
    ("file", "variable", "argument", "expected", "origin"),
    [
        (None, None, None, "total", None),
        ("self", None, None, "self", "stichotrope.toml"),
        ("self", "hits", None, "hits", "STICHOTROPE_SORT"),
        ("self", "hits", "mean", "mean", "argument"),
        ("self", None, "mean", "mean", "argument"),
        (None, "hits", "mean", "mean", "argument"),
        (None, "", None, "total", None),
    ],
)
def test_arguments_count_more_than_the_environment_and_that_more_than_the_file(
    file: str | None,
    variable: str | None,
    argument: str | None,
    expected: str,
    origin: str | None,
) -> None:
    """An empty variable, and an argument that is None, are as good as none; each knows its origin."""
    settings = loaded(
        f'sort = "{file}"' if file else "",
        {} if variable is None else {"STICHOTROPE_SORT": variable},
        sort=argument,
    )
    assert settings.sort == expected
    origins = {key: os.path.basename(value) for key, value in settings.origins.items()}
    assert origins == ({} if origin is None else {"sort": origin})


def test_of_tracks_each_part_has_its_own_last_word() -> None:
    """A switch from the environment leaves the name from the file."""
    text = '[tracks]\n0 = "parsing"\n1 = {name = "database", enabled = false}\n2 = "I/O"\n'
    environ = {"STICHOTROPE_TRACKS": "0=off, 1=on,misc=off,3=three,3=off"}
    settings = loaded(text, environ, tracks={2: False, "late": TrackSettings(enabled=False)})
    assert dict(settings.tracks) == {
        0: TrackSettings("parsing", False),
        1: TrackSettings("database", True),
        2: TrackSettings("I/O", False),
        "misc": TrackSettings(None, False),
        3: TrackSettings("three", False),
        "late": TrackSettings(None, False),
    }


@pytest.mark.parametrize(
    ("text", "environ", "enabled"),
    [
        ('0 = "database"\ndatabase = false', "", False),
        ('0 = {name = "database", enabled = false}', "database=on", True),
        ("database = false", "0=database", False),
        ("database = false", "0=database,0=on", True),
    ],
)
def test_a_track_may_be_switched_by_its_name(text: str, environ: str, enabled: bool) -> None:
    """What is said by the name of a track that has an index is said of that track."""
    settings = loaded(f"[tracks]\n{text}", {"STICHOTROPE_TRACKS": environ})
    assert dict(settings.tracks) == {0: TrackSettings("database", enabled)}


def test_every_setting_can_come_from_a_file_the_environment_and_an_argument(
    in_an_empty_folder: Path,
) -> None:
    """With the same result, whoever gives it."""
    text = (
        'enabled = false\nname = "shop"\nclock = "monotonic"\ncpu = true\n'
        'targets = ["a:b", "c.*"]\n'
        'output = "out.json"\nformat = "tree"\nsort = "name"\nlimit = 3\nreport_at_exit = true\n'
        'gather = "kept"\ngather_period_s = 2\ngather_anew = true\nretain_threads = 0\nmax_nodes = 16\n'
        '[tracks]\n1 = "x"\n'
    )
    environ = {
        "STICHOTROPE_ENABLED": "no",
        "STICHOTROPE_NAME": "shop",
        "STICHOTROPE_CLOCK": "monotonic",
        "STICHOTROPE_CPU": "on",
        "STICHOTROPE_TARGETS": "a:b, c.*,",
        "STICHOTROPE_OUTPUT": "out.json",
        "STICHOTROPE_FORMAT": "tree",
        "STICHOTROPE_SORT": "name",
        "STICHOTROPE_LIMIT": "3",
        "STICHOTROPE_REPORT": "1",
        "STICHOTROPE_GATHER": "kept",
        "STICHOTROPE_GATHER_PERIOD_S": "2",
        "STICHOTROPE_GATHER_ANEW": "true",
        "STICHOTROPE_RETAIN_THREADS": "0",
        "STICHOTROPE_MAX_NODES": "16",
        "STICHOTROPE_TRACKS": "1=x",
    }
    programmatic: dict[str, Any] = {
        "enabled": False,
        "name": "shop",
        "clock": "monotonic",
        "cpu": True,
        "targets": ("a:b", "c.*"),
        "output": Path("out.json"),
        "format": "tree",
        "sort": "name",
        "limit": 3,
        "report_at_exit": True,
        "gather": "kept",
        "gather_period_s": 2.0,
        "gather_anew": True,
        "retain_threads": 0,
        "max_nodes": 16,
        "tracks": {1: "x"},
    }
    from_file, from_environ, from_arguments = (
        loaded(text),
        loaded("", environ),
        loaded(**programmatic),
    )
    assert from_file.to_dict() == from_environ.to_dict() == from_arguments.to_dict()
    assert from_file.output == str(in_an_empty_folder / "out.json")
    for settings in (from_file, from_environ, from_arguments):
        assert set(settings.origins) == set(programmatic)
        assert all(getattr(settings, key) != getattr(loaded(), key) for key in programmatic)


def test_settings_are_frozen() -> None:
    """They can be compared and printed, and not changed."""
    settings = loaded("limit = 3")
    assert settings == loaded("limit = 3") != loaded("limit = 4")
    assert repr(settings) == "<Settings limit=3>"
    assert repr(config.load(os.devnull, {})) == "<Settings by default>"
    track = TrackSettings("x", False)
    assert pickle.loads(pickle.dumps(track)) == track
    assert {track: 1}[TrackSettings("x", False)] == 1
    for thing, name in ((settings, "limit"), (track, "enabled")):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(thing, name, 1)
        with pytest.raises(AttributeError, match="frozen"):
            delattr(thing, name)
    with pytest.raises(TypeError):
        settings.tracks[3] = track  # type: ignore[index]


# The file


def test_the_nearest_file_counts_alone(in_an_empty_folder: Path) -> None:
    """It is looked for upwards; in one folder, the file of one's own goes first."""
    inner = in_an_empty_folder / "a" / "b"
    inner.mkdir(parents=True)
    assert config.find(inner) is None
    shared = in_an_empty_folder / "pyproject.toml"
    shared.write_text("[tool.stichotrope]\nlimit = 1\nsort = 'self'\n")
    assert config.find(inner) == str(shared)
    own = in_an_empty_folder / "stichotrope.toml"
    own.write_text("limit = 2\n")
    assert config.find(inner) == str(own)
    nearer = in_an_empty_folder / "a" / "pyproject.toml"
    nearer.write_text("[tool.other]\nname = 'uses stichotrope'\n")
    assert config.find(inner) == str(own), "a pyproject.toml without the table is passed over"
    nearer.write_text("[tool.stichotrope]\nlimit = 3\n")
    os.chdir(inner)
    settings = config.load(environ={})
    assert (settings.limit, settings.sort, settings.source) == (3, "total", str(nearer))


def test_a_pyproject_that_is_about_something_else_is_not_parsed(in_an_empty_folder: Path) -> None:
    """So its mistakes are not ours; one that has the table is parsed, and its mistakes are said."""
    shared = in_an_empty_folder / "pyproject.toml"
    shared.write_text("[tool.other\n")
    assert config.find(in_an_empty_folder) is None
    shared.write_text("[tool.stichotrope]\nlimit = \n")
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(shared))} is no valid TOML: .*line 2"):
        config.find(in_an_empty_folder)


def test_a_removed_working_directory_has_no_file(tmp_path: Path) -> None:
    """Nothing can be above it."""
    program = (
        "import os, tempfile; from stichotrope import config\n"
        "d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d); print(config.load().source)"
    )
    if sys.platform == "win32":
        pytest.skip("Windows keeps the working directory of a process")
    assert run_program(program).stdout == "None\n"


def test_a_file_may_be_named(in_an_empty_folder: Path) -> None:
    """By the argument, or else by the environment; its paths start in its own folder."""
    (in_an_empty_folder / "stichotrope.toml").write_text("limit = 1")
    other = in_an_empty_folder / "etc"
    other.mkdir()
    (other / "a.toml").write_text('limit = 2\noutput = "out/x.json"\ngather = "/kept"')
    (other / "b.toml").write_text("limit = 3")
    environ = {"STICHOTROPE_CONFIG": str(other / "a.toml")}
    settings = config.load(None, environ)
    assert (settings.limit, settings.output) == (2, str(other / "out" / "x.json"))
    assert settings.gather == os.path.abspath("/kept")
    assert config.load(other / "b.toml", environ).limit == 3
    assert config.load(environ={"STICHOTROPE_CONFIG": ""}).limit == 1
    assert config.load(environ={"STICHOTROPE_CONFIG": os.devnull}).limit is None


def test_a_file_with_a_byte_order_mark_is_read(in_an_empty_folder: Path) -> None:
    """Some editors write one."""
    path = in_an_empty_folder / "x.toml"
    path.write_bytes(b"\xef\xbb\xbflimit = 4")
    assert config.load(path, {}).limit == 4


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.toml", None, r"the settings in {} cannot be read: No such file"),
        ("bad.toml", b"limit 3", r"{} is no valid TOML: Expected '=' .*line 1, column 7"),
        ("latin.toml", b"name = '\xe9'", r"{} is no valid TOML: 'utf-8' codec can't decode"),
        ("pyproject.toml", b"[tool.other]", r"{} has no table \[tool.stichotrope\]"),
        (
            "pyproject.toml",
            b"[tool]\nstichotrope = 3",
            r"{}: tool.stichotrope must be a table, not 3 of type int",
        ),
    ],
)
def test_a_named_file_must_hold_settings(
    in_an_empty_folder: Path, name: str, content: bytes | None, message: str
) -> None:
    """A file that is not there, or holds something else, is an error with its path."""
    path = in_an_empty_folder / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message.format(re.escape(str(path)))):
        config.load(path, {})
    with pytest.raises(ConfigError, match=message.format(re.escape(str(path)))):
        config.load(environ={"STICHOTROPE_CONFIG": str(path)})


def test_a_path_of_another_kind_is_refused() -> None:
    """With a sentence."""
    with pytest.raises(ConfigError, match=r"the path of the settings is wrong: .*not int"):
        config.load(3, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("example", sorted(EXAMPLES.iterdir()), ids=lambda path: path.stem)
def test_the_examples_are_right(example: Path) -> None:
    """Each example file is loaded, and each of its lines says something."""
    settings = config.load(example, {})
    assert settings.source == str(example)
    assert len(settings.origins) >= 1


def test_the_examples_say_what_they_are_for() -> None:
    """The four of them, each by what it is there to show."""
    development, production, selected, tuning = (
        config.load(EXAMPLES / f"{name}.toml", {})
        for name in ("development", "production", "selected_tracks", "tuning")
    )
    assert sorted(path.stem for path in EXAMPLES.iterdir()) == [
        *("development", "production", "selected_tracks", "tuning")
    ]
    assert development.targets == ("shop.orders:*", "shop.storage:Storage.*")
    assert development.report_at_exit
    assert (production.gather_period_s, production.max_nodes) == (30.0, 16384)
    assert production.gather == os.path.abspath("/var/tmp/shop-profile")
    on = {key: track.enabled for key, track in selected.tracks.items()}
    assert on == {0: True, 1: False, 2: False, "rendering": True, "file system": False}
    assert tuning.clock == "counter"
    assert tuning.output == str(EXAMPLES / "tuning.json")


# What is refused


FILE_MISTAKES = [
    ("enabld = true", "line 1: unknown setting 'enabld'; did you mean 'enabled'?"),
    ("\n\nLimit = 3", "line 3: unknown setting 'Limit'; did you mean 'limit'?"),
    (
        "[tracks]\n0 = 'x'\n[colour]\na = 1",
        "line 3: unknown setting 'colour'; it can be enabled, name, tracks, clock, cpu, targets, "
        "output, format, sort, limit, report_at_exit, store, store_limit_bytes, gather, gather_period_s, gather_anew, "
        "retain_threads, max_nodes, max_blocks, timeline, dump_to, dump_signal",
    ),
    ("enabled = 1", "line 1: enabled must be true or false, not 1 of type int"),
    ("name = ''", "line 1: name must be a text that is not empty, not '' of type str"),
    ("limit = 0", "line 1: limit must be a whole number of 1 or more, not 0 of type int"),
    ("limit = true", "line 1: limit must be a whole number of 1 or more, not True of type bool"),
    ("limit = 1.5", "line 1: limit must be a whole number of 1 or more, not 1.5 of type float"),
    (
        "max_nodes = 99999999",
        "line 1: max_nodes must be a whole number from 1 to 16,777,216, not 99999999 of type int",
    ),
    (
        "sort = 'tottal'",
        f"line 1: sort must be one of {', '.join(SORTS)}, not 'tottal' of type str",
    ),
    (
        "clock = 'tsc'",
        "line 1: clock must be one of counter, monotonic, not 'tsc' of type str",
    ),
    ("format = 3", "line 1: format must be one of table, tree, workers, not 3 of type int"),
    (
        "gather_period_s = 0",
        "line 1: gather_period_s must be a number of seconds, more than 0 and finite, "
        "not 0 of type int",
    ),
    (
        "gather_period_s = inf",
        "line 1: gather_period_s must be a number of seconds, more than 0 and finite, "
        "not inf of type float",
    ),
    (
        "gather_period_s = '3'",
        "line 1: gather_period_s must be a number of seconds, more than 0 and finite, "
        "not '3' of type str",
    ),
    (
        "# targets\ntargets = 'a:b'",
        "line 2: targets must be a list of texts that are not empty, not 'a:b' of type str",
    ),
    (
        "targets = ['a', '']",
        "line 1: targets must be a list of texts that are not empty, not ['a', ''] of type list",
    ),
    (
        "output = 3",
        "line 1: output must be a path (a text that is not empty, without null characters), "
        "not 3 of type int",
    ),
    ("tracks = 3", "line 1: tracks must be a table of tracks by index or name, not 3 of type int"),
    (
        "[tracks]\n'' = true",
        "line 1: tracks has a wrong key: a track's name must not be empty",
    ),
    (
        "[tracks]\n0 = 'x'\n1 = 3",
        "line 3: tracks.1 must be its name, true, false, or a table, not 3 of type int",
    ),
    (
        "[tracks]\nio = 'x'",
        "line 2: tracks.io must be true, false, or a table, not 'x' of type str",
    ),
    (
        "[tracks.1]\nname = 'x'\nenabled = 'no'",
        "line 3: tracks.1.enabled must be true or false, not 'no' of type str",
    ),
    (
        "tracks.1.enable = true",
        "line 1: tracks.1 has an unknown part 'enable'; did you mean 'enabled'?",
    ),
    (
        "[tracks]\nio = {name = 'x'}",
        "line 2: tracks.io has an unknown part 'name'; it can be enabled",
    ),
]


@pytest.mark.parametrize(("text", "message"), FILE_MISTAKES)
def test_a_mistake_in_a_file_is_said_with_its_line(text: str, message: str) -> None:
    """File, line, key, what was given, what is expected, and the nearest valid key."""
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert str(caught.value) == f"{os.path.abspath('stichotrope.toml')}, {message}"


def test_a_mistake_in_a_pyproject_is_said_with_its_line() -> None:
    """Counted in the whole file."""
    path = Path("pyproject.toml")
    path.write_text(
        '[project]\nname = "x"\nlimit = 3\n\n[tool.stichotrope]\nsort = "self"\nlimt = 3\n'
    )
    with pytest.raises(ConfigError) as caught:
        config.load(environ={})
    message = f"{path.absolute()}, line 7: unknown setting 'limt'; did you mean 'limit'?"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("ENABLED", "maybe", "must be one of 1, true, yes, on, 0, false, no, off, not 'maybe'"),
        ("LIMIT", "ten", "must be a whole number of 1 or more, not 'ten' of type str"),
        ("LIMIT", "-1", "must be a whole number of 1 or more, not -1 of type int"),
        ("SORT", "x", f"must be one of {', '.join(SORTS)}, not 'x' of type str"),
        (
            "GATHER_PERIOD_S",
            "soon",
            "must be a number of seconds, more than 0 and finite, not 'soon' of type str",
        ),
        (
            "TRACKS",
            "0=a,b",
            "must be INDEX=NAME, INDEX=on or NAME=off, separated by commas, not 'b'",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_said_with_its_variable(
    variable: str, text: str, message: str
) -> None:
    """Variable, what was given, and what is expected."""
    with pytest.raises(ConfigError) as caught:
        loaded("", {f"STICHOTROPE_{variable}": text})
    assert str(caught.value) == f"the variable STICHOTROPE_{variable} {message}"


def test_a_track_by_name_cannot_be_renamed_from_the_environment() -> None:
    """The error names the variable and the track."""
    with pytest.raises(
        ConfigError, match=r"^the variable STICHOTROPE_TRACKS: io must be true, false"
    ):
        loaded("", {"STICHOTROPE_TRACKS": "io=files"})


def test_an_unknown_variable_is_a_warning_with_the_nearest() -> None:
    """It may be meant for another version; those of the build and the tests are known."""
    known = ["TEST_TREE", "RUN_TARGETS", "COVERAGE", "DEBUG", "DIST", "SANITIZE"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded("", {f"STICHOTROPE_{name}": "1" for name in known} | {"OTHER": "1"})
    expected = (
        "^the environment has an unknown variable 'STICHOTROPE_LIMITS'; "
        "did you mean 'STICHOTROPE_LIMIT'\\?$"
    )
    with pytest.warns(UserWarning, match=expected) as caught:
        settings = config.load(os.devnull, {"STICHOTROPE_LIMITS": "3"})
    assert caught[0].filename == __file__
    assert settings.limit is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"enabld": True}, "unknown setting 'enabld'; did you mean 'enabled'?"),
        ({"limit": "3"}, "limit must be a whole number of 1 or more, not '3' of type str"),
        (
            {"tracks": {-1: "x"}},
            "tracks has a wrong key: a track's index must be 0 or more, not -1",
        ),
        (
            {"tracks": {"0": "x"}},
            "tracks.0 must be true, false, or a table, not 'x' of type str",
        ),
        (
            {"tracks": {0: "x", 1: "x"}},
            "tracks 0 and 1 are both called 'x' (argument); names of tracks must differ",
        ),
    ],
)
def test_a_mistake_in_an_argument_is_said(given: dict[str, Any], message: str) -> None:
    """As for files, without a place: the traceback tells that."""
    with pytest.raises(ConfigError) as caught:
        config.load(os.devnull, {}, **given)
    assert str(caught.value) == message


# What they do to a profiler


def test_a_profiler_is_made_as_the_settings_say() -> None:
    """Its name, tracks and limits."""
    settings = loaded('[tracks]\n0 = "parsing"\n3 = { name = "database", enabled = false }\n')
    p = Profiler.configured("shop", settings)
    assert (p.name, p.is_started()) == ("shop", True)
    for track in (0, "parsing", 3, "database"):
        with p.block(track, f"on {track}"):
            pass
    assert hits(p) == {"on 0": 1, "on parsing": 1, "on 3": 0, "on database": 0}
    assert [track.track_name for track in p.get_results().tracks.values()] == [
        *("parsing", "database")
    ]


def test_a_profiler_takes_its_name_from_the_settings() -> None:
    """Unless the program gives one; and there is a default."""
    assert Profiler.configured(settings=loaded('name = "shop"')).name == "shop"
    assert Profiler.configured("mine", loaded('name = "shop"')).name == "mine"
    assert Profiler.configured(settings=loaded()).name == Profiler().name


def test_a_profiler_that_is_off_can_be_started() -> None:
    """`enabled = false` is the state from the start, and no more."""
    p = Profiler.configured(settings=loaded("enabled = false"))
    block = p.block(0, "x")
    with block:
        pass
    p.start()
    with block:
        pass
    assert hits(p) == {"x": 1}


def test_a_track_that_is_off_by_name_takes_no_index_before_the_program_does() -> None:
    """Track 0 stays the program's own; the named one is off from its first pass, and can be put on."""
    p = Profiler.configured(settings=loaded("[tracks]\ndatabase = false\nqueue = false"))
    assert not p.is_track_enabled("database")
    assert p.is_track_enabled("other")
    for track in (0, "database", "other"):
        with p.block(track, f"on {track}"):
            pass
    assert hits(p) == {"on 0": 1, "on database": 0, "on other": 1}
    names = {idx: track.track_name for idx, track in p.get_results().tracks.items()}
    assert names == {0: "Track 0", 1: "database", 2: "other"}
    p.set_track_enabled("database", True)
    assert p.is_track_enabled("database")
    p.set_track_name(2, "queue")
    assert not p.is_track_enabled(2)


def test_the_limits_reach_the_profiler() -> None:
    """With a call tree of four nodes, further paths are recorded together."""
    p = Profiler.configured(settings=loaded("max_nodes = 4\nretain_threads = 0"))
    for number in range(10):
        with p.block(0, f"block {number}"):
            pass
    results = p.get_results()
    assert results.total_hits == 10
    assert "(other paths)" in [node.name for node, _ in results.tree.walk()]


def test_a_configured_profiler_gathers(in_an_empty_folder: Path) -> None:
    """In the directory of the settings."""
    p = Profiler.configured("shop", loaded('gather = "kept"\ngather_period_s = 1000'))
    with p.block(0, "x"):
        pass
    p.stop_gathering()
    (file,) = (in_an_empty_folder / "kept").iterdir()
    assert file.name.startswith("shop-")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no such signals")
def test_a_configured_profiler_writes_its_timeline_on_a_signal(
    in_an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the signal that is asked for; what keeps it from that is a warning that says what to do."""
    before = signal.getsignal(signal.SIGUSR1)
    text = 'timeline = 1000\ndump_to = "dumps"\ndump_signal = "SIGUSR1"'
    try:
        p = Profiler.configured("shop", loaded(text))
        assert signal.getsignal(signal.SIGUSR1) not in (before, signal.SIG_DFL)
        assert os.listdir(in_an_empty_folder / "dumps") == []
        assert p.timeline_size == 1024
        with pytest.warns(
            RuntimeWarning, match=r"dump_to \(.*toml\) asks: SIGUSR1 is taken already, b"
        ):
            Profiler.configured("other", loaded(text))
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.warns(RuntimeWarning, match="asks: .* keeps no timeline"):
        Profiler.configured("without", loaded('dump_to = "dumps"'))
    with pytest.raises(config.ConfigError, match="dump_signal must be one of SIGUSR2, "):
        loaded('dump_signal = "SIGKILL"')


def test_a_profiler_class_of_ones_own_can_be_configured() -> None:
    """The result is of that class."""

    class Own(Profiler):
        __slots__ = ()

    assert type(Own.configured(settings=loaded())) is Own


@pytest.mark.parametrize("settings", [{}, "stichotrope.toml", 3])
def test_settings_of_another_kind_are_refused(settings: Any) -> None:
    """A path is loaded first."""
    with pytest.raises(TypeError, match=r"settings must be what config\.load\(\) returned"):
        Profiler.configured("x", settings)


def test_the_clock_of_the_settings_is_used() -> None:
    """As long as nothing was timed with another one."""
    program = (
        "from stichotrope import Profiler, _core, config\n"
        "p = Profiler.configured(settings=config.load(clock='monotonic'))\n"
        "print(_core.clock_source(), p.get_results().metadata['clock']['source'])"
    )
    done = run_program(program, "-W", "error")
    assert (done.stdout, done.stderr) == ("monotonic monotonic\n", "")


def test_the_clock_stays_where_there_is_a_profiler() -> None:
    """With a warning: figures of two clocks cannot be told apart."""
    known = Profiler("timed with the injected clock")
    _core.use_clock("manual")
    with pytest.warns(RuntimeWarning, match="the clock stays 'manual', not 'monotonic' as arg"):
        Profiler.configured(settings=loaded(clock="monotonic"))
    assert _core.clock_source() == "manual"
    del known


def test_a_clock_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With where it was asked for."""

    def change(wanted: str) -> None:
        raise ValueError("this processor has no counter")

    monkeypatch.setattr(clocks, "change", change)
    expected = r"^clock \(.*stichotrope.toml\): this processor has no counter"
    with pytest.raises(ConfigError, match=expected):
        Profiler.configured(settings=loaded('clock = "counter"'))


def test_importing_reads_no_files() -> None:
    """A broken file does not matter to a program that asks for no settings."""
    Path("stichotrope.toml").write_text("broken")
    program = "import stichotrope; stichotrope.Profiler('x'); print('fine')"
    assert run_program(program).stdout == "fine\n"
