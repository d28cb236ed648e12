"""What happens to workers while a run lasts, and between runs: no pass is lost, and the block is left: make engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_engines import told_by

pytestmark = pytest.mark.engines

CLUSTER = "LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=60)"


@pytest.mark.parametrize("has_worked_before", [False, True])
def test_a_process_that_is_killed_in_a_later_run_leaves_all_of_it(
    tmp_path: Path, has_worked_before: bool
) -> None:
    """Its profiler has one store for as long as it lives; what it recorded before is not the run's."""
    told = told_by(
        tmp_path,
        f"""
        def work(dies):
            for n in range(100):
                square(n)
            if dies:
                os.kill(os.getpid(), 9)

        if __name__ == "__main__":
            import concurrent.futures, multiprocessing
            from stichotrope.integrations.processes import profile

            with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                if {has_worked_before}:
                    pool.submit(work, False).result()
                for number in range(3):
                    with profile() as run:
                        for task in range(10):
                            pool.submit(work, number == 2 and task == 9).exception()
                    tell(run)
        """,
    )
    assert [each["hits"]["square"] for each in told] == [1000] * 3
    assert [each["warnings"] for each in told[:2]] == [[]] * 2
    (warning,) = told[2]["warnings"]
    assert "was killed, or left without ending" in warning


def test_a_dask_worker_that_is_killed_in_a_later_run_leaves_all_of_it(tmp_path: Path) -> None:
    """Another of its machine, or the one that takes its place, reads its store."""
    told = told_by(
        tmp_path,
        f"""
        def work(n, flag):
            for _ in range(100):
                square(n)
            if n == 7 and flag and not os.path.exists(flag):
                open(flag, "w").close()
                os.kill(os.getpid(), 9)

        if __name__ == "__main__":
            from distributed import Client, LocalCluster
            from stichotrope.integrations.dask import profile

            with {CLUSTER} as cluster, Client(cluster) as client:
                for flag in ("", "first", "second"):
                    with profile(client) as run:
                        for n in range(20):
                            client.submit(work, n, flag, pure=False).result()
                    tell(run)
        """,
    )
    assert [each["hits"]["square"] for each in told] == [2000, 2100, 2100]
    assert [len(each["warnings"]) for each in told] == [0, 1, 1]


def test_a_dask_worker_that_does_not_answer_keeps_nobody(tmp_path: Path) -> None:
    """The block is left, and the worker named; one that is stopped before the run likewise."""
    told = told_by(
        tmp_path,
        f"""
        if __name__ == "__main__":
            import signal
            from distributed import Client, LocalCluster
            from stichotrope.integrations.dask import profile

            with {CLUSTER} as cluster, Client(cluster) as client:
                stopped, other = client.run(os.getpid)
                pid = client.run(os.getpid)[stopped]
                with profile(client, timeout_s=1.0) as run:
                    client.gather([client.submit(square, n, workers=[other], pure=False) for n in range(9)])
                    os.kill(pid, signal.SIGSTOP)
                tell(run, stopped=stopped)
                with profile(client, timeout_s=1.0) as run:
                    client.submit(square, 3, workers=[other], pure=False).result()
                tell(run, stopped=stopped)
                os.kill(pid, signal.SIGCONT)
        """,
    )
    assert [each["hits"]["square"] for each in told] == [9, 1]
    for each in told:
        (warning,) = each["warnings"]
        assert warning.startswith(f"worker {each['stopped']} was not reached: no answer within 1 s")


JOINING = """
        def join(cluster, path):
            os.makedirs("without", exist_ok=True)
            with open("without/stichotrope.py", "w") as file:
                file.write("raise ModuleNotFoundError('No module named stichotrope')")
            command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-dashboard", "--name", "bare"]
            return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""


def test_a_dask_worker_without_stichotrope_that_joins_works(tmp_path: Path) -> None:
    """As it would without the run, in whose results it is named."""
    (told,) = told_by(
        tmp_path,
        f"""
        import subprocess
        {JOINING}
        if __name__ == "__main__":
            from distributed import Client, LocalCluster
            from stichotrope.integrations.dask import profile

            with {CLUSTER} as cluster, Client(cluster) as client:
                with profile(client) as run:
                    bare = join(cluster, os.path.abspath("without"))
                    try:
                        client.wait_for_workers(3, timeout=120)
                        address = next(a for a, w in client.scheduler_info()["workers"].items() if w["name"] == "bare")
                        worked = client.submit(abs, -3, workers=[address]).result()
                        client.gather(client.map(square, range(9), workers=[a for a in client.scheduler_info()["workers"] if a != address]))
                        run.finish()
                    finally:
                        bare.terminate()
                        bare.wait()
                tell(run, worked=worked, address=address)
        """,
    )
    assert (told["hits"]["square"], told["worked"]) == (9, 3)
    (warning,) = [one for one in told["warnings"] if told["address"] in one]
    assert "stichotrope cannot be imported there" in warning


def test_a_dask_worker_without_stichotrope_that_is_there_is_told_of(tmp_path: Path) -> None:
    """Before the block; the cluster is as it was."""
    told = told_by(
        tmp_path,
        f"""
        import subprocess
        {JOINING}
        def plugins(dask_scheduler):
            return [name for name in [*dask_scheduler.plugins, *dask_scheduler.worker_plugins, *dask_scheduler.stream_handlers, *dask_scheduler.handlers] if "stichotrope" in name]

        if __name__ == "__main__":
            from distributed import Client, LocalCluster
            from stichotrope.integrations.dask import profile

            with {CLUSTER} as cluster, Client(cluster) as client:
                bare = join(cluster, os.path.abspath("without"))
                try:
                    client.wait_for_workers(3, timeout=120)
                    try:
                        with profile(client):
                            raise SystemExit("it began")
                    except RuntimeError as error:
                        said = str(error)
                    print(json.dumps({{"hits": {{}}, "said": said, "left": client.run_on_scheduler(plugins)}}))
                finally:
                    bare.terminate()
                    bare.wait()
        """,
    )
    (only,) = told
    assert only["said"].startswith("stichotrope cannot be imported where the cluster runs (")
    assert "install it there" in only["said"]
    assert len(only["left"]) <= 1  # a stream's handler, for messages that are on their way


@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_a_block_that_raises_has_results(tmp_path: Path, engine: str) -> None:
    """What was recorded until then; the exception is the program's own."""
    (told,) = told_by(
        tmp_path,
        f"""
        if __name__ == "__main__":
            import concurrent.futures, contextlib
            with contextlib.ExitStack() as stack:
                if {engine == "dask"}:
                    from distributed import Client, LocalCluster
                    from stichotrope.integrations.dask import profile

                    client = stack.enter_context(Client(stack.enter_context({CLUSTER})))
                    lasting, work = profile(client), lambda: client.gather(client.map(square, range(9), pure=False))
                else:
                    from stichotrope.integrations.processes import profile

                    pool = stack.enter_context(concurrent.futures.ProcessPoolExecutor(2))
                    lasting, work = profile(), lambda: list(pool.map(square, range(9)))
                try:
                    with lasting as run:
                        work()
                        raise KeyError("its own")
                except KeyError as error:
                    said = str(error)
                work()  # of no run
                tell(run, said=said)
        """,
    )
    assert (told["hits"]["square"], told["said"], told["warnings"]) == (9, "'its own'", [])
