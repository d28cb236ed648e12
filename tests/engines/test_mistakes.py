"""What engines are given that cannot be: a sentence that says what to do, before any work is done."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from stichotrope import Profiler
from stichotrope.integrations._run import Run
from stichotrope.results.snapshots import Snapshots

pytestmark = pytest.mark.engines


def test_a_run_in_which_nothing_was_recorded_says_what_to_do() -> None:
    """And names who did not answer."""
    silent = Snapshots()
    silent.warn("worker 7 did not answer within 10 s")
    run = Run(lambda: silent, "client")
    with pytest.raises(ValueError, match=r"have to be marked by a Profiler .*; worker 7 did not"):
        run.results()


def test_a_worker_of_another_version_is_named_and_the_others_are_merged() -> None:
    """Of a later format, and of what is none at all."""
    p = Profiler("app")
    with p.block("work", "here"):
        pass
    good = p.get_results().to_bytes()
    found = Snapshots([good])
    found.add_or_name(good[:4] + b"\x09" + good[5:], "worker tcp://10.0.0.2:1")
    results = found.results()
    assert results.total_hits == 1
    (warning,) = results.metadata["warnings"]
    assert warning.startswith("worker tcp://10.0.0.2:1 was left out: ")
    assert "update stichotrope" in warning


def test_dask() -> None:
    """An asynchronous client; workers that have no stichotrope."""
    dask = pytest.importorskip("stichotrope.integrations.dask")
    with (
        pytest.raises(TypeError, match="a client that is not asynchronous"),
        dask.profile(SimpleNamespace(asynchronous=True)),
    ):
        pass

    def register(plugin: object) -> None:
        raise ImportError("No module named 'stichotrope'")

    client = SimpleNamespace(
        asynchronous=False, register_plugin=register, sync=lambda f, *args: asyncio.run(f(*args))
    )
    with (
        pytest.raises(RuntimeError, match=r"No module named 'stichotrope'\): install it there"),
        dask.profile(client),
    ):
        pass


def test_ray() -> None:
    """Not started; an environment that has a hook of its own."""
    ray = pytest.importorskip("stichotrope.integrations.ray")
    with (
        pytest.raises(RuntimeError, match=r"needs ray\.init\(runtime_env=runtime_env\(\)\) before"),
        ray.profile(),
    ):
        pass
    with pytest.raises(ValueError, match=r"'mine.hook'.*call stichotrope.integrations.ray.setup"):
        ray.runtime_env({"worker_process_setup_hook": "mine.hook"})
    given = {"env_vars": {"A": "1"}}
    assert ray.runtime_env(given) == {**given, "worker_process_setup_hook": ray.SETUP_HOOK}
    assert given == {"env_vars": {"A": "1"}}


def test_spark() -> None:
    """A session that was made without; settings that choose another daemon; a worker that sends something else."""
    spark = pytest.importorskip("stichotrope.integrations.spark")
    context = SimpleNamespace(getConf=dict)
    with (
        pytest.raises(RuntimeError, match=r"config\(map=stichotrope.integrations.spark.conf\(\)\)"),
        spark.profile(context),
    ):
        pass
    with pytest.raises(ValueError, match="is 'mine' already; it would have to be"):
        spark.conf({"spark.python.daemon.module": "mine"})
    received = spark.Newest().addInPlace(spark.Received(), b"stcb of an older version")
    (warning,) = received.snapshots().warnings
    assert warning.startswith("a worker was left out")


def app_whose_workers_answer(ping: list[Any], answers: list[Any]) -> Any:
    """A Celery application of which nothing else is asked."""
    control = SimpleNamespace(ping=lambda timeout: ping, broadcast=lambda *_, **__: answers)
    return SimpleNamespace(control=control)


def test_celery() -> None:
    """No worker; one that has not imported the module; one that does not answer."""
    celery = pytest.importorskip("stichotrope.integrations.celery")
    with (
        pytest.raises(RuntimeError, match=r"no worker of .* has answered a ping within 1 s"),
        celery.profile(app_whose_workers_answer([], [])),
    ):
        pass
    there = [{"celery@one": {"ok": "pong"}}]
    strange = app_whose_workers_answer(there, [{"celery@one": {"error": "no such command"}}])
    with (
        pytest.raises(RuntimeError, match=r"have it import stichotrope.integrations.celery, as by"),
        celery.profile(strange),
    ):
        pass
    with celery.profile(app_whose_workers_answer(there, []), timeout_s=2.0) as run:
        pass
    assert run.snapshots().warnings == [
        "worker celery@one did not answer within 3 s: what it has recorded is missing"
    ]


def test_a_block_that_raises_where_the_workers_are_gone() -> None:
    """Its exception goes on; what this process has recorded is there, and what is missing is said."""
    p = Profiler("app")
    answers = iter([Snapshots()])
    run = Run(lambda: next(answers), "client")
    with pytest.raises(KeyError), run.lasting(), p.block("work", "here"):
        raise KeyError
    results = run.results("app")
    assert results.total_hits == 1
    (warning,) = results.metadata["warnings"]
    assert warning.startswith("the workers were not reached (StopIteration: )")
