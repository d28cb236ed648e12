"""``stichotrope ab`` runs two versions in turns, and says what differs between them."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from clihelp import stichotrope, write
from stichotrope import ProfilerResults
from stichotrope.cli import main
from stichotrope.statistics import compare_pairs, load_runs

pytestmark = pytest.mark.integration

# Gathers what a program would that took given times: in arguments, a block's factor, and what its
# results say of where they were made. It notes each run, and how it was called.
PROGRAM = """
import json, os, sys, uuid
from handmade import block, single
from stichotrope.results import GATHERED_SUFFIX

given = dict(word.split("=", 1) for word in sys.argv[1:])
with open(os.environ["NOTED"], "a") as noted:
    print(os.path.basename(os.getcwd()), *sys.argv[1:], file=noted)
print("said to nobody")
if "fail" in given:
    sys.exit("first line\\nthe program's own trouble")
if "silent" not in given:
    factor = float(given.get("price", 1))
    passes = [tuple(round(ns * f) for ns in range(1000, 1030)) for f in (1, factor)]
    results = single(
        block(given.get("name", "parse"), passes[0]), block("price", passes[1], idx=1, line=20)
    )
    results.metadata.update(json.loads(given.get("facts", "{}")))
    folder = os.environ["STICHOTROPE_GATHER"]
    results.save(os.path.join(folder, uuid.uuid4().hex + GATHERED_SUFFIX))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with the program."""
    write(tmp_path, program=PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTED", str(tmp_path / "noted"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    return tmp_path


def command(*arguments: str, program: str = "program.py") -> str:
    """What runs the program, as one argument; nothing in it needs quotes in any shell."""
    words = (Path(sys.executable).as_posix(), program, *arguments)
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def ab(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    status = main(["ab", *arguments])
    return (status, *capfd.readouterr())


def noted(folder: Path) -> list[str]:
    """How each run was called, in order."""
    return (folder / "noted").read_text().splitlines()


def test_a_slower_block_is_found_and_named(folder, capfd):
    """Twelve pairs that agree are enough for two blocks; the other one is not blamed."""
    status, out, err = ab(
        capfd, command(), command("price=1.05"), "--rounds", "12", "--fail-on", "slower"
    )
    assert (status, err) == (1, "stichotrope ab: failed, as --fail-on slower says: price\n")
    rows = {line.split()[2]: line for line in out.splitlines()[1:3]}
    assert re.search(r"typical pass +1\.01 µs +1\.07 µs +\+5\.0 % .* slower$", rows["price"])
    assert rows["parse"].endswith("no difference shown")
    said = " ".join(out.split())
    assert "12 runs of each in turns, the order drawn by lot" in said
    assert "intervals of 99%; changes within 2.0% do not count" in said


def test_the_runs_are_in_turns_and_in_an_order_by_lot(folder, capfd):
    """Each round runs both, after one round that counts for nothing; the first is not always the same."""
    arguments = command("v=1"), command("v=2"), "--rounds", "12", "--seed"
    assert ab(capfd, *arguments, "5")[0] == 0
    order = [line.rpartition("=")[2] for line in noted(folder)]
    rounds = ["".join(order[place : place + 2]) for place in range(0, len(order), 2)]
    assert len(rounds) == 13
    assert set(rounds) == {"12", "21"}
    ab(capfd, *arguments, "5")
    ab(capfd, *arguments, "6")
    again = [line.rpartition("=")[2] for line in noted(folder)]
    assert again[26:52] == order
    assert again[52:] != order


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds at least, and five at most, with a look after each."""
    for name, value in (("LEAST", 2), ("MOST", 5), ("_LOOK", 1)):
        monkeypatch.setattr(f"stichotrope.cli.ab.{name}", value)


def test_rounds_go_on_until_they_are_enough(folder, capfd, few, monkeypatch):
    """As many as it takes by what the runs differ by, looked at again and again."""
    told = iter([40, 40, 4])
    monkeypatch.setattr("stichotrope.statistics.pairs_needed", lambda *sides, **given: next(told))
    status, out, err = ab(capfd, command(), "-f", "json")
    assert (status, err) == (0, "")
    assert json.loads(out)["old"]["runs"] == 4
    assert len(noted(folder)) == 2 * (1 + 4)


def test_what_rounds_do_not_rule_out_is_said(folder, capfd, monkeypatch):
    """Where a block differs from run to run by more than twenty rounds can tell of it."""
    monkeypatch.setattr("stichotrope.cli.ab.MOST", 20)
    drawn = "__import__('random').Random(len(open(os.environ['NOTED']).readlines())).random() + 1"
    write(folder, wild=PROGRAM.replace('given.get("price", 1)', drawn))
    status, _, err = ab(capfd, command(program="wild.py"), "--seed", "1")
    assert status == 0
    assert len(noted(folder)) == 2 * (1 + 20)
    assert err == (
        "stichotrope ab: 20 rounds do not rule out that a pass takes 5% more, of price; "
        "--rounds gives more\n"
    )


def test_one_command_is_run_in_two_directories(folder, capfd):
    """As that of a checkout of another version."""
    for name, factor in (("old", "1"), ("new", "1.5")):
        write(folder / name, program=PROGRAM.replace('"price", 1', f'"price", {factor}'))
    arguments = command(), "--old-dir", "old", "--new-dir", "new", "--rounds", "12"
    status, out, _ = ab(capfd, *arguments, "--format", "json")
    document = json.loads(out)
    assert status == 0
    assert sorted({line.split()[0] for line in noted(folder)}) == ["new", "old"]
    assert [one["verdict"] for one in document["blocks"]] == ["no difference shown", "slower"]
    assert document["basis"] == "pairs of runs"
    assert document["blocks"][1]["ratio"] == pytest.approx(1.5, rel=1e-3)


def test_the_form_for_pull_requests_says_of_what_the_figures_are(folder, capfd):
    """Markdown, written to a file."""
    arguments = command(), command(), "--rounds", "1", "-f", "markdown", "-o", "change.md"
    assert ab(capfd, *arguments) == (0, "", "")
    lines = (folder / "change.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "| Track | Block | Of | Old | New | Change | Interval | Verdict |"
    assert lines[1] == "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |"
    assert lines[2].startswith("| track 0 | parse | typical pass | 1.01 µs | 1.01 µs | 0.0 % |  |")


def test_runs_can_be_kept_and_compared_again(folder, capfd):
    """A file for each run of each side, without those of the round that counts for nothing."""
    ab(capfd, command(), command("price=2"), "--rounds", "11", "--keep", "kept")
    sides = [load_runs(folder / "kept" / side) for side in ("old", "new")]
    assert [len(side) for side in sides] == [11, 11]
    assert [one.verdict for one in compare_pairs(*sides)] == ["no difference shown", "slower"]
    status, out, err = ab(capfd, command(), "--rounds", "1", "--keep", "kept")
    assert (status, out) == (2, "")
    assert err == "stichotrope ab: --keep takes a directory that is new or empty, and kept is not\n"


def test_what_a_condition_says_of_its_share_is_tested_at_it(folder, capfd):
    """A block that is 5 % slower is not so by more than 10 %."""
    arguments = command(), command("price=1.05"), "--rounds", "12", "--threshold", "0.01"
    status, out, err = ab(capfd, *arguments, "--fail-on", "slower>10%")
    assert (status, err) == (0, "")
    assert "changes within 1.0% do not count" in " ".join(out.split())


def test_counts_of_a_program_that_is_really_run(tmp_path):
    """Under `stichotrope run`, with a child process: a query for each row fails the gate at one round."""
    write(
        tmp_path,
        bench="""
        import multiprocessing, sys
        from stichotrope import Profiler
        p = Profiler("bench")

        @p.track("db")
        def query(): pass

        @p.track("web")
        def orders():
            for _ in range(int(sys.argv[1])): query()

        if __name__ == "__main__":
            child = multiprocessing.get_context("spawn").Process(target=orders)
            child.start(); child.join()
            orders()
        """,
    )
    run = f'"{Path(sys.executable).as_posix()}" -m stichotrope run -q bench.py'
    gate = ("--rounds", "1", "--keep", "kept", "--fail-on", "hits-per-parent>1.5x")
    done = stichotrope("ab", f"{run} 1", f"{run} 50", *gate, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "stichotrope ab: failed, as --fail-on hits-per-parent>1.5x says: "
        "orders > query: 1 → 50 in a pass of orders\n",
    )
    assert "orders > query: 1 → 50 in a pass of orders" in done.stdout
    kept = ProfilerResults.load(tmp_path / "kept" / "new" / "00001.json")
    assert kept.total_hits == 2 * 51


# What the two differ in


def test_another_python_is_said(folder, capfd):
    """Times depend on it; it may be what is wanted."""
    one, other = ('facts={"python":"3.12.1"}', 'facts={"python":"3.13.0"}')
    arguments = [command(), command(), "--rounds", "1"]
    if sys.platform == "win32":
        pytest.skip("quotes within quotes are each program's own affair there")
    arguments[:2] = (f"{command()} '{one}'", f"{command()} '{other}'")
    status, out, err = ab(capfd, *arguments)
    assert status == 0
    assert err == (
        "stichotrope ab: the two differ in python, which times depend on: "
        "3.12.1 in old, 3.13.0 in new\n"
    )
    assert "Different python: 3.12.1 in old, 3.13.0 in new" in out


@pytest.mark.skipif(sys.platform == "win32", reason="quotes within quotes")
@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"host": "there"}, "host: here in old, there in new"),
        ({"clock": {"source": "monotonic"}}, "clock: tsc in old, monotonic in new; STICHOTROPE_CL"),
    ],
)
def test_another_machine_or_clock_is_refused(folder, capfd, facts, said):
    """Before more than one round is run: such times do not compare."""
    usual = {"host": "here", "clock": {"source": "tsc"}}
    sides = [f"{command()} 'facts={json.dumps(one)}'" for one in (usual, {**usual, **facts})]
    status, out, err = ab(capfd, *sides)
    assert (status, out) == (2, "")
    assert err.startswith(f"stichotrope ab: the two do not compare, as they differ in {said}")
    assert len(noted(folder)) == 2


# What cannot be


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fail=1",), " ended with status 1 in round 0: the program's own trouble"),
        (
            ("silent=1",),
            " recorded nothing that is to be found: it should be `stichotrope run …` wi",
        ),
    ],
)
def test_a_command_that_fails_or_records_nothing_is_a_sentence(folder, capfd, arguments, said):
    """Which of the two it is, and what it said last."""
    status, out, err = ab(capfd, command(), command(*arguments), "--rounds", "2")
    assert (status, out) == (2, "")
    assert err.startswith(
        f"stichotrope ab: the new version's command {command(*arguments)!r}{said}"
    )
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("no-such-program-here", "--rounds", "1"),
            "'no-such-program-here' cannot be run: no-such",
        ),
        (("", "--rounds", "1"), "the old version's command"),
        (("x", "--rounds", "0"), "--rounds takes 1 to 10,000, not 0"),
        (("x", "--old-dir", "nowhere"), "--old-dir takes a directory, and nowhere is none"),
        (("x", "--fail-on", "worse"), "'worse' is no condition"),
        (("x", "-o", "no/x"), "no/x cannot be written: there is no directory"),
    ],
)
def test_a_mistake_is_a_sentence(folder, capfd, arguments, said):
    """Found before anything is run, or when it is."""
    status, out, err = ab(capfd, *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="each program takes its words apart there")
def test_a_quote_that_does_not_end_is_a_sentence(folder, capfd):
    """With the command that has it."""
    status, _, err = ab(capfd, "python 'x")
    assert status == 2
    assert err == "stichotrope ab: the old version's command \"python 'x\": No closing quotation\n"


def test_different_programs_are_refused_at_the_first_round(folder, capfd):
    """Nothing in common is said before forty rounds are run."""
    write(folder, other=PROGRAM.replace('"price", passes', '"else", passes'))
    status, _, err = ab(capfd, command(), command("name=other", program="other.py"))
    assert status == 2
    assert "old and new have no block in common" in err
    assert len(noted(folder)) == 2
