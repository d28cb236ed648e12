"""Each engine started for real: what its workers record is gathered, every pass of it: make engines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from stichotrope import ProfilerResults

pytestmark = pytest.mark.engines

LONGEST_S = 280  # beyond what any of them takes here: who reaches it waits for ever

MARKED = '''
import json, os, sys, time
from stichotrope import Profiler

p = Profiler("app")


@p.track("work")
def square(n):
    return n * n


def both(n):
    with INNER:
        return square(n)


INNER = p.block("work", "inner")


def tell(run, **more):
    """Print what was recorded."""
    results = run.results()
    blocks = {block.name: block.hit_count for track in results.tracks.values() for block in track.blocks}
    workers = [[one.worker, one.total_hits] for one in results.processes]
    print(json.dumps({"hits": blocks, "workers": workers, "warnings": results.metadata["warnings"], **more}))


def wait_for(run, hits):
    """Wait until so many passes have left their workers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if run.results().total_hits >= hits:
                return
        except ValueError:
            pass
    raise SystemExit("they never came")
'''


def told_by(folder: Path, program: str, *command: str) -> list[dict[str, Any]]:
    """What a program printed: it is a file, as what it sends by value has to be of ``__main__``."""
    path = folder / "job.py"
    path.write_text(MARKED + textwrap.dedent(program), encoding="utf-8")
    done = subprocess.run(
        [*(command or (sys.executable,)), str(path)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"hits"')]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes(tmp_path: Path, method: str) -> None:
    """`concurrent.futures` and `multiprocessing`, each way to start, each way to give work; a pool that is terminated too."""
    (told,) = told_by(
        tmp_path,
        f"""
        if __name__ == "__main__":
            import concurrent.futures, multiprocessing
            from stichotrope.integrations.processes import profile

            context = multiprocessing.get_context({method!r})
            square(0)
            with profile() as run:
                with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
                    assert list(pool.map(both, range(40), chunksize=3)) == [n * n for n in range(40)]
                    assert [pool.submit(square, n).result() for n in range(10)][3] == 9
                with context.Pool(2) as pool:
                    assert pool.map(both, range(20)) == [n * n for n in range(20)]
                    assert pool.starmap(square, [(1,), (2,)]) == [1, 4]
                    assert list(pool.imap(square, range(5))) == [0, 1, 4, 9, 16]
                    assert sorted(pool.imap_unordered(square, range(5))) == [0, 1, 4, 9, 16]
                    assert pool.apply(square, (2,)) == 4
                    assert pool.apply_async(square, (2,)).get() == 4
                with concurrent.futures.ThreadPoolExecutor(2) as pool:
                    assert list(pool.map(square, range(3))) == [0, 1, 4]
                square(1)
            tell(run)
        """,
    )
    assert told["hits"] == {"square": 40 + 10 + 20 + 2 + 5 + 5 + 1 + 1 + 3 + 1, "inner": 60}
    assert told["warnings"] == []


def test_a_process_that_is_killed_leaves_all_that_it_had_recorded(tmp_path: Path) -> None:
    """To the last pass; and the error is the program's own to see."""
    (told,) = told_by(
        tmp_path,
        """
        def die():
            square(7)
            os.kill(os.getpid(), 9)

        if __name__ == "__main__":
            import concurrent.futures
            from stichotrope.integrations.processes import profile

            with profile() as run:
                pool = concurrent.futures.ProcessPoolExecutor(2)
                list(pool.map(square, range(100)))
                try:
                    pool.submit(die).result()
                except concurrent.futures.process.BrokenProcessPool:
                    broken = True
            tell(run, broken=broken)
        """,
    )
    assert (told["hits"], told["broken"]) == ({"square": 101, "inner": 0}, True)
    assert all("was killed, or left without ending" in warning for warning in told["warnings"])


def test_a_process_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """What the others have recorded is there."""
    (told,) = told_by(
        tmp_path,
        """
        def stop():
            import signal
            os.kill(os.getpid(), signal.SIGSTOP)

        if __name__ == "__main__":
            import concurrent.futures, signal
            from stichotrope.integrations.processes import profile

            with profile(timeout_s=1.0) as run:
                pool = concurrent.futures.ProcessPoolExecutor(1)
                pool.submit(square, 1).result()
                (pid,) = pool._processes
                wait_for(run, 1)
                os.kill(pid, signal.SIGSTOP)
            os.kill(pid, signal.SIGCONT)
            tell(run, pid=pid)
        """,
    )
    assert told["hits"]["square"] == 1
    (warning,) = told["warnings"]
    assert warning.startswith(f"process {told['pid']} did not answer within 1 s")


def test_joblib(tmp_path: Path) -> None:
    """Its backends of processes, workers that were there before, and those that stay for the next run."""
    told = told_by(
        tmp_path,
        """
        if __name__ == "__main__":
            from joblib import Parallel, delayed
            from stichotrope.integrations.joblib import profile

            Parallel(n_jobs=2)(delayed(both)(n) for n in range(7))
            for backend in ("loky", "loky", "multiprocessing", "threading", "sequential"):
                with profile() as run:
                    squares = Parallel(n_jobs=2, backend=backend)(delayed(both)(n) for n in range(100))
                    assert squares == [n * n for n in range(100)]
                tell(run)
        """,
    )
    assert [each["hits"] for each in told] == [{"square": 100, "inner": 100}] * 5
    assert [each["warnings"] for each in told] == [[]] * 5


def test_dask(tmp_path: Path) -> None:
    """Workers that are killed, restarted and added; tasks by the prefix of their keys."""
    told = told_by(
        tmp_path,
        """
        def die():
            square(7)
            os.kill(os.getpid(), 9)

        def fail():
            raise ValueError

        if __name__ == "__main__":
            import logging
            import dask
            from distributed import Client, KilledWorker, LocalCluster
            from stichotrope.integrations.dask import profile

            # Else it counts workers as lost that take long to come back, and does not wait for them.
            dask.config.set({"distributed.deploy.lost-worker-timeout": "280s", "distributed.scheduler.allowed-failures": 0})
            with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
                client.gather(client.map(both, range(17)))
                with profile(client) as run:
                    client.gather(client.map(both, range(100), pure=False))
                    square(1)
                    client.submit(fail).exception()
                tell(run, tasks={f"{track.track_name} {one.name}": (one.hit_count, one.error_count) for track in run.tasks().tracks.values() for one in track.blocks if track.track_name == "compute"})
            with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None, silence_logs=logging.CRITICAL) as cluster, Client(cluster) as client:
                with profile(client) as run:
                    client.gather(client.map(both, range(50), pure=False))
                    died = client.submit(die, pure=False).exception()
                    assert isinstance(died, KilledWorker), died
                    cluster.scale(3)
                    client.wait_for_workers(3)
                    client.gather(client.map(both, range(20), pure=False))
                tell(run, deaths=1 + dask.config.get("distributed.scheduler.allowed-failures"))
        """,
    )
    assert told[0]["hits"] == {"square": 101, "inner": 100}
    assert {worker for worker, _ in told[0]["workers"]} == {"0", "1", "client"}
    assert told[0]["tasks"] == {"compute both": [100, 0], "compute fail": [1, 1]}
    assert told[1]["hits"] == {"square": 70 + told[1]["deaths"], "inner": 70}
    assert told[0]["warnings"] == []
    assert all("was killed, or left" in warning for warning in told[1]["warnings"])


def test_dask_has_a_class_of_the_main_program_and_lanes_of_each_worker(tmp_path: Path) -> None:
    """Tracked by its code, and sent by value; each pass once in the timelines, too."""
    told = told_by(
        tmp_path,
        """
        p.keep_timeline(10_000)

        @p.track_class("model")
        class Model:
            def __init__(self, n):
                self.n = n

            def step(self):
                return square(self.n)

        def step(n):
            return Model(n).step()

        if __name__ == "__main__":
            from distributed import Client, LocalCluster
            from stichotrope.integrations.dask import profile

            with LocalCluster(n_workers=4, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
                client.wait_for_workers(4)
                with profile(client) as run:
                    client.gather(client.map(step, range(100), pure=False))
                    client.gather([client.submit(step, 1, workers=[worker], pure=False) for worker in client.nthreads()])
                lanes = run.timelines()
                tell(run, lanes=[[one.metadata["worker"], len(one)] for one in lanes], clocks=len({one.metadata["origin"]["clock"] for one in lanes}))
        """,
    )
    (one,) = told
    entered = {name: hits for name, hits in one["hits"].items() if hits}
    assert entered == {"square": 104, "Model.__init__": 104, "Model.step": 104}
    assert [worker for worker, _ in one["lanes"]] == ["0", "1", "2", "3"]
    assert sum(passes for _, passes in one["lanes"]) == 312
    assert one["clocks"] == 1


def test_dasks_dashboard_has_a_page_while_a_run_lasts(tmp_path: Path) -> None:
    """With what workers have sent until now; afterwards it is gone."""
    (told,) = told_by(
        tmp_path,
        """
        if __name__ == "__main__":
            import urllib.error, urllib.request
            from distributed import Client, LocalCluster
            from stichotrope.integrations.dask import profile

            def status():
                try:
                    with urllib.request.urlopen(address) as answer:
                        return answer.status, answer.read().decode()
                except urllib.error.HTTPError as error:
                    return error.code, error.read().decode()

            with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster, Client(cluster) as client:
                address = f"http://127.0.0.1:{cluster.scheduler.http_server.port}/stichotrope"
                with profile(client) as run:
                    before = status()
                    client.gather(client.map(both, range(50), pure=False))
                    run.results()
                    code, page = status()
                after, _ = status()
                tell(run, before=before, code=code, has_block="square" in page and "<title>app</title>" in page, after=after)
        """,
    )
    assert (told["code"], told["has_block"], told["after"]) == (200, True, 404)
    assert told["before"] == [404, "there are no results, but of nothing at all\n"]


def test_dask_on_threads_of_this_process(tmp_path: Path) -> None:
    """Its workers and the client are one process: what they record counts once."""
    (told,) = told_by(
        tmp_path,
        """
        if __name__ == "__main__":
            from distributed import Client
            from stichotrope.integrations.dask import profile

            with Client(processes=False, n_workers=2, dashboard_address=None) as client:
                with profile(client) as run:
                    client.gather(client.map(both, range(50), pure=False))
                tell(run)
        """,
    )
    assert told["hits"] == {"square": 50, "inner": 50}


def test_ray(tmp_path: Path) -> None:
    """Tasks, actors, `ray.remote(tracked)`; an actor that is killed; shut down at once."""
    told = told_by(
        tmp_path,
        """
        import ray

        @ray.remote
        def task(n):
            return square(n)

        @ray.remote
        class Actor:
            @p.track("work", "ask")
            def ask(self, n):
                return square(n)

            def die(self):
                square(7)
                os.kill(os.getpid(), 9)

        if __name__ == "__main__":
            from stichotrope.integrations.ray import forget, profile, runtime_env

            ray.init(num_cpus=2, runtime_env=runtime_env(), include_dashboard=False, logging_level="ERROR", log_to_driver=False, object_store_memory=100_000_000)
            ray.get([task.remote(n) for n in range(23)])
            with profile() as run:
                assert ray.get([ray.remote(square).remote(n) for n in range(200)])[:3] == [0, 1, 4]
                ray.get([task.remote(n) for n in range(100)])
                actor = Actor.remote()
                ray.get([actor.ask.remote(n) for n in range(50)])
                square(1)
            with profile() as killed:
                actor = Actor.remote()
                ray.get([actor.ask.remote(n) for n in range(50)])
                try:
                    ray.get(actor.die.remote())
                except ray.exceptions.RayActorError:
                    pass
                ray.get([task.remote(n) for n in range(10)])
            forget()
            ray.shutdown()
            tell(run)
            tell(killed)
        """,
    )
    assert [{name: hits for name, hits in each["hits"].items() if hits} for each in told] == [
        {"square": 200 + 100 + 50 + 1, "ask": 50},
        {"square": 61, "ask": 50},
    ]
    assert told[0]["warnings"] == []
    assert all("was killed, or left" in warning for warning in told[1]["warnings"])
    assert all(worker == "driver" or " on node " in worker for worker, _ in told[0]["workers"])


@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark(tmp_path: Path) -> None:
    """RDDs, UDFs, pandas UDFs; all that a killed worker had recorded; nothing is lost at the stop."""
    told = told_by(
        tmp_path,
        """
        def die(n):
            square(n)
            if n == 55:
                os.kill(os.getpid(), 9)

        if __name__ == "__main__":
            import pandas as pd
            from pyspark.sql import SparkSession
            from pyspark.sql.functions import pandas_udf, udf
            from stichotrope.integrations.spark import conf, profile

            settings = conf({"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.ui.showConsoleProgress": "false"})
            spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
            spark.sparkContext.setLogLevel("OFF")
            context = spark.sparkContext
            context.parallelize(range(10), 2).map(square).sum()

            @pandas_udf("long")
            def batch(values: pd.Series) -> pd.Series:
                return values.map(both)

            with profile(spark) as run:
                assert context.parallelize(range(800), 8).map(square).sum() == sum(n * n for n in range(800))
                rows = spark.range(0, 500, 1, 4)
                rows.select(udf(lambda n: square(n), "long")("id").alias("x")).groupBy().sum("x").collect()
                rows.select(batch("id").alias("x")).groupBy().sum("x").collect()
                rows.rdd.mapPartitions(lambda part: [sum(square(row.id) for row in part)]).sum()
            with profile(spark) as killed:
                context.parallelize(range(55), 5).foreach(square)
                try:
                    context.parallelize([55], 1).foreach(die)
                except Exception as error:
                    failed = type(error).__name__
            spark.stop()
            tell(run)
            tell(killed, failed=failed)
        """,
    )
    assert told[0]["hits"] == {"square": 800 + 500 + 500 + 500, "inner": 500}
    assert told[1]["hits"]["square"] == 56
    assert told[1]["failed"] == "Py4JJavaError"
    assert told[0]["warnings"] == []
    assert all("was killed, or left" in warning for warning in told[1]["warnings"])


@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_real_job_gives_the_same_on_an_engine(tmp_path: Path, engine: str) -> None:
    """A swarm of particles that tunes a controller: the same gains, and every pass of it, as on threads."""

    def tuned(name: str) -> tuple[dict[str, Any], dict[str, int]]:
        saved = tmp_path / f"{name}.json"
        options = ("--engine", name, "--workers", "2", "--iterations", "2", "--quiet", "--json")
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.workloads.smc", "tune", *options, "--save", saved],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
        )
        assert done.returncode == 0, done.stderr
        blocks = [one for track in ProfilerResults.load(saved) for one in track]
        # Each process that imports the program registers its controllers.
        hits = {
            one.name: one.hit_count for one in blocks if one.hit_count and one.name != "register"
        }
        return json.loads(done.stdout), hits

    (here, expected), (there, hits) = tuned("threads"), tuned(engine)
    assert there["tuned"] == here["tuned"]
    assert hits == expected
    assert hits["fitness"] == sum(one["evaluations"] for one in here["tuned"])
    assert sum(there["workers"].values()) == there["hits"]
    assert len(there["workers"]) == 3


CELERY_APP = """
import os
from celery import Celery
import stichotrope.integrations.celery
from stichotrope import Profiler

p = Profiler("app")
app = Celery("tasks", broker="filesystem://", backend=f"file://{os.getcwd()}/results")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
app.conf.update(worker_prefetch_multiplier=1, broker_connection_retry_on_startup=False)


@app.task
@p.track("work")
def square(n):
    return n * n


@p.track("work", "outside")
@app.task
def bare(n):
    return n


@app.task
def die(n):
    square(n)
    os.kill(os.getpid(), 9)


@app.task
def calls_outside(n):
    return bare(n)
"""


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_celery(tmp_path: Path, pool: str) -> None:
    """`app.task` over a tracked function and the reverse, on both pools; a pool process that is killed."""
    for folder in ("queue", "control", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tasks.py").write_text(CELERY_APP)
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tasks",
            "worker",
            "-P",
            pool,
            "-c",
            "2",
            "-l",
            "ERROR",
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told, *killed = told_by(
            tmp_path,
            """
            from tasks import app, calls_outside, die, square
            from stichotrope.integrations.celery import profile

            while not app.control.ping(timeout=1.0):
                pass
            square.delay(1).get(timeout=60)
            with profile(app) as run:
                waiting = [square.delay(n) for n in range(40)]
                assert [each.get(timeout=60) for each in waiting] == [n * n for n in range(40)]
                assert [calls_outside.delay(n).get(timeout=60) for n in range(3)] == [0, 1, 2]
            tell(run)
            if POOL == "prefork":
                with profile(app) as run:
                    assert [square.delay(n).get(timeout=60) for n in range(10)] == [n * n for n in range(10)]
                    try:
                        die.delay(7).get(timeout=60)
                    except Exception as error:
                        name = type(error).__name__
                    assert [square.delay(n).get(timeout=60) for n in range(10)] == [n * n for n in range(10)]
                tell(run, failed=name)
            """.replace("POOL", repr(pool)),
        )
    finally:
        worker.terminate()
        worker.wait(30)
    assert told["hits"] == {"square": 40, "outside": 3}
    assert told["warnings"] == []
    assert all(name.startswith("celery@") for name, _ in told["workers"])
    for each in killed:
        assert (each["hits"]["square"], each["failed"]) == (21, "WorkerLostError")
        assert all("was killed, or left" in warning for warning in each["warnings"])
    assert len(killed) == (pool == "prefork")


def test_mpi(tmp_path: Path) -> None:
    """Four ranks, reduced to the first, twice."""
    launcher = Path(sys.executable).parent / "mpiexec"
    told = told_by(
        tmp_path,
        """
        from mpi4py import MPI
        from stichotrope.integrations.mpi import reduce

        class Reduced:
            def __init__(self, results):
                self.results = lambda: results

        rank = MPI.COMM_WORLD.Get_rank()
        for round in range(2):
            for n in range(10 * (rank + 1)):
                square(n)
            results = reduce()
            assert (results is not None) == (rank == 0)
            if results is not None:
                tell(Reduced(results))
        """,
        *(str(launcher), "--allow-run-as-root", "--oversubscribe", "-n", "4", sys.executable),
    )
    assert [each["hits"]["square"] for each in told] == [100, 200]
    assert told[1]["workers"] == [["rank 0", 20], ["rank 1", 40], ["rank 2", 60], ["rank 3", 80]]


def test_mpi_when_a_rank_is_killed(tmp_path: Path) -> None:
    """The launcher ends all of them; what they had recorded stands in a store, to the last pass."""
    program = """
        from mpi4py import MPI

        p.keep_in("store")
        rank = MPI.COMM_WORLD.Get_rank()
        for n in range(10 * (rank + 1)):
            square(n)
        MPI.COMM_WORLD.Barrier()
        if rank == 3:
            os.kill(os.getpid(), 9)
        MPI.COMM_WORLD.Barrier()
        """
    (tmp_path / "job.py").write_text(MARKED + textwrap.dedent(program), encoding="utf-8")
    launcher = Path(sys.executable).parent / "mpiexec"
    options = ("--allow-run-as-root", "--oversubscribe", "-n", "4", sys.executable, "job.py")
    done = subprocess.run(
        [str(launcher), *options],
        cwd=tmp_path,
        capture_output=True,
        timeout=LONGEST_S,
    )
    assert done.returncode
    command = [sys.executable, "-m", "stichotrope", "report", "store", "-o", "all.json"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=LONGEST_S)
    results = ProfilerResults.load(tmp_path / "all.json")
    assert results.get_track("work").get_block("square").hit_count == 100
    assert sorted(one.total_hits for one in results.processes) == [10, 20, 30, 40]
