"""The program from the command line, its traces, and what is measured of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("cachetools")

from benchmarks import _store
from benchmarks._run import MET, NOT_MET
from benchmarks.workloads import _marks
from benchmarks.workloads.prompts import _child, measure, trace
from benchmarks.workloads.prompts.__main__ import main
from benchmarks.workloads.prompts._tracks import marks
from benchmarks.workloads.prompts.generate import PromptGenerator, Way
from benchmarks.workloads.prompts.state import STATES
from benchmarks.workloads.prompts.tree import make_tree
from conftest import WATCHDOG_SECONDS
from stichotrope import ProfilerResults
from workloads.conftest import ROOT
from workloads.test_prompts_state import FEATURE, write

MODULE = "benchmarks.workloads.prompts"
SMALL = ("--plans", "7", "--workers", "2")


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
def root(tmp_path_factory):
    """A small tree."""
    made = tmp_path_factory.mktemp("small") / "plans"
    make_tree(made, 7)
    return made


@pytest.fixture(scope="module")
def facts():
    """What the same short trace says in each mode."""
    found = {}
    for mode in _marks.MODES:
        done = program("trace", "--plans", "7", "--requests", "60", "--json", "--profiling", mode)
        assert (done.returncode, done.stderr) == (0, "")
        found[mode] = json.loads(done.stdout)
    return found


def without_times(facts):
    """All that does not depend on how fast it went."""
    caches = {
        name: {key: value for key, value in cache.items() if key != "computing_ns"}
        for name, cache in facts["caches"].items()
    }
    left_out = ("prompts_ns", "profiling", "hits", "caches")
    return {**{key: value for key, value in facts.items() if key not in left_out}, "caches": caches}


def test_profiling_changes_nothing(facts):
    """All modes count the same."""
    bare, *others = (without_times(facts[mode]) for mode in _marks.MODES)
    assert others == [bare] * 3
    assert sum(bare["prompts"].values()) == 60


def test_only_an_instrumented_run_records(facts):
    """And each says how it was made; a trace has no marks of the coarse level."""
    assert [facts[mode]["profiling"] for mode in _marks.MODES] == list(_marks.MODES)
    assert [facts[mode]["hits"] for mode in ("bare", "coarse", "off")] == [0, 0, 0]
    assert facts["instrumented"]["hits"] > 60 * 10


def test_the_coarse_level_of_a_run_is_the_whole_of_its_prompts():
    """Once with empty caches, and once again."""
    done = program(*SMALL, "--json", "--profiling", "coarse")
    assert (json.loads(done.stdout)["hits"], done.stderr) == (2, "")


def test_a_bare_program_knows_no_profiler():
    """Not even the package is imported, and functions are what was written."""
    said = (
        "import sys; from benchmarks.workloads.prompts import program, documents, generate; "
        "print('stichotrope' in sys.modules, type(documents.parse_plan).__name__, "
        "type(generate.PromptGenerator.generate).__name__)"
    )
    done = program(module=("-c", said), **{_marks.VARIABLE: "bare"})
    assert (done.stdout.split(), done.stderr) == (["False", "function", "function"], "")


def test_a_single_prompt_imports_no_more_than_it_needs(root):
    """It is over before a display would be there."""
    said = (
        "import sys; from benchmarks.workloads.prompts.__main__ import main; main(sys.argv[1:]); "
        "sys.exit(' '.join({'rich', 'numpy', 'tempfile', 'concurrent.futures'} & {*sys.modules}))"
    )
    feature = next(root.iterdir()).name
    done = program("prompt", "--tree", str(root), "--feature", feature, module=("-c", said))
    assert done.stderr.strip() == ""
    assert done.stdout.startswith(f"# {feature}: ")


def test_help_names_every_command_and_the_defaults():
    """On its own, without a profiler or a display."""
    done = program("--help")
    assert (done.returncode, done.stderr) == (0, "")
    squeezed = done.stdout.replace("\n", "").replace(" ", "")
    assert "run,prompt,list,tree,trace" in squeezed
    assert "howmanyaremade;default:40" in squeezed
    assert "ofatrace;default:3000" in squeezed


def test_progress_is_shown_to_who_looks():
    """On a terminal, on standard error; --quiet hides it."""
    shown = program(*SMALL, FORCE_COLOR="1", COLUMNS="80")
    assert "14/14" in shown.stderr
    assert "14/14" not in shown.stdout
    assert program(*SMALL, "--quiet", FORCE_COLOR="1").stderr == ""


def test_a_prompt_is_printed(root, capsys):
    """Its text alone, or all of it as JSON."""
    feature = next(root.iterdir()).name
    expected = PromptGenerator(root).generate(feature)
    arguments = ["prompt", "--tree", str(root), "--feature", feature]
    assert main(arguments) == 0
    assert capsys.readouterr().out == expected.text
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {key: said[key] for key in expected._fields} == expected._asdict()


def test_plans_are_listed_with_their_states(root, tmp_path, capsys):
    """As they are found, and those that cannot be used with the reason."""
    assert main(["list", "--tree", str(root), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["plans"]
    generator = PromptGenerator(root)
    assert listed == [list(generator.generate(name)[:3]) for name in generator.features()]
    home = write(tmp_path)
    (home / f"PLAN_{FEATURE}.md").write_text("# Empty\n")
    write(tmp_path, feature="GOOD")
    assert main(["list", "--tree", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.split()[:2] == [FEATURE, "refused"]
    assert "has no line such as" in first
    assert second.split() == ["GOOD", "no_subplan", "1.1"]


def test_a_tree_is_made(tmp_path, capsys):
    """And what was made is said."""
    root = tmp_path / "plans"
    assert main(["tree", "--tree", str(root), "--plans", "7", "--seed", "3", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["plans"]
    assert [name for name, *_ in said] == PromptGenerator(root).features()
    assert len({state for _, state, _ in said}) == 7


@pytest.mark.parametrize("workers", ["0", "3"])
@pytest.mark.parametrize("slower", [(), ("--resolve-each-time", "--match-each-line")])
def test_a_run_makes_each_prompt_cold_and_warm(workers, slower, capsys):
    """With any number of threads, in either way."""
    assert main(["--plans", "7", "--workers", workers, "--json", *slower]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["prompts"] == {**dict.fromkeys(STATES, 2), "refused": 0}
    assert all(cache["hits"] == cache["misses"] > 0 for cache in said["caches"].values())
    assert {*said["elapsed_s"]} == {"cold", "warm"}


def test_a_run_on_a_given_tree_leaves_it_as_it_is(root, capsys):
    """One plan of it, if that is wanted; one that is not there is refused and counted."""
    before = sorted(root.rglob("*"))
    for feature in (next(root.iterdir()).name, "NOT-THERE"):
        assert main(["--tree", str(root), "--feature", feature, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert sum(said["prompts"].values()) == 2
        assert said["prompts"]["refused"] == (2 if feature == "NOT-THERE" else 0)
    assert sorted(root.rglob("*")) == before


def test_results_are_said_in_words(capsys):
    """Outcomes, caches, times."""
    assert main([*SMALL]) == 0
    said = capsys.readouterr().out
    assert "plans: 7 hits, 7 misses, 0 joined, 7 of 50 kept\n" in said
    assert "hit rate 50.0%\n" in said
    assert "ms a prompt with empty caches" in said
    assert f"\n{marks.mode}, " in said
    assert main(["trace", "--plans", "7", "--requests", "50"]) == 0
    assert "prompts from caches alone, in 0." in capsys.readouterr().out


def test_the_profile_is_printed_and_saved_on_request(tmp_path, capsys):
    """The report follows the results, and the file loads."""
    if marks.profiler is None:
        pytest.skip("the program is bare")
    path = tmp_path / "profile.json"
    assert main([*SMALL, "--report", "--save", str(path)]) == 0
    assert "plans: miss" in capsys.readouterr().out
    names = [track.track_name for track in ProfilerResults.load(path).tracks.values()]
    assert names == ["parse", "state", "generate", "cache"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("list", "--tree", "/not/there"), "/not/there is no directory; a tree of plans was"),
        (("--plans", "0"), "0 plans were asked for; it must be 1 to 10000"),
        (("--workers", "-1"), "workers is -1; it must be 0 or more"),
        (("trace", "--tree", "."), "a trace changes its tree, and makes one of its own"),
        (("trace", "--plans", "7", "--requests", "0"), "0 requests for 7 plans, 0.1 of them"),
        (("tree", "--tree", str(ROOT)), "is there already, and a tree of plans is made only"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(arguments, sentence, capsys):
    """And the status is 2."""
    assert main([*arguments, "--quiet"]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(("list",), "list needs --tree"), (("prompt", "--tree", "."), "prompt needs --feature")],
)
def test_what_a_command_needs_is_asked_for(arguments, sentence, capsys):
    """With how to give it."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


# Traces


def test_a_trace_comes_from_its_seed():
    """Sorted by time, all plans and some changes in it."""
    features = [f"P{i}" for i in range(10)]
    first, again = (trace.make_trace(features, 2_000, 7) for _ in range(2))
    assert first == again != trace.make_trace(features, 2_000, 8)
    assert len(first) == 2_000
    assert first == sorted(first, key=lambda request: request.at_s)
    assert {request.feature for request in first} == {*features}
    assert 0.05 < sum(request.edits for request in first) / 2_000 < 0.15


def test_a_trace_has_as_many_changes_as_are_asked_for():
    """None, or one before each request but the first of a visit."""
    assert not any(request.edits for request in trace.make_trace(["A"], 500, 1, 0.0))
    all_edited = trace.make_trace(["A", "B"], 500, 1, 1.0)
    assert 0.85 < sum(request.edits for request in all_edited) / 500 < 1


def test_a_trace_is_played_alike_each_time_and_sees_each_change(tmp_path, monkeypatch):
    """Hits and misses are a matter of the seed; each prompt is what a new generator would make."""
    played = []
    for name in ("a", "b"):
        made = make_tree(tmp_path / name, 7)
        requests = trace.make_trace([plan.feature for plan in made], 150, 1)
        if name == "b":
            generate = PromptGenerator.generate

            def compared(self, feature, generate=generate):
                prompt = generate(self, feature)
                assert generate(PromptGenerator(self.root), feature) == prompt
                return prompt

            monkeypatch.setattr(PromptGenerator, "generate", compared)
        played.append(trace.play(tmp_path / name, requests, 1))
    counts = [
        (some.whole_hits, some.edits, [cache[:5] for cache in some.statistics.caches.values()])
        for some in played
    ]
    assert counts[0] == counts[1]
    assert played[0].edits > 5
    assert 0 < played[0].whole_hits < 150
    assert len(played[0].elapsed_ns) == 150
    assert played[0].statistics.hit_rate > 0.5


# What is measured


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run as small as it may be, as it was stored, and what was printed."""
    path = tmp_path_factory.mktemp("measured") / "run.json"
    shrink = (
        "import sys; from benchmarks import __main__; from benchmarks._run import Scale; "
        "from benchmarks.workloads import _overhead; "
        "from benchmarks.workloads.prompts import _sizes, measure; "
        "_sizes.PLANS = 7; "
        "measure.SIZES[Scale.QUICK] = (2, 40, 1, 1); _overhead.SIZES[Scale.QUICK] = (1, 1); "
        "measure.TRACES = {name: (7, *some[1:]) for name, some in measure.TRACES.items()}; "
        "sys.exit(__main__.main(sys.argv[1:]))"
    )
    arguments = ("--quick", "--only", "prompts", "--output", str(path))
    done = program(*arguments, module=("-c", shrink))
    assert done.returncode == 0, done.stderr
    return _store.load(path), done.stdout


def test_a_measured_run_is_stored_with_its_raw_values(stored):
    """And with the machine and the package."""
    run, _ = stored
    found = run["subjects"]["prompts"]
    assert run["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {*run["package"]} >= {"version", "clock", "python_files_match_tree"}
    assert {mode: len(some) for mode, some in found["one_shot"]["elapsed_ns"].items()} == {
        "bare": 2,
        "instrumented": 2,
    }
    assert [len(played["elapsed_ns"]) for played in found["traces"].values()] == [40] * 6
    assert {*found["overhead"][0]["ns_a_prompt"]} == {
        f"{mode}, {caches}" for mode in _marks.MODES for caches in ("cold", "warm")
    }
    assert {*found["ways"][0]["ns_a_prompt"]} == {
        f"{way}, {caches}" for way in measure.WAYS for caches in ("cold", "warm")
    }


def test_the_coarse_level_recorded_each_sweep(stored):
    """One with empty caches a round, and as many warm ones as are timed, after one that fills them."""
    (child,) = stored[0]["subjects"]["prompts"]["overhead"]
    (block,) = child["coarse"]
    assert (block["track"], block["name"]) == ("generate", "all prompts")
    assert block["hits"] == 1 + 1 + _child.WARM_SWEEPS


def test_a_measured_run_counts_what_the_profile_counts(stored):
    """In each process, with many threads too."""
    found = stored[0]["subjects"]["prompts"]
    for child in (*found["traces"].values(), found["threads"]):
        assert all(own == profiled for own, profiled in child["counts"].values())
        assert all(0 < own <= profiled for own, profiled in child["durations_ns"].values())
    assert found["threads"]["counts"]["refused"] == [16, 16]


def test_a_measured_run_is_printed(stored):
    """A line of a table for each limit and each figure, and no name stands for two."""
    run, said = stored
    found = run["subjects"]["prompts"]
    rows = [*measure.limits(found), *measure.figures(found)]
    assert [row.name for row in rows if f"\n| {row.name} |" not in said] == []
    assert len({row.name for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("samples", "q", "expected"),
    [([5.0], 99, 5.0), ([3.0, 1.0, 2.0, 4.0], 50, 2.0), ([*range(1, 101)], 99, 99), ([1, 2], 0, 1)],
)
def test_a_percentile_is_a_sample(samples, q, expected):
    """The smallest that so many do not exceed."""
    assert measure.percentile(samples, q) == expected


COARSE = [
    {"track": "generate", "name": "all prompts", "hits": 2, "total_ns": 3_000_000, "self_ns": 0}
]


def made_up(**more):
    """A stored run with figures that are easy to see through."""
    cache = {"hits": 90, "misses": 8, "joined": 2}
    counts = {"prompt": (10, 10)}
    profile = [
        {"name": "fill a", "self_ns": 30, "total_ns": 30},
        {"name": "fill b", "self_ns": 30, "total_ns": 30},
        {"name": "resolve", "self_ns": 40, "total_ns": 40},
        {"name": "prompt", "self_ns": 0, "total_ns": 50_000},
    ]
    played = {
        "elapsed_ns": [1_000_000] * 10,
        "whole_hits": 9,
        "caches": {"plans": cache, "documents": cache},
        "counts": counts,
        "durations_ns": {"prompt": (200, 201)},
        "profile": profile,
    }
    ways = {}
    for number, way in enumerate(measure.WAYS, 1):
        ways.update({f"{way}, cold": [1000.0 * number] * 3, f"{way}, warm": [300.0] * 3})
    modes = {"bare": 100.0, "instrumented": 104.0, "coarse": 102.0, "off": 101.0}
    taken = {f"{mode}, {c}": [ns] * 3 for mode, ns in modes.items() for c in ("cold", "warm")}
    return {
        "one_shot": {"elapsed_ns": {"bare": [2e8] * 9, "instrumented": [4e9] * 9}},
        "traces": {name: dict(played) for name in measure.TRACES},
        "threads": {"counts": counts},
        "ways": [{"ns_a_prompt": ways}] * 2,
        "overhead": [{"ns_a_prompt": taken, "coarse": COARSE}] * 2,
        **more,
    }


def row(found, begins):
    """The limit or figure whose name begins so."""
    rows = [
        row
        for row in [*measure.limits(found), *measure.figures(found)]
        if row.name.startswith(begins)
    ]
    assert len(rows) == 1
    return rows[0]


def test_verdicts_follow_from_the_stored_values():
    """Each limit can be met and missed."""
    found = made_up()
    assert row(found, "p50 / p99 in under 3 s, one-shot process, bare").verdict() == MET
    assert row(found, "p50 / p99 in under 3 s, one-shot process, instr").verdict() == NOT_MET
    assert row(found, "p50 / p99 in under 3 s, long-lived").verdict() == MET
    ratio = row(found, "warm ÷ cold, whole")
    assert ([round(value, 9) for value in ratio.samples], ratio.verdict()) == ([0.1, 0.1], MET)
    assert row(found, "warm ÷ cold, as first").samples == [0.3, 0.3]
    overhead = row(found, "overhead of all marks, warm")
    assert (overhead.interval()[0], overhead.verdict()) == (pytest.approx(4.0), MET)
    assert row(found, "overhead of marks of 1 ms and more, cold").verdict() == NOT_MET
    assert row(found, "overhead of marks that are off, cold").interval()[0] == pytest.approx(1.0)
    level = row(found, "prompts: marks of 1 ms and more")
    assert (level.seen, level.verdict()) == ("all prompts 1.5 ms", MET)


def test_a_run_from_before_there_was_a_coarse_level_is_read():
    """It has no such figures, and all others."""
    slow = {
        f"{mode}, {c}": [ns]
        for mode, ns in (("bare", 100), ("instrumented", 106), ("off", 1))
        for c in ("cold", "warm")
    }
    old = made_up(overhead=[{"ns_a_prompt": slow}])
    assert row(old, "overhead of all marks, cold").verdict() == NOT_MET
    rows = [*measure.limits(old), *measure.figures(old)]
    assert not any("1 ms and more" in row.name for row in rows)


def test_hit_rates_are_held_to_the_limit_each():
    """All caches, each cache, and whole prompts."""
    found = made_up()
    seen = row(found, f"hit rates above 80 %, {measure.MAIN}")
    assert seen.seen == "all 90.0 %, plans 90.0 %, documents 90.0 %, whole prompts 90.0 %"
    assert seen.verdict() == MET
    found["traces"][measure.MAIN]["whole_hits"] = 8
    assert row(found, f"hit rates above 80 %, {measure.MAIN}").verdict() == NOT_MET


def test_one_count_that_differs_is_enough():
    """To say that the accounts do not agree."""
    found = made_up()
    fact = row(found, "the profile counts")
    assert (fact.seen, fact.verdict()) == ("7 of 7 counts equal, 70 in all", MET)
    found["threads"] = {"counts": {"prompt": (10, 9)}}
    assert row(found, "the profile counts").verdict() == NOT_MET


def test_durations_are_compared():
    """What the profile says, by what the program's own timer does."""
    assert row(made_up(), "profile ÷ own timer, prompt").samples == [1.005]


def test_bottlenecks_are_the_blocks_with_most_time_of_their_own():
    """Fillings of all states count as one."""
    played = made_up()["traces"][measure.MAIN]
    assert measure.bottlenecks(played) == [("fill", 0.6), ("resolve", 0.4), ("prompt", 0.0)]
    first = row(made_up(), "own time of fill, as first written")
    assert (first.samples, first.unit) == ([60.0], "%")
    assert row(made_up(), "a prompt of a trace, as first").samples == [5.0]


def test_ways_are_all_but_the_best_slower_ones():
    """The best is what a generator does unless told otherwise."""
    assert [Way(**way) for way in measure.WAYS.values()] == [
        Way(False, False),
        Way(True, False),
        Way(),
    ]
