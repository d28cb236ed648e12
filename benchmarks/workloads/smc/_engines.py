"""Where the swarm's particles are evaluated: on threads here, or by the workers of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

ENGINES = ("threads", "dask", "ray")


class Engine:
    """What evaluates, and the profile of all who did.

    Attributes:
        spread: calls a function elsewhere with each of several tuples of arguments; None where
            threads do it.
    """

    def __init__(self, profiler: Any) -> None:
        self.spread: Any = None
        self._profiler = profiler
        self._run: Any = None

    def results(self) -> Any:
        """Return the profile of this process and of all workers; None of a bare program."""
        if self._profiler is None:
            return None
        if self._run is None:
            return self._profiler.get_results()
        return self._run.results(self._profiler.name)


def check(engine: str) -> None:
    """Raise an ImportError where an engine is not installed."""
    if engine != "threads":
        import_module({"dask": "distributed"}.get(engine, engine))


@contextmanager
def started(name: str, workers: int, profiler: Any) -> Iterator[Engine]:
    """Start an engine on this machine, and end it afterwards.

    Args:
        name: one of `ENGINES`.
        workers: how many processes it has; of threads, the tuner sees to them itself.
        profiler: the program's; None where nothing is recorded.

    Raises:
        ValueError: an engine is to have no workers.
    """
    engine = Engine(profiler)
    if name == "threads":
        yield engine
        return
    if workers < 1:
        raise ValueError(f"workers is {workers}; --engine {name} needs 1 or more")
    start: Callable[[Engine, int, bool, ExitStack], None]
    start = _start_dask if name == "dask" else _start_ray
    with ExitStack() as ends:
        start(engine, workers, profiler is not None, ends)
        yield engine


def _start_dask(engine: Engine, workers: int, profiled: bool, ends: ExitStack) -> None:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
    )
    client = ends.enter_context(Client(ends.enter_context(cluster)))
    if profiled:
        from stichotrope.integrations import dask

        engine._run = ends.enter_context(dask.profile(client))

    def spread(function: Any, arguments: list[tuple[Any, ...]]) -> list[float]:
        futures = [client.submit(function, *each, pure=False) for each in arguments]
        found: list[float] = client.gather(futures)
        return found

    engine.spread = spread


def _start_ray(engine: Engine, workers: int, profiled: bool, ends: ExitStack) -> None:
    import ray

    env = None
    if profiled:
        from stichotrope.integrations import ray as door

        env = door.runtime_env()
    ray.init(
        num_cpus=workers,
        runtime_env=env,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    ends.callback(ray.shutdown)
    if profiled:
        ends.callback(door.forget)
        engine._run = ends.enter_context(door.profile())

    def spread(function: Any, arguments: list[tuple[Any, ...]]) -> list[float]:
        remote = ray.remote(function)
        found: list[float] = ray.get([remote.remote(*each) for each in arguments])
        return found

    engine.spread = spread
