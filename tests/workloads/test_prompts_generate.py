"""The prompts: filled, about 160 lines long, right after each change, from many threads at once."""

from __future__ import annotations

import contextlib
import re
import shutil
import string
from collections import Counter

import pytest

pytest.importorskip("cachetools")

from benchmarks.workloads.prompts import accounts, caching, generate, templates
from benchmarks.workloads.prompts._tracks import TRACKS, marks
from benchmarks.workloads.prompts.documents import PlanError
from benchmarks.workloads.prompts.generate import LINES, OUTCOMES, PromptGenerator, Way
from benchmarks.workloads.prompts.state import STATES
from benchmarks.workloads.prompts.tree import make_tree
from workloads.test_prompts_state import FEATURE, place, plan_text, put, write

DONE = "Complete"
WAYS = [Way(paths, skim) for paths in (True, False) for skim in (True, False)]


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The usual tree, which no test changes."""
    root = tmp_path_factory.mktemp("usual") / "plans"
    return root, make_tree(root)


@pytest.fixture
def recorded():
    """What the program's own profiler has recorded since."""
    if marks.profiler is None or not marks.profiler.is_started():
        pytest.skip("the program is not instrumented")
    marks.profiler.clear()
    return marks.profiler.get_results


def counts(generator):
    """Hits, misses and waits of each cache."""
    return {name: cache[:3] for name, cache in generator.statistics().caches.items()}


# The text


def test_prompts_are_about_160_lines_long(usual):
    """In every state; small plans have less to be quoted."""
    root, made = usual
    generator = PromptGenerator(root)
    for state in STATES:
        features = [plan.feature for plan in made if plan.state == state]
        lengths = [generator.generate(feature).text.count("\n") for feature in features]
        assert all(0.8 * LINES <= length <= LINES for length in lengths)
        assert sorted(lengths)[len(lengths) // 2] >= 0.95 * LINES


def test_prompts_are_filled_whole(usual):
    """Each names its plan, state and next achievement, and no field is left open."""
    root, made = usual
    generator = PromptGenerator(root)
    for feature, state, number in made:
        prompt = generator.generate(feature)
        assert prompt[:3] == (feature, state, number)
        first, _, facts, *_ = prompt.text.split("\n")
        assert first.startswith(f"# {feature}: ")
        assert facts.startswith(f"> **State**: `{state}` · **next**: {number or 'nothing'}")
        assert not re.search(r"\{\w*\}", prompt.text)
        assert re.findall(r"^## (\d+)\.", prompt.text, re.MULTILINE) == [*map(str, range(1, 12))]
        assert prompt.text.endswith(".\n")
        assert max(map(len, prompt.text.split("\n"))) < 300


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_its_own_text(state):
    """A headline and ten steps."""
    steps = templates.STEPS[state]
    assert [line.partition(".")[0] for line in steps.split("\n") if line[:1].isdigit()] == [
        *map(str, range(1, 11))
    ]
    assert len({*templates.HEADLINES.values()}) == len(STATES) == len({*templates.STEPS.values()})


def test_templates_ask_for_nothing_that_is_not_given(usual):
    """And every fact is asked for somewhere."""
    generator = PromptGenerator(usual[0])
    feature = generator.features()[0]
    given = generate._facts(feature, *generator._look(feature))
    texts = (
        templates.HEAD,
        templates.TAIL,
        *templates.STEPS.values(),
        *templates.HEADLINES.values(),
    )
    asked = {field for text in texts for _, field, *_ in string.Formatter().parse(text) if field}
    assert asked == {*given}


def test_steps_name_the_files_to_be_written(tmp_path):
    """The next execution task is one after the last."""
    write(tmp_path, "subplan 11", ("task 11 08", DONE), ("task 11 09", DONE))
    text = PromptGenerator(tmp_path).generate(FEATURE).text
    assert "`plans/CACHE/execution/EXECUTION_TASK_CACHE_11_10.md`" in text
    assert "`plans/CACHE/subplans/SUBPLAN_CACHE_11.md`" in text


@pytest.mark.parametrize(
    ("files", "quoted"),
    [
        ((), "- **Next**: Achievement 1.1"),
        (("subplan 11",), "Of subplan 11."),
        (("subplan 11", ("task 11 01", DONE), "task 11 02", "task 11 03"), "Of task 11 02."),
        (("subplan 11", ("task 11 01", DONE), ("task 11 02", DONE)), "Of task 11 02."),
        (("subplan 11", "task 11 01", "fix 11"), "Of fix 11."),
    ],
    ids=["handoff", "subplan", "open task", "last task", "feedback"],
)
def test_the_file_that_matters_most_is_quoted(tmp_path, files, quoted):
    """In section 5, and no other is."""
    write(tmp_path, *files)
    text = PromptGenerator(tmp_path).generate(FEATURE).text
    section = text.partition("\n## 5. ")[2].partition("\n## 6. ")[0]
    assert f"> {quoted}\n" in section
    assert section.count("> Of ") == (1 if files else 0)


def test_what_is_left_out_is_said(tmp_path):
    """Long texts are cut, with where to find the rest; and what is missing is said to be."""
    write(tmp_path, numbers=("1.1",))
    path = tmp_path / FEATURE / f"PLAN_{FEATURE}.md"
    path.write_text(plan_text(numbers=("1.1",)).replace("Text.", "\n".join(["line"] * 60)))
    text = PromptGenerator(tmp_path).generate(FEATURE).text
    assert "> … and more in `plans/CACHE/PLAN_CACHE.md`\n" in text
    assert "## 2. The goal of the plan\n\n> (nothing)\n" in text


def test_what_plans_say_is_not_taken_for_a_template(tmp_path):
    """Braces and percent signs stay as they are."""
    home = write(tmp_path)
    path = home / f"PLAN_{FEATURE}.md"
    path.write_text(plan_text().replace("It is slow.", "{feature} {0} {} %s {{x}}"))
    assert "> {feature} {0} {} %s {{x}}\n" in PromptGenerator(tmp_path).generate(FEATURE).text


def test_the_achievements_around_the_next_are_listed(tmp_path):
    """Nine of them, as far as there are; of a complete plan all."""
    numbers = tuple(f"{i // 6}.{i % 6 + 1}" for i in range(20))
    for named, first in (("0.1", 0), ("0.5", 0), ("0.6", 1), ("2.2", 9), ("3.1", 11), ("3.2", 11)):
        write(tmp_path, numbers=numbers, handoff=f"**Next**: {named}")
        text = PromptGenerator(tmp_path).generate(FEATURE).text
        assert re.findall(r"^\| (\d\.\d) \|", text, re.MULTILINE) == [*numbers[first : first + 9]]
        assert f"| {named} | Title {named} | **next** |" in text
    write(tmp_path, numbers=numbers, status=DONE)
    text = PromptGenerator(tmp_path).generate(FEATURE).text
    assert re.findall(r"^\| (\d\.\d) \|", text, re.MULTILINE) == [*numbers]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_way_makes_the_same_prompts(usual, way):
    """With empty caches and with full ones."""
    root, made = usual
    usually, this_way = PromptGenerator(root), PromptGenerator(root, way=way)
    for plan in made:
        assert {this_way.generate(plan.feature) for _ in range(2)} == {
            usually.generate(plan.feature)
        }


# Changes, through the whole generator


def test_a_change_of_each_file_is_seen_at_once(tmp_path):
    """Edits, deletions and renames, of what is in the caches."""
    home = write(tmp_path, "subplan 11", "task 11 01", "fix 11", "approved 01")
    generator = PromptGenerator(tmp_path)

    def state():
        seen = {generator.generate(FEATURE)[1:3] for _ in range(2)}
        assert seen == {PromptGenerator(tmp_path).generate(FEATURE)[1:3]}
        return seen.pop()

    def complete(name):
        path = place(home, name)
        put(path, path.read_text().replace("In Progress", "Complete!!!"))  # as long as before

    plan = home / f"PLAN_{FEATURE}.md"
    assert state() == ("needs_fix", "1.1")
    place(home, "fix 11").unlink()
    assert state() == ("active_execution", "1.1")
    complete("task 11 01")
    assert state() == ("subplan_all_executed", "1.1")
    complete("subplan 11")
    assert state() == ("subplan_complete", "1.1")
    place(home, "task 11 01").rename(place(home, "task 12 01"))
    assert state() == ("subplan_complete", "1.1")
    place(home, "subplan 11").rename(place(home, "subplan 12"))
    assert state() == ("no_subplan", "1.1")
    put(plan, plan.read_text().replace("Next**: Achievement 1.1", "Next**: Achievement 1.2"))
    assert state() == ("subplan_complete", "1.2")
    place(home, "subplan 12").unlink()
    assert state() == ("no_subplan", "1.2")
    place(home, "approved 01").rename(place(home, "approved 12"))
    assert state() == ("no_subplan", "0.1")
    shutil.rmtree(home / "execution")
    assert state() == ("no_subplan", "1.2")
    put(plan, plan.read_text().replace("In Progress", "Complete"))
    assert state() == ("plan_complete", None)
    home.rename(tmp_path / "OTHER")
    with pytest.raises(PlanError):
        generator.generate(FEATURE)
    (tmp_path / "OTHER").rename(home)
    assert state() == ("plan_complete", None)


def test_a_warm_prompt_reads_nothing(usual, monkeypatch):
    """Neither files nor directories."""
    root, made = usual
    generator = PromptGenerator(root)
    cold = [generator.generate(plan.feature) for plan in made]
    before = counts(generator)
    monkeypatch.setattr(caching, "open", None, raising=False)
    monkeypatch.setattr(caching.os, "listdir", None)
    assert [generator.generate(plan.feature) for plan in made] == cold
    for name, (hits, misses, joined) in counts(generator).items():
        assert (hits, joined) == (before[name][0] + misses, 0)
        assert misses == before[name][1]


def test_clearing_makes_it_read_again(usual):
    """All of it."""
    root, made = usual
    generator = PromptGenerator(root)
    for _ in range(2):
        generator.generate(made[0].feature)
        generator.clear()
    assert [cache[0] for cache in counts(generator).values()] == [0, 0, 0]
    assert counts(generator)["plans"] == (0, 2, 0)


def test_limits_are_those_of_the_program():
    """50 plans and 100 listings."""
    assert (generate.PLANS, generate.LISTINGS) == (50, 100)


def test_a_large_tree_keeps_to_the_limits(tmp_path):
    """Whatever was asked for."""
    for i in range(60):
        write(tmp_path, "subplan 11", "task 11 01", "approved 01", feature=f"P{i}")
    generator = PromptGenerator(tmp_path)
    assert len(generator.features()) == 60
    for feature in generator.features():
        generator.generate(feature)
    kept = {name: cache.kept for name, cache in generator.statistics().caches.items()}
    assert kept == {"plans": 50, "documents": 120, "listings": 100}


def test_what_disappears_while_it_is_looked_at_is_looked_at_again(tmp_path, monkeypatch):
    """The listing had it, the file is gone: so the listing is out of date."""
    home = write(tmp_path, "subplan 11", "task 11 01", "task 11 02")
    generator = PromptGenerator(tmp_path)
    read = generator._documents.get

    def interfering(path):
        if path.endswith("_11_02.md"):
            place(home, "task 11 02").unlink(missing_ok=True)
        return read(path)

    monkeypatch.setattr(generator._documents, "get", interfering)
    text = generator.generate(FEATURE).text
    assert "EXECUTION_TASK_CACHE_11_01.md" in text
    assert "EXECUTION_TASK_CACHE_11_02.md" not in text


# Refusals


@pytest.mark.parametrize(
    "feature", ["", "../CACHE", "A/B", "a b", ".", "-A", "CACHE\n", None, 3, b"CACHE"], ids=repr
)
def test_what_is_no_name_is_refused(tmp_path, feature):
    """Before any file is looked at."""
    write(tmp_path)
    with pytest.raises(PlanError, match="a plan's name is of letters, digits, - and _"):
        PromptGenerator(tmp_path).generate(feature)


def test_a_plan_that_is_not_there_is_refused(tmp_path):
    """A directory alone is no plan."""
    (tmp_path / FEATURE).mkdir()
    with pytest.raises(PlanError, match=f"there is no plan {FEATURE}: .* is not there"):
        PromptGenerator(tmp_path).generate(FEATURE)
    assert PromptGenerator(tmp_path).features() == []


def test_a_tree_that_is_not_there_is_refused(tmp_path):
    """When the generator is made."""
    with pytest.raises(PlanError, match="is no directory; a tree of plans was expected there"):
        PromptGenerator(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["PLAN_CACHE.md", "subplan 11", "task 11 01"])
def test_what_cannot_be_read_is_named(tmp_path, name):
    """Such as a directory in a file's place."""
    home = write(tmp_path, "subplan 11", "task 11 01")
    path = home / name if name.endswith(".md") else place(home, name)
    path.unlink()
    path.mkdir()
    with pytest.raises(PlanError, match=re.escape(f"{path} cannot be read: ")):
        PromptGenerator(tmp_path).generate(FEATURE)


def test_files_that_never_stand_still_are_refused(tmp_path, monkeypatch):
    """After a few attempts, naming what is gone."""
    home = write(tmp_path, "subplan 11", "task 11 01")
    generator = PromptGenerator(tmp_path)
    tried = []

    def gone(path):
        tried.append(path)
        raise FileNotFoundError(2, "gone", path)

    monkeypatch.setattr(generator, "_situation", lambda *_: gone(str(place(home, "task 11 01"))))
    with pytest.raises(PlanError, match=r"CACHE changes all the time: .*_11_01\.md was listed and"):
        generator.generate(FEATURE)
    assert len(tried) == generate.ATTEMPTS


def test_a_document_that_is_not_text_is_refused(tmp_path):
    """With the place of the byte."""
    home = write(tmp_path, "subplan 11")
    place(home, "subplan 11").write_bytes(b"ok\x80")
    with pytest.raises(PlanError, match=r"SUBPLAN_CACHE_11\.md is not UTF-8: byte 2 is 0x80"):
        PromptGenerator(tmp_path).generate(FEATURE)


# Counting


def test_prompts_are_counted_by_outcome(usual):
    """A refusal is one."""
    root, made = usual
    generator = PromptGenerator(root)
    for plan in made:
        generator.generate(plan.feature)
    for feature in ("NOT-THERE", "../no"):
        with pytest.raises(PlanError):
            generator.generate(feature)
    expected = Counter(plan.state for plan in made)
    expected["refused"] = 2
    assert generator.statistics().prompts == {outcome: expected[outcome] for outcome in OUTCOMES}


def test_the_profile_has_what_the_program_counts(usual, recorded):
    """Hits, misses and prompts by outcome, to the last one."""
    root, made = usual
    generator = PromptGenerator(root)
    for plan in made * 3:
        generator.generate(plan.feature)
    with pytest.raises(PlanError):
        generator.generate("NOT-THERE")
    pairs = accounts.counts(generator.statistics(), recorded())
    assert all(own == profiled for own, profiled in pairs.values())
    assert pairs["prompt"] == (121, 121)
    assert pairs["refused"] == (1, 1)
    assert pairs["plans: miss"] == (40, 40)
    assert pairs["plans: hit"] == (80, 80)
    assert len(pairs) == 1 + len(OUTCOMES) + 9


def test_the_profile_has_the_durations_that_the_program_takes(usual, recorded, clock, monkeypatch):
    """To the nanosecond, on one clock that moves only where the program looks at files."""
    root, made = usual

    def slow(real, ns):
        def function(*arguments):
            clock.advance(ns)
            return real(*arguments)

        return function

    monkeypatch.setattr(caching, "stamp_of", slow(caching.stamp_of, 7))
    monkeypatch.setattr(generate, "read_file", slow(caching.read_file, 1_000))
    monkeypatch.setattr(generate, "read_directory", slow(caching.read_directory, 50))
    generator = PromptGenerator(root, timer_ns=lambda: clock.now)
    for plan in made * 2:
        generator.generate(plan.feature)
    with pytest.raises(PlanError):
        generator.generate("NOT-THERE")
    pairs = accounts.durations_ns(generator.statistics(), recorded())
    assert pairs["plans: miss"] == (40 * 1_007, 40 * 1_007)
    assert all(own == profiled > 0 for own, profiled in pairs.values())
    assert {*pairs} == {"prompt", "plans: miss", "documents: miss", "listings: miss"}
    _, misses, _ = counts(generator)["documents"]
    assert pairs["documents: miss"][0] == misses * 1_007


def test_tracks_are_as_the_program_names_them(recorded):
    """Parse, state, generate, cache."""
    assert TRACKS == ("parse", "state", "generate", "cache")
    assert tuple(track.track_name for track in recorded().tracks.values()) == TRACKS


# Many threads


@pytest.mark.concurrent
@pytest.mark.usefixtures("switching")
def test_many_threads_get_the_prompts_that_one_gets(usual, threads, recorded):
    """Each file is worked out once for all of them, and everything is counted."""
    root, made = usual
    features = [plan.feature for plan in made]
    generator = PromptGenerator(root)
    expected = {feature: PromptGenerator(root).generate(feature) for feature in features}
    marks.profiler.clear()

    def ask():
        for feature in features:
            assert generator.generate(feature) == expected[feature]
        with pytest.raises(PlanError):
            generator.generate("NOT-THERE")

    threads.together(*[ask] * 12)
    statistics = generator.statistics()
    assert statistics.prompts["refused"] == 12
    assert sum(statistics.prompts.values()) == 12 * 41
    for name, kept in (("plans", 40), ("documents", 79), ("listings", 75)):
        assert statistics.caches[name].misses == statistics.caches[name].kept == kept
    assert all(
        own == profiled for own, profiled in accounts.counts(statistics, recorded()).values()
    )


@pytest.mark.concurrent
@pytest.mark.usefixtures("switching")
def test_threads_that_ask_see_what_another_one_writes(tmp_path, threads):
    """Never a state from before the last change that was finished when they asked."""
    home = write(tmp_path, "subplan 11", *(f"task 11 {i:02}" for i in range(1, 21)))
    generator = PromptGenerator(tmp_path)
    done = 0

    def work():
        nonlocal done
        for i in range(1, 21):
            path = place(home, f"task 11 {i:02}")
            put(path.with_suffix(".part"), path.read_text().replace("In Progress", "Complete"))
            path.with_suffix(".part").replace(path)
            done = i

    def ask():
        while True:
            least = done
            prompt = generator.generate(FEATURE)
            if prompt.state == "subplan_all_executed":
                return
            (waiting,) = re.findall(r"executed: (\d+) of 20 tasks", prompt.text)
            assert 20 - int(waiting) >= least

    threads.together(work, *[ask] * 3)
    assert done == 20


# Metrics


def test_prompts_and_errors_are_counted_exactly_in_a_registry(usual):
    """N prompts and M errors, from many threads, are N and M in the registry; plans that were known are the cache's hits."""
    import threading

    from benchmarks.workloads.prompts.metrics import PromptMetrics
    from stichotrope.metrics import MetricRegistry

    registry = MetricRegistry()
    generator = PromptGenerator(usual[0], metrics=PromptMetrics(registry))
    features = generator.features()

    def ask() -> None:
        for feature in [*features, "NOT-THERE", "no name"]:
            with contextlib.suppress(PlanError):
                generator.generate(feature)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = registry.expose()
    assert f'prompt_generation_total{{status="success"}} {4 * len(features)}\n' in text
    assert 'prompt_generation_total{status="error"} 8\n' in text
    assert f"prompt_generation_duration_seconds_count {4 * len(features) + 8}\n" in text
    assert f"plan_cache_hits_total {generator.statistics().caches['plans'].hits}\n" in text
