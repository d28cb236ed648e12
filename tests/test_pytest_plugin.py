"""The pytest plugin: what it reports, saves and compares, and that it is quiet until it is asked."""

from __future__ import annotations

import gc
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from weakref import WeakSet

import pytest

# Imported here, so that it is not the property of the first run of pytest inside these tests.
import stichotrope.integrations.pytest as plugin
from stichotrope import Profiler, ProfilerResults, export_json
from stichotrope.profiler import profilers

# A run of pytest inside a test takes away what it has imported: other tests would get a second copy of parts of rich.
for module in ("console", "live", "progress", "style", "table", "text"):
    import_module(f"rich.{module}")

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.integration

SETTINGS = Path(__file__).parents[1] / "pyproject.toml"

TESTS = """
    import pytest
    from stichotrope import Profiler

    p = Profiler("shop")

    @p.track("work", "add up")
    def work(number):
        return sum(range(number))

    @pytest.mark.parametrize("number", [1, 2])
    def test_one(number):
        assert work(number) == number - 1

    def test_own(stichotrope):
        for _ in range(40):
            with stichotrope.block("inner", "piece"):
                work(10)
"""


class Runs:
    """Runs pytest on its own tests, with this plugin, and no others unless they are named."""

    plugin: tuple[str, ...] = ("-p", "stichotrope.integrations.pytest")

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeini("[pytest]\nfilterwarnings = error")

    def __call__(self, *arguments: str, source: str = TESTS) -> pytest.RunResult:
        """Run in this process."""
        self.pytester.makepyfile(test_it=source)
        try:
            return self.pytester.runpytest_inprocess(*self._options(*arguments))
        finally:
            for name in ("last_type", "last_value", "last_traceback", "last_exc"):
                vars(sys).pop(name, None)
            gc.collect()  # the modules of the run, with their profilers

    def apart(self, *arguments: str, source: str = TESTS) -> pytest.RunResult:
        """Run in a process of its own."""
        self.pytester.makepyfile(test_it=source)
        return self.pytester.runpytest_subprocess(*self._options(*arguments))

    def _options(self, *arguments: str) -> list[str]:
        return [*self.plugin, "-p", "no:cacheprovider", *arguments]


class MadeFromNowOn:
    """Profilers, but for those of this process's other tests, which a run of pytest would report as its own."""

    def __init__(self) -> None:
        self._before = WeakSet(profilers())

    def __call__(self) -> list[Profiler]:
        """As `profilers` returns them."""
        return [profiler for profiler in profilers() if profiler not in self._before]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Pytest, on tests in a folder of its own, without the settings of the machine."""
    for name in list(os.environ):
        if name.startswith("STICHOTROPE_") and not name.startswith("STICHOTROPE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STICHOTROPE_CONFIG", os.devnull)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(plugin, "profilers", MadeFromNowOn())
    return Runs(pytester)


def section(result: pytest.RunResult) -> str:
    """What the plugin reported."""
    text = result.stdout.str()
    return text.partition("= stichotrope =")[2]


def rows(text: str) -> dict[str, int]:
    """The names of the blocks in a report, and their hits."""
    return {name: int(hits) for name, hits in re.findall(r"^(\S.*?)  +(\d+)  ", text, re.MULTILINE)}


def saved(path: str = "new.json") -> dict[str, dict[str, int]]:
    """Track → block → hits, of saved results."""
    return {
        track.track_name: {block.name: block.hit_count for block in track.blocks}
        for track in ProfilerResults.load(path).tracks.values()
    }


# Quiet until it is asked


def test_without_an_option_nothing_changes(run: Runs) -> None:
    """The output is that of pytest without the plugin, but for the time it took."""
    source = "def test_fine(): pass\ndef test_bad(): assert 0"

    def told(result: pytest.RunResult) -> list[str]:
        lines = [line for line in result.outlines if not line.startswith("plugins: ")]
        return [re.sub(r"in \d+\.\d+s", "in …", line) for line in lines]

    with_plugin = run.apart(source=source)
    run.plugin = ()
    without = run.apart(source=source)
    assert with_plugin.ret == without.ret == pytest.ExitCode.TESTS_FAILED
    assert told(with_plugin) == told(without)


def test_without_an_option_nothing_heavy_is_imported(run: Runs) -> None:
    """Only the package itself, which imports little, and no profiler is made."""
    source = """
        import sys
        def test_modules():
            from stichotrope import profiler
            assert not profiler._PROFILER_REGISTRY
            ours = {name for name in sys.modules if name.startswith("stichotrope.")}
            heavy = {"config.settings", "config.file", "integrations.ipython", "statistics", "cli"}
            heavy |= {"instrumentation.patterns", "_default", "store.gather"}
            assert ours & {f"stichotrope.{name}" for name in heavy} == set()
            assert {"rich", "IPython", "numpy", "scipy"} & set(sys.modules) == set()
    """
    run.apart(source=source).assert_outcomes(passed=1)


def test_the_entry_point_can_be_switched_off() -> None:
    """The plugin is called stichotrope, so `-p no:stichotrope` is what switches it off."""
    text = SETTINGS.read_text(encoding="utf-8")
    points = re.search(r"^\[project\.entry-points\.pytest11\]\n(.*)\n", text, re.MULTILINE)
    assert points is not None
    assert points[1] == 'stichotrope = "stichotrope.integrations.pytest"'


def test_the_fixture_is_there_without_an_option(run: Runs) -> None:
    """It is a profiler called after the test, and is reported nowhere."""
    source = """
        def test_fixture(stichotrope):
            assert stichotrope.name == "test_it.py::test_fixture"
            with stichotrope.block(0, "x"):
                pass
            assert stichotrope.get_results().total_hits == 1
    """
    result = run(source=source)
    result.assert_outcomes(passed=1)
    assert section(result) == ""


# The report


def test_a_marked_fixture_is_a_fixture(run: Runs) -> None:
    """With the mark above its decorator or below it; one of a class, and one that nobody asks for, too."""
    source = """
        import pytest
        from stichotrope import Profiler

        p = Profiler("fixtures")
        given = []

        @p.track(0)
        @pytest.fixture
        def above():
            yield 1

        @pytest.fixture
        @p.track(0)
        def below(above):
            return above + 1

        @p.track(0)
        @pytest.fixture(autouse=True)
        def always(above):
            given.append(above)

        class TestIt:
            @p.track(0)
            @pytest.fixture
            def inside(self, below):
                return below + 1

            def test_it(self, inside):
                assert (inside, given) == (3, [1])
                blocks = p.get_results().tracks[0].blocks
                assert [(each.name, each.hit_count, each.open_count) for each in blocks] == [
                    ("above", 0, 1), ("below", 1, 0), ("always", 1, 0), ("inside", 1, 0)
                ]
    """
    result = run(source=source)
    result.assert_outcomes(passed=1)


def test_tests_and_tracked_blocks_are_reported(run: Runs) -> None:
    """Each test as a block of the track "tests", the program's own profilers, and the fixture's."""
    result = run("--stichotrope")
    result.assert_outcomes(passed=3)
    text = section(result)
    assert rows(text) == {
        "test_it.py::test_one[1]": 1,
        "test_it.py::test_one[2]": 1,
        "test_it.py::test_own": 1,
        "add up": 42,
        "piece": 40,
    }
    heads = [
        line for line in text.splitlines() if line in ("pytest", "shop", "test_it.py::test_own")
    ]
    assert heads == ["pytest", "shop", "test_it.py::test_own"]
    assert re.search(r"^Track 0  tests ", text, re.MULTILINE)


def test_a_profiler_of_the_same_name_stays_apart(run: Runs) -> None:
    """Its tracks are its own, also where they have the same numbers and names."""
    source = """
        from stichotrope import Profiler
        p = Profiler("pytest")
        def test_it():
            with p.block("tests", "mine"):
                pass
    """
    result = run("--stichotrope-output=new.json", source=source)
    assert section(result).count("Track 0  tests ") == 2
    assert saved() == {"tests": {"test_it.py::test_it": 1}, "tests (pytest)": {"mine": 1}}


def test_what_a_test_does_is_inside_its_block(run: Runs) -> None:
    """And the block is at the test's own place; its fixtures are not in it, nor it in theirs."""
    source = """
        import pytest
        from stichotrope.profiler import _PROFILER_REGISTRY

        @pytest.fixture
        def inside():
            (p,) = (p for p in _PROFILER_REGISTRY.values() if p.name == "pytest")
            with p.block("fixtures", "set up"):
                yield p

        def test_it(inside):
            with inside.block("work", "within"):
                pass
            raise ValueError
    """
    result = run("--stichotrope-output", "new.json", source=source)
    result.assert_outcomes(failed=1)
    tree = [(node.name, depth) for node, depth in ProfilerResults.load("new.json").tree.walk()]
    expected = [("set up", 1), ("test_it.py::test_it", 1), ("within", 2)]
    assert tree[1:] == expected
    (track,) = (
        t for t in ProfilerResults.load("new.json").tracks.values() if t.track_name == "tests"
    )
    assert (track.blocks[0].file, track.blocks[0].line) == ("test_it.py", 10)


def test_the_report_is_sorted_and_cut_as_it_is_told(run: Runs) -> None:
    """By options, or else by the settings; otherwise it shows 20 blocks of each track."""
    source = """
        import pytest

        @pytest.mark.parametrize("number", range(25))
        def test_one(number): pass
    """
    names = [f"test_it.py::test_one[{number}]" for number in range(25)]
    result = run("--stichotrope", source=source)
    assert len(rows(section(result))) == 20
    assert "… and 5 more blocks" in section(result)
    result = run("--stichotrope-sort=name", "--stichotrope-limit=3", source=source)
    assert list(rows(section(result))) == sorted(names)[:3]
    Path("stichotrope.toml").write_text('sort = "name"\nlimit = 4\n')
    os.environ["STICHOTROPE_CONFIG"] = "stichotrope.toml"
    assert list(rows(section(run("--stichotrope", source=source)))) == sorted(names)[:4]


def test_functions_are_tracked_without_marks(run: Runs) -> None:
    """By patterns from the command line and the settings; what fits nothing is said."""
    run.pytester.makepyfile(shop="def price(n): return n\nclass Order:\n    def add(self): pass\n")
    source = """
        from shop import Order, price
        def test_it():
            price(1), price(2), Order().add()
    """
    Path("stichotrope.toml").write_text('targets = ["shop:Order.*"]\n')
    os.environ["STICHOTROPE_CONFIG"] = "stichotrope.toml"
    options = ("--stichotrope-target=shop:price", "--stichotrope-target=shop:prize")
    result = run(*options, source=source)
    text = section(result)
    assert rows(text) == {"test_it.py::test_it": 1, "price": 2, "Order.add": 1}
    assert "stichotrope: 'shop:prize' matched nothing: no such function in shop; did you " in text


def test_a_run_that_records_nothing_says_so(run: Runs) -> None:
    """As one that only collects; and its exit status is pytest's own."""
    result = run("--stichotrope", "--collect-only", "--stichotrope-output=new.json")
    assert result.ret == pytest.ExitCode.OK
    assert "nothing was recorded" in section(result)
    assert not Path("new.json").exists()
    empty = run("--stichotrope", "-k", "nothing")
    assert empty.ret == pytest.ExitCode.NO_TESTS_COLLECTED


# Saved and compared


def test_the_results_are_saved(run: Runs) -> None:
    """All profilers in one file, each with its own tracks."""
    result = run("--stichotrope-output=new.json")
    assert f"results saved in {os.path.abspath('new.json')}" in section(result)
    assert saved() == {
        "tests": {
            "test_it.py::test_one[1]": 1,
            "test_it.py::test_one[2]": 1,
            "test_it.py::test_own": 1,
        },
        "work": {"add up": 42},
        "inner": {"piece": 40},
    }


def scaled(path: str, by: float) -> None:
    """Make saved results those of a program whose blocks took more time, or less."""
    document = ProfilerResults.load("new.json").to_dict()

    def change(tracks: list[dict[str, object]]) -> None:
        for track in tracks:
            for block in track["blocks"]:  # type: ignore[attr-defined]
                block["sum_time_ns"] = int(block["sum_time_ns"] * by)
                block["sum_squares_ns2"] = int(block["sum_squares_ns2"] * by * by)

    change(document["tracks"])
    export_json(ProfilerResults.from_dict(document), path)


# By the injected clock, so that its durations are the same in each run.
STEADY = """
    from stichotrope import Profiler, _core

    _core.use_clock("manual")
    _core.set_manual_ticks(0)
    p = Profiler("shop")

    def test_it():
        now = 0
        for number in range(60):
            with p.block("work", "steady"):
                now += 20_000 + number % 3
                _core.set_manual_ticks(now)
"""


def stepping(run: Runs, path: str, step: int) -> None:
    """Save what the same program records when its passes take so many ns."""
    source = STEADY.replace("20_000", str(step))
    assert run.apart(f"--stichotrope-output={path}", source=source).ret == 0


def test_a_slower_block_fails_the_run(run: Runs) -> None:
    """Where the comparison shows more than what was allowed; each condition is judged by itself."""
    stepping(run, "fast.json", 2_000)
    options = ("--stichotrope-compare=fast.json", "--stichotrope-fail-on=slower>50%")
    result = run(*options, source=STEADY)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = section(result)
    assert "compared with fast.json: 1 slower, 1 too little data" in text
    assert re.search(
        r"^slower  work: steady  .* → .*  \+\d+\.\d % \(\+.* % … \+.* %\)$", text, re.M
    )
    assert "stichotrope: failed: --stichotrope-fail-on slower>50%: steady" in text
    both = run(*options, "--stichotrope-fail-on=unclear,faster", source=STEADY)
    failures = re.findall(r"failed: --stichotrope-fail-on (.*)", section(both))
    assert failures == ["slower>50%: steady", "unclear: test_it.py::test_it"]


def test_what_is_not_forbidden_does_not_fail_the_run(run: Runs) -> None:
    """A faster block is shown; without a condition, nothing fails."""
    stepping(run, "slow.json", 200_000)
    stepping(run, "fast.json", 2_000)
    result = run(
        "--stichotrope-compare=slow.json", "--stichotrope-fail-on=slower>5%", source=STEADY
    )
    assert result.ret == pytest.ExitCode.OK
    assert re.search(r"^faster  work: steady ", section(result), re.MULTILINE)
    assert run("--stichotrope-compare=fast.json", source=STEADY).ret == pytest.ExitCode.OK


def test_several_earlier_runs_judge_the_tests_durations(run: Runs) -> None:
    """Each test runs once, so one earlier run is too little; three tell how far it varies."""
    run("--stichotrope-output=new.json", source=STEADY)
    for number in range(3):
        scaled(f"old{number}.json", 0.01 + number / 10_000)
    options = [f"--stichotrope-compare=old{number}.json" for number in range(3)]
    result = run(*options, "--stichotrope-fail-on=slower>50%", source=STEADY)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    failed = re.search(r"failed: --stichotrope-fail-on slower>50%: (.*)", section(result))
    assert failed is not None
    assert set(failed[1].split(", ")) == {"steady", "test_it.py::test_it"}
    assert "one earlier run tells nothing" not in section(result)


def test_a_baseline_may_be_replaced_by_the_new_results(run: Runs) -> None:
    """It is read before it is written."""
    stepping(run, "new.json", 2_000)
    options = ("--stichotrope-compare=new.json", "--stichotrope-output=new.json")
    result = run(*options, "--stichotrope-fail-on=slower", source=STEADY)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert run(*options, "--stichotrope-fail-on=slower>90%", source=STEADY).ret == 0


def test_results_that_cannot_be_compared_fail_the_run(run: Runs) -> None:
    """A gate that cannot judge must not let everything through."""
    run("--stichotrope-output=new.json", source="def test_other(): pass")
    result = run("--stichotrope-compare=new.json", source=STEADY)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "stichotrope: failed: there is nothing to compare: old and new" in section(result)


def test_failing_tests_keep_their_exit_status(run: Runs) -> None:
    """The gate adds a failure, and hides none."""
    run("--stichotrope-output=new.json")
    result = run("--stichotrope-compare=new.json", "--stichotrope-fail-on=new", "-x", "--co")
    assert result.ret == pytest.ExitCode.OK
    broken = run("--stichotrope-compare=new.json", "--stichotrope-fail-on=new", source="nonsense(")
    assert broken.ret == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--stichotrope-fail-on=slower"],
            "--stichotrope-fail-on needs --stichotrope-compare, and a file to compare with",
        ),
        (["--stichotrope-compare=none.json"], "none.json: No such file or directory"),
        (["--stichotrope-compare=bad.json"], "bad.json"),
        (["--stichotrope-output=none/x.json"], "there is no directory .*none to save the results"),
        (
            ["--stichotrope-compare=good.json", "--stichotrope-fail-on=slow>5%"],
            "'slow>5%' is no condition: a condition is slower or faster",
        ),
        (["--stichotrope-target=shop.py"], "'shop.py' names a file, not a module"),
        (["--stichotrope-sort=size"], "sort must be one of total, self, .*, not 'size'"),
        (["--stichotrope-limit=0"], "limit must be a whole number of 1 or more, not 0"),
        (["--stichotrope-limit=x"], "--stichotrope-limit: invalid int value: 'x'"),
    ],
)
def test_a_mistake_is_told_before_the_tests_run(
    run: Runs, options: list[str], message: str
) -> None:
    """In one sentence, with pytest's exit status for it."""
    Path("bad.json").write_text("{}")
    export_json(ProfilerResults("x"), "good.json")
    result = run(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert re.search(f"^ERROR: .*{message}|error: .*{message}", result.stderr.str(), re.MULTILINE)
    assert "passed" not in result.stdout.str()


def test_a_mistake_in_the_settings_is_told(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """With where it stands; and only when the plugin is used."""
    monkeypatch.setenv("STICHOTROPE_LIMIT", "many")
    assert run().ret == pytest.ExitCode.OK
    result = run("--stichotrope")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: stichotrope: the variable STICHOTROPE_LIMIT must be" in result.stderr.str()


# Several processes


def test_what_workers_recorded_is_put_together(run: Runs) -> None:
    """With pytest-xdist, each test is in the report of the whole, and in its file."""
    result = run.apart("-p", "xdist", "-n", "2", "--dist", "each", "--stichotrope-output=new.json")
    result.assert_outcomes(passed=6)
    assert rows(section(result)) == {
        "test_it.py::test_one[1]": 2,
        "test_it.py::test_one[2]": 2,
        "test_it.py::test_own": 2,
        "add up": 84,
        "piece": 80,
    }
    assert saved()["work"] == {"add up": 84}
    assert len(ProfilerResults.load("new.json").processes) == 2


def test_a_worker_that_dies_is_told(run: Runs) -> None:
    """What the others recorded is reported."""
    source = """
        import os
        def test_a(): pass
        def test_b(): os._exit(3)
    """
    result = run.apart(
        "-p", "xdist", "-n1", "--stichotrope", "--max-worker-restart=1", source=source
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "stichotrope: worker gw0 ended early: what it recorded is missing" in section(result)
