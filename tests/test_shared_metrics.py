"""Metrics of several processes: added up, whole when one is killed, and no file for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from stichotrope.metrics import MetricRegistry, SharedCollector
from stichotrope.metrics.text import render

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
]

PROGRAM = """
import os, sys, threading
from stichotrope.metrics import Counter, Gauge, Histogram, MetricRegistry, SharedCollector, share_metrics
registry = MetricRegistry()
early = Counter("early", "E.", registry=registry)
early.inc(3)
fixed = Histogram("fixed", buckets=(1, 2), registry=registry)
fixed.observe(1.5)
share_metrics(sys.argv[1], registry)
jobs = Counter("jobs", 'Jobs "ä".', ["queue"], registry=registry)
level = Gauge("level", registry=registry)
most = Gauge("most", across="max", registry=registry)
wide = Histogram("wide", registry=registry)
def work(times=100):
    for number in range(times):
        jobs.labels("a\\nb").inc()
        fixed.observe(number % 3 + 0.5)
        wide.observe(number)
def threads():
    made = [threading.Thread(target=work) for _ in range(5)]
    [one.start() for one in made]
    [one.join() for one in made]
"""


@pytest.fixture(autouse=True)
def ended():
    """Every process that a test started is gone, and its pipes are closed, when the test ends."""
    yield
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


STARTED: list[subprocess.Popen[str]] = []


def start(directory: Path, body: str) -> subprocess.Popen[str]:
    """A process that shares its metrics, and runs what is given."""
    program = PROGRAM + textwrap.dedent(body)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def said(process: subprocess.Popen[str]) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    """Let a process that waits for its input end by itself."""
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


def values(directory: Path) -> dict[str, float]:
    """What all processes come to, by name and labels."""
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in render(SharedCollector(directory).collect()).splitlines()
        if not line.startswith("#")
    }


def test_processes_are_added_up_also_one_that_is_killed(tmp_path):
    """Counters and histograms of all processes add up; what was killed has lost nothing, and leaves no file."""
    one = start(
        tmp_path, "threads(); level.set(2); most.set(5); print('ready', flush=True); input()"
    )
    two = start(
        tmp_path, "threads(); level.set(3); most.set(4); print('ready', flush=True); input()"
    )
    assert (said(one), said(two)) == ("ready", "ready")
    found = values(tmp_path)
    assert found["early_total"] == 6
    assert found['jobs_total{queue="a\\nb"}'] == 1000
    assert found["fixed_count"] == found['fixed_bucket{le="+Inf"}'] == 1002
    assert found['fixed_bucket{le="1.0"}'] == 2 * 5 * 34
    assert found["wide_count"] == 1000
    assert found["wide_sum"] == 10 * 4950
    assert (found["level"], found["most"]) == (5, 5)
    one.send_signal(signal.SIGKILL)
    one.wait()
    after = values(tmp_path)
    assert {name: value for name, value in after.items() if name not in ("level", "most")} == {
        name: value for name, value in found.items() if name not in ("level", "most")
    }
    assert (after["level"], after["most"]) == (3, 4)
    end(two)
    assert values(tmp_path)['jobs_total{queue="a\\nb"}'] == 1000
    assert [path.name for path in tmp_path.glob("*metrics")] == []
    third = start(tmp_path, "work(7); print('ready', flush=True); input()")
    assert said(third) == "ready"
    assert values(tmp_path)['jobs_total{queue="a\\nb"}'] == 1007
    end(third)


def test_counts_never_go_down_while_workers_come_and_go(tmp_path):
    """While processes start, record, end and are killed, no count goes down, and the last is exact."""
    before = 0.0
    for round_ in range(4):
        workers = [
            start(
                tmp_path,
                "print('ready', flush=True); threads(); print('done', flush=True); input()",
            )
            for _ in range(2)
        ]
        for worker in workers:
            assert said(worker) == "ready"
        for _ in range(20):
            now = values(tmp_path).get('jobs_total{queue="a\\nb"}', 0.0)
            assert now >= before
            before = now
        for worker in workers:
            assert said(worker) == "done"
        workers[0].kill()
        workers[0].wait()
        end(workers[1])
        before = values(tmp_path)['jobs_total{queue="a\\nb"}']
        assert before == (round_ + 1) * 1000
    assert len(list(tmp_path.glob("*metrics"))) == 0


def test_forked_children_share_in_files_of_their_own(tmp_path):
    """Children of a process that shares count from zero, each in its own file, and the parent's stays as it is."""
    body = """
    work(10)
    level.set(1)
    for number in range(3):
        if os.fork() == 0:
            threads()
            level.inc(10)
            if number == 2:
                os.kill(os.getpid(), 9)
            os._exit(0)
        os.wait()
    work(10)
    print("ready", flush=True)
    input()
    """
    process = start(tmp_path, body)
    assert said(process) == "ready"
    found = values(tmp_path)
    assert found['jobs_total{queue="a\\nb"}'] == 20 + 3 * 500
    assert found["wide_count"] == 20 + 3 * 500
    assert found["early_total"] == 3
    assert found["level"] == 1
    end(process)
    assert values(tmp_path)['jobs_total{queue="a\\nb"}'] == 1520


def test_removed_and_reset_series_are_gone_for_others_too(tmp_path):
    """What is reset starts from zero for who reads from elsewhere, and what is removed is not there."""
    body = """
    threads()
    jobs.labels("other").inc(5)
    jobs.remove("a\\nb")
    fixed.reset()
    fixed.observe(9)
    early.reset()
    early.inc()
    level.set(3)
    level.reset()
    import gc; gc.collect()
    print("ready", flush=True)
    input()
    """
    process = start(tmp_path, body)
    assert said(process) == "ready"
    found = values(tmp_path)
    assert found['jobs_total{queue="other"}'] == 5
    assert 'jobs_total{queue="a\\nb"}' not in found
    assert (found["fixed_count"], found["fixed_sum"]) == (1, 9)
    assert (found["early_total"], found["level"]) == (1, 0)
    end(process)


def test_many_series_make_the_file_grow_and_threads_do_not(tmp_path):
    """A file grows by its series, is used again by later threads, and everything in it is found."""
    body = """
    for number in range(1500):
        jobs.labels(number).inc(number)
    size = sum(os.path.getsize(os.path.join(sys.argv[1], name)) for name in os.listdir(sys.argv[1]))
    for _ in range(60):
        threads()
        jobs.labels(1).value
    later = sum(os.path.getsize(os.path.join(sys.argv[1], name)) for name in os.listdir(sys.argv[1]))
    print(later <= 2 * size, flush=True)
    input()
    """
    process = start(tmp_path, body)
    assert said(process) == "True"
    found = values(tmp_path)
    assert (
        sum(value for name, value in found.items() if name.startswith("jobs_total"))
        == sum(range(1500)) + 60 * 500
    )
    end(process)


def test_files_that_hold_nonsense_hide_nothing_else(tmp_path):
    """An empty file, a cut one and one of something else are read as far as they go."""
    process = start(tmp_path, "threads(); print('ready', flush=True); input()")
    assert said(process) == "ready"
    (file,) = tmp_path.glob("*.stichotrope-metrics")
    whole = file.read_bytes()
    for number, data in enumerate((b"", b"x" * 100, whole[:40], whole[: len(whole) // 2 + 5])):
        (tmp_path / f"{number}.stichotrope-metrics").write_bytes(data)
        assert values(tmp_path)["early_total"] >= 3
    end(process)


def test_sharing_twice_is_fine_in_the_same_place_only(tmp_path):
    """Sharing again in the same directory changes nothing; in another, it is an error that names the first."""
    body = f"""
    share_metrics(sys.argv[1], registry)
    try:
        share_metrics({str(tmp_path / "other")!r}, registry)
    except RuntimeError as error:
        print(sys.argv[1] in str(error), flush=True)
    """
    process = start(tmp_path / "one", body)
    assert said(process) == "True"
    end(process)


def test_collecting_from_nowhere_is_an_error_a_registry_leaves_out(tmp_path, caplog):
    """A directory that is not there fails when it is collected, and the rest of a registry is given."""
    registry = MetricRegistry()
    registry.register(SharedCollector(tmp_path / "missing"))
    assert "stichotrope_collector_errors_total 1" in registry.expose()
    assert "missing" in caplog.text
    assert threading.active_count() >= 1


def a_file_of(directory: Path, body: str) -> None:
    """Run a process that shares what it records, and let it end."""
    process = start(directory, body)
    end(process)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"added": [], "series": [{}]}',
        b'{"added": 5, "series": []}',
        b'{"added": [], "series": [{"about": {"name": "x", "kind": "odd", "labels": {}, "description": ""}}]}',
        None,  # the half of it
    ],
)
def test_a_damaged_file_of_what_has_ended_leaves_the_living(tmp_path, damage, caplog):
    """What lives is collected; the damaged file is named in the log, and set aside."""
    a_file_of(tmp_path, "threads()")
    assert values(tmp_path)["wide_count"] == 500
    ended = tmp_path / "ended.stichotrope-metrics.json"
    before = ended.read_bytes()
    ended.write_bytes(before[: len(before) // 2] if damage is None else damage)
    living = start(tmp_path, "work(); print('ready', flush=True); input()")
    assert said(living) == "ready"
    for _ in range(2):
        assert values(tmp_path)["wide_count"] == 100
    (record,) = caplog.records
    assert str(ended) in record.getMessage()
    assert Path(f"{ended}.damaged").exists()
    end(living)
    assert values(tmp_path)["wide_count"] == 100


def test_a_damaged_file_of_a_process_leaves_the_others(tmp_path, caplog):
    """What cannot be read of one process is said once; the others' figures are there."""
    living = start(tmp_path, "work(); print('ready', flush=True); input()")
    assert said(living) == "ready"
    (path,) = tmp_path.glob("[0-9]*.stichotrope-metrics")
    damaged = tmp_path / "0-damaged.stichotrope-metrics"
    damaged.write_bytes(path.read_bytes().replace(b'"kind":"counter"', b'"kind":"something'))
    for _ in range(2):
        assert values(tmp_path)["wide_count"] == 100
    (record,) = caplog.records
    assert str(damaged) in record.getMessage()
    assert damaged.exists()
    end(living)


def test_what_is_left_of_processes_that_were_killed_while_they_wrote_is_removed(tmp_path):
    """Files that were being made are removed when they are old; those that are new stay."""
    names = (".stichotrope-0123.tmp", "5-abc.stichotrope-metrics.new")
    for name in (*names, *(f"{name[:-4]}x{name[-4:]}" for name in names), "other.tmp"):
        (tmp_path / name).write_bytes(b"half")
    for name in (*names, "other.tmp"):
        os.utime(tmp_path / name, (0, 0))
    values(tmp_path)
    left = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert left == {".stichotrope-0123x.tmp", "5-abc.stichotrope-metricsx.new", "other.tmp"}


def test_a_gauge_that_asks_a_function_is_not_shared_as_what_it_was(tmp_path):
    """Other processes cannot ask its function: they are not told 0, or what it was set to before."""
    living = start(
        tmp_path,
        """
        level.set(7); level.set_function(lambda: 8)
        asked = Gauge("asked"); asked.set_function(lambda: 9); registry.register(asked)
        most.set(4)
        by_queue = Gauge("by_queue", "", ["queue"], registry=registry)
        by_queue.labels("a").set_function(lambda: 9); by_queue.labels("b").set(5)
        print("level 8" in registry.expose(), "asked 9" in registry.expose(), flush=True); input()
        """,
    )
    assert said(living) == "True True"
    found = values(tmp_path)
    assert found["most"] == 4
    assert {"level", "asked"}.isdisjoint(found)
    assert {name: found[name] for name in found if "by_queue" in name} == {'by_queue{queue="b"}': 5}
    end(living)


def test_what_is_unregistered_is_not_shared_until_it_is_registered_again(tmp_path):
    """Others see what the process exposes: no metric that is taken back, and its figures when it is there again."""
    living = start(
        tmp_path,
        """
        work(); level.set(2)
        for one in (level, wide, jobs): registry.unregister(one)
        print("gone", flush=True); input()
        level.set(3); work()
        for one in (level, wide, jobs): registry.register(one)
        level.set(4)
        print("there", flush=True); input()
        """,
    )
    assert said(living) == "gone"
    found = values(tmp_path)
    assert found["fixed_count"] == 101
    assert not any(name.startswith(("level", "wide", "jobs")) for name in found)
    assert living.stdin is not None
    living.stdin.write("\n")
    living.stdin.flush()
    assert said(living) == "there"
    found = values(tmp_path)
    assert (found["level"], found["wide_count"], found['jobs_total{queue="a\\nb"}']) == (
        4,
        200,
        200,
    )
    end(living)


OTHER = """
import sys
from stichotrope.metrics import Counter, Gauge, Histogram, MetricRegistry, share_metrics
registry = MetricRegistry()
share_metrics(sys.argv[1], registry)
"""


def test_a_metric_that_differs_between_processes_is_one_family(tmp_path, caplog):
    """Of other buckets those that all have are shown, exactly; of other kinds those of the first."""
    bodies = (
        "h = Histogram('h', buckets=(1, 2, 4), registry=registry); Counter('k', registry=registry).inc(3)",
        "h = Histogram('h', buckets=(1, 3, 4), registry=registry); Histogram('k', registry=registry)",
        "h = Histogram('h', classic_buckets=(1, 4, 9), registry=registry)",
    )
    for number, body in enumerate(bodies):
        program = f"{OTHER}{body}\nfor value in (0.5, 2.5, 3.5, 8, 100): h.observe(value)\n"
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
        if number == 0:
            values(tmp_path)
    for _ in range(2):
        text = render(SharedCollector(tmp_path).collect())
    lines = text.splitlines()
    assert len({line.rpartition(" ")[0] for line in lines}) == len(lines)
    assert sum(line.startswith("# TYPE h ") for line in lines) == 1
    found = values(tmp_path)
    assert {name: value for name, value in found.items() if name.startswith("h_")} == {
        'h_bucket{le="1.0"}': 3,
        'h_bucket{le="4.0"}': 9,
        'h_bucket{le="+Inf"}': 15,
        "h_count": 15,
        "h_sum": 3 * 114.5,
    }
    assert found["k_total"] == 3
    assert "k_count" not in found
    assert len(caplog.records) == 2
    (family,) = [one for one in SharedCollector(tmp_path).collect() if one.name == "h"]
    assert family.extremes == {(): (0.5, 100)}
