"""The program from the command line, bare, instrumented and off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext

import pytest

pytest.importorskip("numpy")

from benchmarks.workloads import _marks
from benchmarks.workloads.smc.__main__ import main
from benchmarks.workloads.smc._tracks import marks
from conftest import WATCHDOG_SECONDS
from stichotrope import ProfilerResults
from workloads.conftest import ROOT

MODULE = "benchmarks.workloads.smc"
QUICK = (
    *("--controller", "classical", "--duration", "0.5", "--particles", "3", "--iterations", "2"),
    *("--workers", "2"),
)


def program(*arguments, module=("-m", MODULE), **environment):
    """Run it in a process of its own, with what is imported here on its path."""
    return subprocess.run(
        [sys.executable, *module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=WATCHDOG_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def facts():
    """What the same short run says in each mode."""
    found = {}
    for mode in _marks.MODES:
        done = program(*QUICK, "--json", "--profiling", mode)
        assert (done.returncode, done.stderr) == (0, "")
        found[mode] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("part", ["simulations", "tuned"])
def test_profiling_changes_nothing(facts, part):
    """All modes find the same, to the last bit."""
    bare, *others = (facts[mode][part] for mode in _marks.MODES)
    assert others == [bare] * 3
    assert len(bare) == (3 if part == "simulations" else 1)


def test_the_mode_is_said(facts):
    """Each run says how it was made."""
    assert [facts[mode]["profiling"] for mode in _marks.MODES] == list(_marks.MODES)


def test_an_instrumented_run_counts_every_pass(facts):
    """Of each function and block; a coarse one those that take long, the other two nothing."""
    steps = 3 * 50 + 9 * 100  # three simulations of 0.5 s, nine particles of 1 s
    assert all(not done["fell"] for done in facts["instrumented"]["simulations"])
    # step, four derivatives, compute_control and its law; simulate and create; fitness and cost;
    # generations and moves; tune; four registered, asked of once by the program and by the tuner
    expected = steps * 7 + 12 * 2 + 9 * 2 + 3 + 2 + 1 + 4 + 2
    coarse = 12 + 9 + 3 + 1  # simulations; fitness; generations; tune
    hits = {mode: facts[mode]["hits"] for mode in _marks.MODES}
    assert hits == {"bare": 0, "instrumented": expected, "coarse": coarse, "off": 0}


def test_a_bare_program_knows_no_profiler():
    """Not even the package is imported, and functions are what was written."""
    said = (
        "import sys; from benchmarks.workloads.smc import program, tuner, plant; "
        "print('stichotrope' in sys.modules, type(plant.Plant.derivative).__name__, "
        "type(tuner._FITNESS).__name__)"
    )
    done = program(module=("-c", said), **{_marks.VARIABLE: "bare"})
    assert (done.stdout.split(), done.stderr) == (["False", "function", "nullcontext"], "")


def test_the_environment_is_the_switch_too():
    """A mode that is none is refused with the ones that there are."""
    done = program("list", **{_marks.VARIABLE: "loud"})
    assert done.returncode != 0
    assert (
        "STICHOTROPE_WORKLOAD is 'loud'; it must be one of bare, instrumented, coarse, off"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("mode", "unmarked", "hits"),
    [("bare", 4, 0), ("instrumented", 0, 4), ("coarse", 2, 2), ("off", 0, 0)],
)
def test_marks_follow_the_switch(mode, unmarked, hits, monkeypatch):
    """Bare marks give functions back, coarse ones those that are short; others record or pass through."""
    monkeypatch.setenv(_marks.VARIABLE, mode)
    made = _marks.Marks("marks", ("first", "second"))

    def function():
        return 1

    marked = [made.track(1, name, coarse=name == "long")(function) for name in ("short", "long")]
    blocks = [made.block(0, name, coarse=name == "long") for name in ("short", "long")]
    with blocks[0], blocks[1]:
        assert [one() for one in marked] == [1, 1]
    left = [*(one is function for one in marked), *(type(b) is nullcontext for b in blocks)]
    assert sum(left) == unmarked
    assert (made.profiler is None) is (mode == "bare")
    if made.profiler is not None:
        found = made.profiler.get_results()
        assert [track.track_name for track in found.tracks.values()] == ["first", "second"]
        assert found.total_hits == hits


def test_help_names_every_command():
    """On its own, without a profiler or a display."""
    done = program("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "run,simulate,tune,list" in done.stdout.replace("\n", "").replace(" ", "")


def test_progress_is_shown_to_who_looks():
    """On a terminal, on standard error; --quiet hides it."""
    quick = (*QUICK, "simulate")
    shown = program(*quick, FORCE_COLOR="1", COLUMNS="80")
    assert "simulating classical" in shown.stderr
    assert "simulating" not in shown.stdout
    assert program(*quick, "--quiet", FORCE_COLOR="1").stderr == ""


def test_results_are_said_in_words(capsys):
    """One line for each simulation and each tuned controller, and one for all."""
    assert main([*QUICK]) == 0
    *simulated, tuned, whole = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in simulated] == [
        f"classical       from start {i}" for i in range(3)
    ]
    assert all("after 0.5 s, at most" in line for line in simulated)
    assert "classical       tuned, 9 simulations: cost" in tuned
    assert f", {marks.mode}, " in whole


def test_a_fall_is_said(capsys):
    """In the place of where it ended."""
    assert (
        main(["simulate", "--controller", "classical", "--gain", "K=0.1", "--gain", "kd=0.1"]) == 0
    )
    assert capsys.readouterr().out.count("‖x‖") == 3
    weak = ["simulate", "--controller", "classical", "--dt", "0.25", "--duration", "20"]
    assert main(weak) == 0
    assert "fell after" in capsys.readouterr().out


def test_a_single_command_does_its_part_only(capsys):
    """Simulations without a swarm, a swarm without simulations."""
    for command, counts in (("simulate", (3, 0)), ("tune", (0, 1))):
        assert main([command, *QUICK, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert (len(said["simulations"]), len(said["tuned"])) == counts


def test_list_names_kinds_laws_and_gains(capsys):
    """As the factory knows them."""
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert "classical: u = u_eq − K sat(σ/ε) − kd σ\n    K 10, kd 5, epsilon 0.1\n" in said


def test_the_profile_is_printed_and_saved_on_request(tmp_path, capsys):
    """The report follows the results, and the file loads."""
    if marks.profiler is None:
        pytest.skip("the program is bare")
    path = tmp_path / "profile.json"
    assert main(["simulate", *QUICK, "--report", "--save", str(path)]) == 0
    assert "compute_control" in capsys.readouterr().out
    names = [track.track_name for track in ProfilerResults.load(path).tracks.values()]
    assert names == ["simulation", "control", "dynamics", "tuner", "factory"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--controller", "pid"), "no controller is called 'pid'; there are classical, "),
        (("simulate", "--gain", "K7=1"), "classical has no gain 'K7'"),
        (("simulate", "--dt", "0"), "the step is 0.0 s; it must be positive and finite"),
        (("tune", "--particles", "0"), "particles is 0; it must be 1 or more"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(arguments, sentence, capsys):
    """And the status is 2."""
    assert main([*arguments, "--quiet"]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


def test_a_gain_needs_a_number(capsys):
    """What is expected is said."""
    with pytest.raises(SystemExit) as ended:
        main(["--gain", "K=many"])
    assert ended.value.code == 2
    assert "--gain K=many: NAME=VALUE with a number is expected" in capsys.readouterr().err
