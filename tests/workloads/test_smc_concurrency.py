"""Factory and tuner under many threads at once; whoever hangs is shown with all stacks."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import Counter
from itertools import chain

import pytest

np = pytest.importorskip("numpy")

from benchmarks.workloads.smc._tracks import marks  # noqa: E402
from benchmarks.workloads.smc.controllers import CONTROLLERS, Classical, Controller, Gain  # noqa: E402
from benchmarks.workloads.smc.factory import ControllerFactory  # noqa: E402
from benchmarks.workloads.smc.simulation import STARTS, simulate  # noqa: E402
from benchmarks.workloads.smc.tuner import Problem, tune  # noqa: E402
from conftest import hits  # noqa: E402
from stichotrope import _core  # noqa: E402

pytestmark = [pytest.mark.concurrent, pytest.mark.usefixtures("switching")]

KINDS = tuple(kind.NAME for kind in CONTROLLERS)
STATE = np.array(STARTS[2])


@pytest.fixture
def factory():
    """A factory of one's own."""
    return ControllerFactory()


@pytest.fixture
def recorded_blocks():
    """What the program's own profiler has recorded since: block → passes."""
    if marks.profiler is None or not marks.profiler.is_started():
        pytest.skip("the program is not instrumented")
    marks.profiler.clear()
    return lambda: {name: count for name, count in hits(marks.profiler).items() if count}


def version(number):
    """A kind whose law and gains both tell its number."""
    gains = {**Classical.GAINS, "K": Gain(float(number), 0, 1e9)}
    return type("Versioned", (Classical,), {"__doc__": f"version {number}", "GAINS": gains})


def test_a_hundred_controllers_at_once(factory, threads, recorded_blocks):
    """50 threads make two each, all different objects."""
    made: list[Controller] = []

    def create(place):
        for i in range(2):
            made.append(factory.create(KINDS[(place + i) % 4], 0.01))

    threads.together(*(lambda i=i: create(i) for i in range(50)))
    assert len({id(controller) for controller in made}) == 100
    assert len({id(controller.gains) for controller in made}) == 100
    assert recorded_blocks() == {"create": 100}


def test_eighty_of_all_kinds_mixed(factory, threads, recorded_blocks):
    """Exactly 20 of each come out, whoever asks for what and when."""
    made: list[Controller] = []

    def create(place):
        for i in range(4):
            made.append(factory.create(KINDS[(place + i) % 4], 0.01))

    threads.together(*(lambda i=i: create(i) for i in range(20)))
    assert Counter(type(controller) for controller in made) == dict.fromkeys(CONTROLLERS, 20)
    assert recorded_blocks() == {"create": 80}


def test_a_thousand_lives_leave_nothing(factory, threads, recorded_blocks):
    """Created, used and dropped on 20 threads: no controller is left, and memory does not grow."""

    def live(cycles):
        for i in range(cycles):
            controller = factory.create(KINDS[i % 4], 0.01)
            controller.compute_control(STATE)

    def round_of(cycles):
        threads.together(*(lambda: live(cycles) for _ in range(20)))
        gc.collect()
        return sys.getallocatedblocks(), _core.memory()["stores"]

    round_of(10)
    before, stores = round_of(10)
    after, stores_after = round_of(50)
    alive = [found for found in gc.get_objects() if isinstance(found, CONTROLLERS)]
    assert alive == []
    assert stores_after == stores
    assert after - before < 500, "a thousand more lives left half an object each, or more"
    assert recorded_blocks()["create"] == 20 * (10 + 10 + 50)


@pytest.mark.parametrize("controller", KINDS)
def test_fitness_in_parallel_equals_fitness_in_turn(controller, threads):
    """The same particles cost the same on eight threads at once, to the last bit."""
    problem = Problem(controller, duration=0.3)
    bounds = problem.tuned_gains()
    random = np.random.default_rng(2)
    particles = [
        {name: random.uniform(*limits) for name, limits in bounds.items()} for _ in range(8)
    ]
    serial = [problem.fitness(gains) for gains in particles]
    parallel = threads.together(
        *(lambda gains=gains: problem.fitness(gains) for gains in particles)
    )
    assert parallel == serial
    assert len(set(serial)) > 1


class Watched(ControllerFactory):
    """Keeps all that it makes, and notes for which thread."""

    def __init__(self):
        super().__init__()
        self.made = []

    def create(self, name, dt, /, **gains):
        """Create, and note it."""
        controller = super().create(name, dt, **gains)
        self.made.append((threading.get_ident(), controller))
        return controller


def test_particles_are_isolated():
    """Each has a controller of its own, with gains and state that no other one sees."""
    watched = Watched()
    tuned = tune(
        Problem("hybrid", duration=0.1, factory=watched), particles=10, iterations=4, workers=4
    )
    controllers = [controller for _, controller in watched.made]
    assert len(controllers) == tuned.evaluations == 50
    assert len({id(controller) for controller in controllers}) == 50
    assert len({id(controller.gains) for controller in controllers}) == 50
    for controller in controllers:
        alone = watched.create("hybrid", controller.dt, **controller.gains)
        simulate(alone, STARTS[2], controller.dt, 0.1)
        assert vars(controller) == vars(alone)


def test_a_thousand_reads_of_the_registry(factory, threads, recorded_blocks):
    """By 100 threads; each sees all four kinds."""

    def read():
        seen = []
        for i in range(5):
            seen.append(factory.list())
            seen.append(factory.info(KINDS[i % 4]).name)
        return seen

    seen = threads.together(*(read for _ in range(100)))
    counted = Counter(chain.from_iterable(seen))
    assert counted.pop(KINDS) == 500
    assert counted == dict(zip(KINDS, (200, 100, 100, 100), strict=True))
    assert recorded_blocks() == {"list": 500, "info": 500}


def test_no_reader_sees_a_torn_registry(factory, threads, recorded_blocks):
    """450 reads among 50 writes: kinds only ever come, and each is one whole version of itself."""
    factory.register("versioned", version(0))

    def mix(place):
        seen = [()]
        for i in range(9):
            names = factory.list()
            assert set(seen[-1]) <= set(names)
            seen.append(names)
            if i == place % 9:
                factory.register("versioned", version(place + 1), replace=True)
            info = factory.info("versioned")
            assert info.law == f"version {info.gains['K'].default:.0f}"
            assert info.gains["K"].default <= 25

    def add(place):
        for i in range(9):
            names = factory.list()
            if i == place % 9:
                factory.register(f"added {place}", Classical)
                assert f"added {place}" in factory.list()
            assert factory.info(names[-1]).name == names[-1]

    jobs = [*(lambda i=i: mix(i) for i in range(25)), *(lambda i=i: add(i) for i in range(25))]
    threads.together(*jobs)
    assert set(factory.list()) == {*KINDS, "versioned", *(f"added {i}" for i in range(25))}
    assert recorded_blocks() == {"list": 450 + 25 + 1, "info": 450, "register": 51}


def test_creating_while_tuning(factory, threads):
    """Who creates and registers beside a swarm of workers does not change what it finds, or hang."""
    problem = Problem("classical", duration=0.1, factory=factory)
    alone = tune(problem, particles=10, iterations=5, workers=0, seed=4)
    over = threading.Event()

    def tuning():
        try:
            return tune(problem, particles=10, iterations=5, workers=4, seed=4)
        finally:
            over.set()

    def creating(place):
        made = 0
        while not over.is_set() or made < 10:
            assert type(factory.create(KINDS[made % 4], 0.01)) is CONTROLLERS[made % 4]
            factory.register(f"kind {place}", Classical, replace=True)
            made += 1
        return made

    tuned, *made = threads.together(tuning, *(lambda i=i: creating(i) for i in range(4)))
    assert tuned == alone
    assert min(made) >= 10


def test_all_operations_mixed(factory, threads, recorded_blocks):
    """Creating, listing, asking, registering and tuning, all at once: each is done, and none waits for ever."""

    def operate(place):
        for i in range(20):
            operation = (place + i) % 4
            if operation == 0:
                factory.create(KINDS[i % 4], 0.01)
            elif operation == 1:
                assert set(KINDS) <= set(factory.list())
            elif operation == 2:
                assert factory.info(KINDS[i % 4]).name == KINDS[i % 4]
            else:
                factory.register(f"kind {place} {i}", Classical)

    def swarm():
        tune(
            Problem("adaptive", duration=0.05, factory=factory),
            particles=5,
            iterations=2,
            workers=3,
        )

    threads.together(*(lambda i=i: operate(i) for i in range(20)), swarm, swarm)
    found = recorded_blocks()
    evaluations = 2 * 5 * 3
    asked = {name: found[name] for name in ("create", "list", "info", "register", "fitness")}
    assert asked == {
        "create": 100 + evaluations,
        "list": 100,
        "info": 100 + 2,
        "register": 100,
        "fitness": evaluations,
    }
    assert len(factory.list()) == 4 + 100


def test_what_is_dropped_dies(factory, threads):
    """200 weak references, made by 20 threads, are all dead."""

    def create(place):
        made = [factory.create(KINDS[(place + i) % 4], 0.01) for i in range(10)]
        for controller in made:
            controller.compute_control(STATE)
        return [weakref.ref(controller) for controller in made]

    references = list(
        chain.from_iterable(threads.together(*(lambda i=i: create(i) for i in range(20))))
    )
    gc.collect()
    assert len(references) == 200
    assert [reference() for reference in references] == [None] * 200
