"""Tasks, workers, event loops, and what is sent to other processes."""

# mypy: ignore-errors
# What it is typed against is in another environment, and not each version of Python has all of it.

from __future__ import annotations

import asyncio
import typing
from typing import Any

from frameworks.gallery import Mark, case


@case("celery", hits={"add": 1, "bound": 1, "each": 2})
def celery(mark: Mark) -> Any:
    """Tasks, bound ones, signatures that are checked, chains."""
    from celery import Celery, chain

    app = Celery("gallery", broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True

    @app.task(name="add")
    @mark
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(bind=True, name="bound")
    @mark
    def bound(self: Any, x: int) -> Any:
        return x, self.name

    @app.task(name="each")
    @mark
    def each(x: int) -> int:
        return x + 1

    try:
        add.delay(1)
    except TypeError as error:
        refused = str(error)
    chained = chain(each.s(1), each.s())().get()
    return add.delay(1, 2).get(), bound.delay(3).get(), refused, chained


@case("joblib", hits={"work": 4})
def joblib_threads(mark: Mark) -> Any:
    """Delayed calls, and a memory of results."""
    from tempfile import TemporaryDirectory

    from joblib import Memory, Parallel, delayed

    @mark
    def work(n: int) -> int:
        return n * n

    with TemporaryDirectory() as folder:
        remembered = Memory(folder, verbose=0).cache(work)
        answers = Parallel(n_jobs=2, backend="threading")(delayed(work)(n) for n in range(3))
        return answers, remembered(3), remembered(3)


@case("joblib", hits={})
def joblib_processes(mark: Mark) -> Any:
    """A closure is sent to other processes by value; it is recorded there."""
    from joblib import Parallel, delayed

    factor = 3

    @mark
    def work(n: int) -> int:
        return n * factor

    return Parallel(n_jobs=2, backend="loky")(delayed(work)(n) for n in range(4))


@case("sklearn", hits={"__init__": 7, "fit": 1, "predict": 1, "widened": 2})
def sklearn(mark: Mark) -> Any:
    """A search over an estimator whose class, scorer and step are sent by value; its last fit, and what is asked of it, are here."""
    import numpy
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    class Nearest(ClassifierMixin, BaseEstimator):
        @mark
        def __init__(self, shift: float = 0.0) -> None:
            self.shift = shift

        @mark
        def fit(self, x: Any, y: Any) -> Any:
            self.classes_ = numpy.unique(y)
            self.centres_ = [x[y == each].mean() + self.shift for each in self.classes_]
            return self

        @mark
        def predict(self, x: Any) -> Any:
            distances = [numpy.abs(x[:, 0] - centre) for centre in self.centres_]
            return self.classes_[numpy.argmin(distances, axis=0)]

    @mark
    def scored(estimator: Any, x: Any, y: Any) -> float:
        return float((estimator.predict(x) == y).mean())

    @mark
    def widened(x: Any) -> Any:
        return x * 2

    x = numpy.arange(20.0)[:, None]
    y = (x[:, 0] > 9).astype(int)
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(widened), Nearest()),
        {"nearest__shift": [0.0, 30.0]},
        scoring=scored,
        n_jobs=2,
        cv=2,
    )
    search.fit(x, y)
    return (
        search.best_params_,
        [round(float(each), 6) for each in search.cv_results_["mean_test_score"]],
        search.predict(x[:3]).tolist(),
        repr(search.best_estimator_),
    )


@case("dask", hits={"double": 3, "total": 1})
def dask(mark: Mark) -> Any:
    """Delayed calls; how they are named is no matter."""
    import dask

    @dask.delayed
    @mark
    def double(n: int) -> int:
        return n * 2

    @dask.delayed
    @mark
    def total(numbers: Any) -> int:
        return sum(numbers)

    return total([double(n) for n in range(3)]).compute(scheduler="synchronous")


@case("ray", hits={})
def ray(mark: Mark) -> Any:
    """Remote functions and actors; they are recorded in the workers."""
    import ray

    @mark
    def work(n: int) -> int:
        return n + 1

    class Actor:
        @mark
        def go(self, n: int) -> int:
            return n * 2

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, ignore_reinit_error=True)
    try:
        actor = ray.remote(Actor).remote()
        return ray.get([ray.remote(work).remote(1), actor.go.remote(4)])
    finally:
        ray.shutdown()


@case("twisted", hits={"steps": 1, "called": 1, "wrong": 1})
def twisted(mark: Mark) -> Any:
    """Inline callbacks and deferreds."""
    from twisted.internet import defer

    results: list[Any] = []

    @mark
    def called(value: int) -> int:
        return value + 1

    @mark
    def wrong(failure: Any) -> str:
        return str(failure.type.__name__)

    @defer.inlineCallbacks
    @mark
    def steps() -> Any:
        one = yield defer.succeed(1)
        return one + 1

    deferred: defer.Deferred[Any] = defer.Deferred()
    deferred.addCallback(called)
    deferred.addCallback(lambda value: 1 / 0 if value == 3 else value)
    deferred.addErrback(wrong)
    deferred.addBoth(results.append)
    deferred.callback(2)
    steps().addBoth(results.append)
    return results


@case("twisted", hits={"test_first": 1, "test_second": 1, "ctcp_PING": 1})
def twisted_by_prefix(mark: Mark) -> Any:
    """Tests, and handlers of messages, are found by their names among functions."""
    from twisted.python import reflect
    from twisted.trial import reporter, runner, unittest
    from twisted.words.protocols import irc

    class Case(unittest.SynchronousTestCase):
        @mark
        def test_first(self) -> None:
            self.called = True

        @mark
        def test_second(self) -> None:
            self.fail("for the count")

    class Client(irc.IRCClient):
        @mark
        def ctcp_PING(self, *query: Any) -> str:  # noqa: N802
            return "ping"

    result = reporter.TestResult()
    runner.TestLoader().loadClass(Case).run(result)
    found = {}
    reflect.accumulateMethods(Client(), found, "ctcp_")
    return result.testsRun, len(result.failures), sorted(found), found["PING"]()


@case("trio", hits={"waits": 1, "outer": 1})
def trio_stacks(mark: Mark) -> Any:
    """Who looks at what a task awaits finds each frame, down to the one that waits."""
    import trio

    @mark
    async def waits(event: Any) -> None:
        await event.wait()

    @mark
    async def outer(event: Any) -> None:
        await waits(event)

    async def main() -> Any:
        event = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outer, event)
            await trio.testing.wait_all_tasks_blocked()
            (task,) = nursery.child_tasks
            frames = [frame.f_code.co_name for frame, _ in task.iter_await_frames()]
            event.set()
        return frames

    import trio.testing

    return trio.run(main)


@case("trio", hits={"child": 2, "main": 1})
def trio(mark: Mark) -> Any:
    """Nurseries."""
    import trio

    seen: list[int] = []

    @mark
    async def child(n: int) -> None:
        await trio.sleep(0)
        seen.append(n)

    @mark
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child, 1)
            nursery.start_soon(child, 2)

    trio.run(main)
    return sorted(seen)


@case("anyio", hits={"child": 1, "main": 1, "blocking": 1})
def anyio(mark: Mark) -> Any:
    """Task groups, threads."""
    import anyio
    import anyio.to_thread

    seen: list[Any] = []

    @mark
    def blocking() -> str:
        return "blocking"

    @mark
    async def child() -> None:
        seen.append(await anyio.to_thread.run_sync(blocking))

    @mark
    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)

    anyio.run(main)
    return seen


@case("gevent", hits={"work": 3})
def gevent(mark: Mark) -> Any:
    """Greenlets in a pool."""
    from gevent import sleep
    from gevent.pool import Pool

    @mark
    def work(n: int) -> int:
        sleep(0)
        return n * 2

    return Pool(2).map(work, range(3))


@case(hits={"waits": 2, "outer": 1})
def asyncio_call_graph(mark: Mark) -> Any:
    """The graph of what awaits what (3.14), and a coroutine that two tasks await."""
    import asyncio

    @mark
    async def waits(seconds: float) -> None:
        await asyncio.sleep(seconds)

    @mark
    async def outer() -> None:
        await waits(10)

    async def main() -> Any:
        task = asyncio.create_task(outer())
        await asyncio.sleep(0)
        capture = getattr(asyncio, "capture_call_graph", None)
        graph = capture and [each.frame.f_code.co_name for each in capture(task).call_stack]
        task.cancel()

        async def share() -> None:
            await shared

        shared = waits(0)
        return graph, await asyncio.gather(share(), share(), task, return_exceptions=True)

    return asyncio.run(main())


@case(hits={"work": 2, "main": 1, "blocking": 1, "callback": 1})
def asyncio_(mark: Mark) -> Any:
    """Tasks, callbacks, executors, and a task's name and code."""
    seen: list[Any] = []

    @mark
    async def work(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @mark
    def blocking(n: int) -> int:
        return n

    @mark
    def callback(task: Any) -> None:
        seen.append(task.result())

    @mark
    async def main() -> Any:
        task = asyncio.ensure_future(work(1))
        task.add_done_callback(callback)
        names = task.get_coro().__qualname__.rpartition(".")[2]
        answers = await asyncio.gather(
            task, asyncio.wait_for(work(2), 5), asyncio.to_thread(blocking, 3)
        )
        return names, answers

    return asyncio.run(main()), seen


@case("simpy", hits={"process": 1})
def simpy(mark: Mark) -> Any:
    """A process that is a generator."""
    import simpy

    @mark
    def process(environment: Any) -> Any:
        yield environment.timeout(3)
        return environment.now

    environment = simpy.Environment()
    running = environment.process(process(environment))
    environment.run()
    return running.value, repr(running).partition(" object")[0]


@case("tenacity", hits={"unsteady": 3})
def tenacity(mark: Mark) -> Any:
    """What is called again until it works."""
    from tenacity import retry, stop_after_attempt

    calls: list[int] = []

    @retry(stop=stop_after_attempt(5))
    @mark
    def unsteady() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise LookupError
        return len(calls)

    return unsteady(), unsteady.statistics["attempt_number"]


@case("apscheduler", hits={"job": 1})
def apscheduler(mark: Mark) -> Any:
    """A job, whose arguments are checked when it is added."""
    from apscheduler.schedulers.background import BackgroundScheduler

    @mark
    def job(n: int) -> None:
        done.append(n)

    done: list[int] = []
    scheduler = BackgroundScheduler()
    try:
        scheduler.add_job(job)
    except ValueError as error:
        refused = str(error)
    added = scheduler.add_job(job, args=[3])
    added.func(*added.args)
    return refused, done, added.name.rpartition(".")[2]


@case("blinker", hits={"hear": 1})
def blinker(mark: Mark) -> Any:
    """A receiver that is held weakly."""
    from blinker import Signal

    signal = Signal()

    @signal.connect
    @mark
    def hear(sender: Any) -> Any:
        return f"heard {sender}"

    answers = [answer for _, answer in signal.send("x")]
    del hear
    import gc

    gc.collect()
    return answers, len(signal.receivers)


@case("transitions", hits={"before": 1})
def transitions(mark: Mark) -> Any:
    """Callbacks that are found by their names."""
    from transitions import Machine

    class Model:
        seen = ""

        @mark
        def before(self) -> None:
            self.seen = "before"

    model: Any = Model()
    Machine(
        model,
        states=["a", "b"],
        initial="a",
        transitions=[{"trigger": "go", "source": "a", "dest": "b", "before": "before"}],
    )
    model.go()
    return model.state, model.seen


@case("traitlets", hits={"changed": 1, "default": 1, "valid": 1})
def traitlets(mark: Mark) -> Any:
    """Observers, defaults, validators."""
    import traitlets

    class Kind(traitlets.HasTraits):
        number = traitlets.Int()
        log: typing.ClassVar[list[Any]] = []

        @traitlets.default("number")
        @mark
        def default(self) -> int:
            return 3

        @traitlets.observe("number")
        @mark
        def changed(self, change: Any) -> None:
            self.log.append((change["old"], change["new"]))

        @traitlets.validate("number")
        @mark
        def valid(self, proposal: Any) -> int:
            return int(proposal["value"]) + 1

    kind = Kind()
    before = kind.number
    kind.number = 8
    return before, kind.number, kind.log
