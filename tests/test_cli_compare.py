"""``stichotrope compare`` says what changed, in each form, and fails when it is to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handmade import block, single
from stichotrope.cli import main
from stichotrope.statistics.conditions import Condition, parsed

pytestmark = pytest.mark.integration


def save_runs(folder: Path, means: list[int], **others: int) -> None:
    """Saves a run for each mean of the block "work"; the others have the same mean in all runs."""
    folder.mkdir()
    for number, mean in enumerate(means):
        blocks = [block("work", (mean,) * 4)]
        for idx, (name, ns) in enumerate(others.items(), 1):
            blocks.append(block(name, (ns + number,) * 4, idx=idx, line=10 * idx))
        single(*blocks).save(folder / f"{number}.json")


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with five runs of two versions: one block is 20 % slower."""
    monkeypatch.chdir(tmp_path)
    save_runs(tmp_path / "old", [1000, 1001, 1002, 1003, 1004], same=5000, gone=70)
    save_runs(tmp_path / "new", [1200, 1201, 1202, 1203, 1204], same=5000, added=80)
    return tmp_path


def compared(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    status = main(["compare", *arguments])
    return (status, *capfd.readouterr())


def rows(text: str) -> list[list[str]]:
    """The cells of the table's rows."""
    table = text.partition("\n\n")[0].splitlines()[1:]
    return [[cell for cell in line.split("  ") if cell] for line in table]


def test_each_block_has_a_change_and_a_verdict(versions, capfd):
    """The table has each block's figures, the change with its interval, and the verdict."""
    status, out, err = compared(capfd, "old", "new")
    assert (status, err) == (0, "")
    cells = {line.split()[2]: line for line in out.partition("\n\n")[0].splitlines()[1:]}
    assert list(cells) == ["work", "same", "gone", "added"]
    assert "1.00 µs" in cells["work"]
    assert "1.20 µs" in cells["work"]
    assert "+20.0 %" in cells["work"]
    assert "+19.6 % … +20.3 %" in cells["work"]
    assert cells["work"].endswith("slower")
    assert cells["same"].endswith("no difference shown")
    assert cells["gone"].endswith("missing")
    assert cells["added"].endswith("new")
    assert "typical of each block; 5 runs against 5 runs; intervals of 99%" in out


def test_one_run_of_each_is_said_to_tell_little(versions, capfd):
    """With a single run of each, it says what such a comparison cannot know, and needs passes."""
    status, out, _ = compared(capfd, "old/0.json", "new/0.json")
    assert status == 0
    assert "One run of each tells nothing of how times vary from run to run" in out
    assert "too little data" in out
    assert "it takes 30 passes on each side" in " ".join(out.split())


def test_a_gate_on_times_with_one_run_of_each_says_what_it_stands_on(versions, capfd):
    """It may fail for what differs from run to run; one on counts may not."""
    one_of_each = "old/0.json", "new/0.json"
    _, _, err = compared(capfd, *one_of_each, "--fail-on", "slower")
    assert err == (
        "stichotrope compare: one run of each does not tell how times vary from run to run, and "
        "--fail-on may fail for that alone: give several, or let stichotrope ab make them in turns\n"
    )
    assert compared(capfd, *one_of_each, "--fail-on", "hits-per-parent")[2] == ""
    assert compared(capfd, "old", "new", "--fail-on", "slower>50%")[2] == ""


def test_runs_of_one_version_after_the_other_are_said_to_be_such(versions, capfd):
    """With what would show smaller changes; so in Markdown."""
    for side, begin in (("old", 0), ("new", 100)):
        for path in Path(side).iterdir():
            results = json.loads(path.read_text("utf-8"))
            results["metadata"]["start_ns"] = begin + int(path.stem)
            path.write_text(json.dumps(results), "utf-8")
    for form in ("table", "markdown"):
        _, out, _ = compared(capfd, "old", "new", "-f", form)
        assert "one version were made after those of the other" in " ".join(out.split())
        assert "stichotrope ab makes them in turns" in " ".join(out.split())


def test_what_has_not_ended_is_said_not_to_be_compared(tmp_path, capfd):
    """A block that is open in one version is named below the table; no condition calls it missing."""
    same = block("work", (5,))
    single(same, block("main", (900,), idx=1)).save(tmp_path / "old.json")
    single(same, block("main", total_ns=900, now_open=1, idx=1)).save(tmp_path / "new.json")
    files = [str(tmp_path / name) for name in ("old.json", "new.json")]
    status, out, _ = compared(capfd, *files, "--fail-on", "missing,new")
    assert status == 0
    assert "main: not compared, as no pass had ended on one side" in out
    assert "main" not in {cell for row in rows(out) for cell in row}


def test_many_blocks_without_a_difference_are_counted(tmp_path, capfd):
    """A table of a hundred and one lines that say nothing is not to be read; it is there for the asking."""
    for side in ("old", "new"):
        many = [block(f"n{i}", (100,) * 40, idx=i) for i in range(101)]
        single(*many, block("x", (100 if side == "old" else 300,) * 40, idx=101)).save(
            tmp_path / f"{side}.json"
        )
    sides = [str(tmp_path / "old.json"), str(tmp_path / "new.json")]
    status, out, _ = compared(capfd, *sides)
    assert status == 0
    assert [row[1] for row in rows(out)[:1]] == ["x"]
    assert "101 rows are not shown that would say: no difference shown (--all shows them)" in out
    assert "n100" not in out
    assert "n100" in compared(capfd, *sides, "--all")[1]
    assert "n100" in compared(capfd, *sides, "-f", "json")[1]
    assert "n100" not in compared(capfd, *sides, "-f", "markdown")[1]


def test_a_block_that_is_new_and_open_has_no_time(tmp_path, capfd):
    """It is new all the same."""
    same = block("work", (5,))
    single(same).save(tmp_path / "old.json")
    single(same, block("main", total_ns=900, now_open=1, idx=1)).save(tmp_path / "new.json")
    files = [str(tmp_path / name) for name in ("old.json", "new.json")]
    status, out, _ = compared(capfd, *files, "--fail-on", "new")
    assert status == 1
    row = next(line for line in out.splitlines() if "main" in line)
    assert row.split() == ["track", "0", "main", "new"]


def test_the_form_for_programs_holds_everything(versions, capfd):
    """``--format json`` is the comparison as `Comparison.to_dict` gives it, with what failed."""
    status, out, err = compared(capfd, "old", "new", "--format", "json", "--fail-on", "slower,new")
    document = json.loads(out)
    assert status == 1
    assert document["format"] == "stichotrope-comparison"
    assert [one["verdict"] for one in document["blocks"]] == ["slower", "no difference shown"]
    assert document["failed"] == {"slower": ["work"], "new": ["added"]}
    assert err.splitlines() == [
        "stichotrope compare: failed, as --fail-on slower says: work",
        "stichotrope compare: failed, as --fail-on new says: added",
    ]


def test_the_form_for_pull_requests_escapes_names(tmp_path, monkeypatch, capfd):
    """``--format markdown`` is a table whose names cannot be markup."""
    monkeypatch.chdir(tmp_path)
    for name in ("old.json", "new.json"):
        single(block("a|b *c* <i>\n", (5,) * 40)).save(name)
    status, out, _ = compared(capfd, "old.json", "new.json", "-f", "markdown")
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == "| Track | Block | Old | New | Change | Interval | Verdict |"
    assert lines[1] == "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    assert lines[2].startswith("| track 0 | a\\|b \\*c\\* \\<i\\>\\n | 5 ns | 5 ns | 0.0 % | ")


def test_the_comparison_can_be_written_to_a_file(versions, capfd):
    """``-o`` writes what would be printed."""
    _, printed, _ = compared(capfd, "old", "new", "-f", "markdown")
    status, out, err = compared(capfd, "old", "new", "-f", "markdown", "-o", "change.md")
    assert (status, out, err) == (0, "", "")
    assert (versions / "change.md").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize(
    ("conditions", "failed"),
    [
        (("slower",), "slower says: work"),
        (("slower>10%",), "slower>10% says: work"),
        (("slower > 0.1",), "slower > 0.1 says: work"),
        (("slower>25%",), None),
        (("slower>25%", "slower>10%"), "slower>10% says: work"),
        (("faster",), None),
        (("missing",), "missing says: gone"),
        (("new",), "new says: added"),
        (("unclear",), None),
        (("hits-per-parent",), None),
        (("new-path",), "new-path says: added"),
        (("faster,missing",), "missing says: gone"),
    ],
)
def test_a_condition_decides_the_exit_status(versions, capfd, conditions, failed):
    """The status is 1, and the blocks are named, when one of the conditions is met; else it is 0."""
    options = [word for condition in conditions for word in ("--fail-on", condition)]
    status, _, err = compared(capfd, "old", "new", *options)
    expected = f"stichotrope compare: failed, as --fail-on {failed}\n" if failed else ""
    assert (status, err) == (1 if failed else 0, expected)


def test_a_conditions_share_is_the_threshold_of_what_is_shown(versions, capfd):
    """What the table calls slower is what fails: both know the same threshold."""
    _, out, _ = compared(capfd, "old", "new", "--fail-on", "slower>25%")
    assert "changes within 25.0% do not count" in out
    assert "slower" not in out
    _, out, _ = compared(capfd, "old", "new", "--fail-on", "slower>25%", "--threshold", "0.1")
    assert "changes within 10.0% do not count" in out
    assert "slower" in out
    _, per_cent, _ = compared(capfd, "old", "new", "--fail-on", "slower>25%", "--threshold", "10%")
    assert per_cent == out


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("worse", "'worse' is no condition: a condition is slower or faster"),
        ("new>5%", "'new>5%' is no condition"),
        ("slower>much", "'much' in 'slower>much' is no share, such as 5% or 0.05"),
        ("slower>", "'' in 'slower>' is no share"),
        ("slower>150%", "the share in 'slower>150%' must be from 0 % on and below 100 %"),
        ("slower>-1%", "the share in 'slower>-1%' must be from 0 % on and below 100 %"),
        ("slower>nan", "the share in 'slower>nan' must be from 0 % on and below 100 %"),
    ],
)
def test_what_is_no_condition_is_refused(text, sentence):
    """What cannot be a condition is refused with what was given and what is expected."""
    with pytest.raises(ValueError, match="slower") as error:
        Condition(text)
    assert str(error.value).startswith(sentence)


@pytest.mark.unit
def test_several_conditions_may_stand_in_one_text():
    """Conditions are separated by commas, with or without spaces."""
    found = parsed(["slower>5%, missing", "new"])
    assert [(one.text, one.threshold) for one in found] == [
        ("slower>5%", 0.05),
        ("missing", None),
        ("new", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("old", "nowhere.json"), "nowhere.json: No such file or directory"),
        (("old", "foreign.json"), "foreign.json: "),
        (("old", "different.json"), "there is nothing to compare: old and new have no block in"),
        (("old", "new", "--metric", "mode"), "metric must be one of "),
        (("old", "new", "--confidence", "2"), "confidence"),
        (("old", "new", "--threshold", "5"), "a threshold is a share from 0 on and below 1"),
        (("old", "new", "--fail-on", "worse"), "'worse' is no condition: "),
        (("old", "new", "-o", "no/x"), "no/x cannot be written: there is no directory "),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(versions, capfd, arguments, sentence):
    """A mistake is one sentence and status 2, which is not that of a condition."""
    (versions / "foreign.json").write_text("{}")
    single(block("else", (5,) * 40)).save("different.json")
    status, out, err = compared(capfd, *arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.startswith("stichotrope compare: ")
    assert err.count("\n") == 1
