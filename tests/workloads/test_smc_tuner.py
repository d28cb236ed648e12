"""The tuner: what a trajectory costs, how the swarm moves, and that workers change nothing."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")

from benchmarks.workloads.smc.controllers import SURFACE  # noqa: E402
from benchmarks.workloads.smc.simulation import STARTS, Trajectory, simulate  # noqa: E402
from benchmarks.workloads.smc.tuner import Problem, Swarm, cost, tune  # noqa: E402

QUICK = Problem("classical", duration=0.2)


def trajectory(states, forces, *, dt=0.5, duration=1.0, fell=False):
    """A trajectory of such states after a start at zero."""
    found = np.zeros((len(states) + 1, 6))
    found[1:] = states
    return Trajectory(dt, duration, found, np.array(forces, dtype=float), fell)


def test_rest_costs_nothing():
    """Upright, with no force."""
    assert cost(trajectory(np.zeros((2, 6)), [0, 0])) == 0.0


def test_each_part_of_the_cost_has_its_weight():
    """Squared state, squared force, its squared rate and σ², each over time."""
    states = [[1, 0, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0]]
    squares = 0.5 * (1 + 4)
    off_surface = 0.5 * (SURFACE[0] ** 2 + (2 * SURFACE[1]) ** 2)
    effort = 0.5 * (3**2 + 5**2)
    rate = 0.5 * ((5 - 3) / 0.5) ** 2
    expected = squares + 0.1 * effort + 0.01 * rate + 0.1 * off_surface
    assert cost(trajectory(states, [3, 5])) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("steps", "extra"), [(1, 750.0), (2, 500.0), (4, 0.0)])
def test_a_fall_costs_more_the_earlier_it_comes(steps, extra):
    """A thousand, scaled by the time that was left."""
    fallen = trajectory(np.zeros((steps, 6)), [0] * steps, dt=0.25, fell=True)
    assert cost(fallen) == extra


def test_a_fall_is_worse_than_any_control():
    """A controller that lets the link fall costs more than the default one."""
    weak = Problem("classical", dt=0.01, duration=2.0, start=(0, 1.5, 0, 0, 3, 0))
    assert simulate(weak.factory.create("classical", 0.01), weak.start, 0.01, 2.0).fell
    assert weak.fitness({}) > 500 > Problem("classical", duration=2.0).fitness({})


def test_the_swarm_starts_inside_the_bounds():
    """Each dimension has its own."""
    swarm = Swarm([(1, 2), (-5, -3)], 50, seed=3)
    assert swarm.places.shape == (50, 2)
    assert np.all((swarm.places >= [1, -5]) & (swarm.places <= [2, -3]))
    assert not swarm.velocities.any()


def test_the_swarm_never_leaves_the_bounds():
    """A particle that hits a wall stops there."""
    swarm = Swarm([(0, 1)], 20, seed=1)
    swarm.learn(-swarm.places[:, 0])  # the best is at the upper wall
    swarm.velocities[:] = 5.0
    swarm.move()
    assert np.array_equal(swarm.places, np.ones((20, 1)))
    assert not swarm.velocities.any()


def test_a_particle_moves_by_its_momentum_and_two_pulls():
    """At its own best and the swarm's at once, only 0.7 of its velocity is left."""
    swarm = Swarm([(0, 100)], 1, seed=1)
    start = swarm.places.copy()
    swarm.learn(np.array([1.0]))
    swarm.velocities[:] = 0.01
    swarm.move()
    assert np.allclose(swarm.places - start, 0.007, rtol=1e-9)


def test_pulls_are_drawn_between_nothing_and_twice_the_way():
    """To the particle's own best place and to the swarm's, each with a random part of its own."""
    swarm = Swarm([(-1000, 1000)], 2, seed=7)
    twin = np.random.default_rng(7)
    twin.uniform(size=(2, 1))  # what scattering draws
    own, shared = twin.random((2, 2))
    swarm.places[:] = [[0.0], [10.0]]
    swarm.best_places[:] = [[-4.0], [10.0]]
    swarm.best_costs[:] = [2.0, 1.0]
    swarm.move()
    first = 2 * own[0] * -4 + 2 * shared[0] * 10
    assert swarm.velocities.ravel() == pytest.approx([first, 0])
    assert swarm.places.ravel() == pytest.approx([first, 10])


def test_only_what_is_better_is_learnt():
    """Costs that are equal or higher leave the best place as it was, and of equals the first leads."""
    swarm = Swarm([(0, 1)], 3, seed=1)
    swarm.learn(np.array([3.0, 2.0, 2.0]))
    first = swarm.places.copy()
    swarm.places = swarm.places + 10
    swarm.learn(np.array([2.5, 2.0, 4.0]))
    assert swarm.best_costs.tolist() == [2.5, 2.0, 2.0]
    assert np.array_equal(swarm.best_places[1:], first[1:])
    assert np.array_equal(swarm.best_places[0], first[0] + 10)
    assert swarm.best == 1


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_workers_change_nothing(workers):
    """Gains, cost and history are the same to the last bit, on any number of threads."""
    found = [tune(QUICK, workers=w, particles=6, iterations=3, seed=5) for w in (workers, 0)]
    assert found[0] == found[1]


def test_the_seed_decides():
    """Another one finds other gains."""
    first, again, other = (
        tune(QUICK, particles=4, iterations=1, workers=0, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.gains != other.gains


@pytest.mark.parametrize("controller", ["classical", "super-twisting", "adaptive", "hybrid"])
def test_tuning_finds_gains_that_cost_less(controller):
    """Never more than before, in the end less than at the start, and what is said is what they cost."""
    problem, told = Problem(controller), []
    tuned = tune(
        problem, particles=10, iterations=5, progress=lambda *said: told.append(said), seed=1
    )
    assert list(tuned.history) == sorted(tuned.history, reverse=True)
    assert tuned.history[-1] < tuned.history[0]
    assert tuned.cost == tuned.history[-1] == problem.fitness(tuned.gains)
    assert told == list(enumerate(tuned.history))
    assert tuned.evaluations == 60
    bounds = problem.tuned_gains()
    assert set(tuned.gains) == set(bounds)
    assert all(least <= tuned.gains[name] <= most for name, (least, most) in bounds.items())


def test_every_particle_is_evaluated_from_the_problems_start():
    """Fitness is the cost of one simulation with those gains."""
    problem = Problem("super-twisting", STARTS[1], 0.005, 0.5)
    controller = problem.factory.create("super-twisting", 0.005, K1=3, K2=2)
    expected = cost(simulate(controller, STARTS[1], 0.005, 0.5))
    assert problem.fitness({"K1": 3.0, "K2": 2.0}) == expected


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"particles": 0}, "particles is 0; it must be 1 or more"),
        ({"iterations": -1}, "iterations is -1; it must be 1 or more"),
        ({"workers": -1}, "workers is -1; it must be 0 or more"),
    ],
)
def test_a_number_out_of_range_is_refused(wrong, sentence):
    """With the number and what it may be."""
    with pytest.raises(ValueError, match=sentence):
        tune(QUICK, **wrong)


def test_an_unknown_controller_is_not_tuned():
    """The factory says which there are."""
    with pytest.raises(ValueError, match="no controller is called 'pid'"):
        tune(Problem("pid"))


@pytest.mark.parametrize("workers", [0, 3])
def test_an_error_in_a_particle_ends_the_tuning(workers):
    """It reaches the caller, and no thread is left."""
    with pytest.raises(ValueError, match="a start state is 6 finite numbers"):
        tune(Problem("classical", start=(0.0,)), workers=workers)
