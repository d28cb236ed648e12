"""The controllers: their laws, what they learn, and that the plant settles under each of them."""

from __future__ import annotations

from math import sqrt, tanh

import pytest

np = pytest.importorskip("numpy")

from benchmarks.workloads.smc.controllers import (  # noqa: E402
    CONTROLLERS,
    EQUIVALENT,
    SURFACE,
    Adaptive,
    Classical,
    Controller,
    HybridAdaptive,
    SuperTwisting,
)
from benchmarks.workloads.smc.plant import FORCE_LIMIT, PLANT  # noqa: E402
from benchmarks.workloads.smc.simulation import STARTS, simulate  # noqa: E402

FINAL_NORM = {"classical": 4e-4, "super-twisting": 4e-4, "adaptive": 4e-4, "hybrid": 0.06}


class Idle(Controller):
    """Never pushes."""

    NAME = "idle"
    GAINS = {}  # noqa: RUF012

    def compute_control(self, state):
        return 0.0


class Bully(Idle):
    """Pushes as hard as it can, and harder."""

    def compute_control(self, state):
        return 1e6


@pytest.mark.parametrize("dt", [0.01, pytest.param(0.001, marks=pytest.mark.slow)])
@pytest.mark.parametrize("start", range(len(STARTS)))
@pytest.mark.parametrize("kind", CONTROLLERS, ids=lambda kind: kind.NAME)
def test_the_plant_settles(kind, start, dt):
    """After 10 s it stands upright and at rest, and was never pushed by 26 N."""
    trajectory = simulate(kind(dt), STARTS[start], dt, 10.0)
    assert not trajectory.fell
    assert trajectory.time == pytest.approx(10.0)
    assert trajectory.peak_force < 26.0
    assert trajectory.final_norm <= FINAL_NORM[kind.NAME]


def test_without_control_the_first_link_falls():
    """And the simulation ends when it has."""
    trajectory = simulate(Idle(0.01), STARTS[1], 0.01, 10.0)
    assert trajectory.fell
    assert trajectory.time < 10.0
    assert abs(trajectory.states[-1][1]) > np.pi / 2 >= abs(trajectory.states[-2][1])
    assert trajectory.states.shape == (len(trajectory.forces) + 1, 6)


def test_no_force_is_larger_than_the_actuators():
    """What a controller asks for beyond it is cut off."""
    trajectory = simulate(Bully(0.01), STARTS[1], 0.01, 0.05)
    assert np.array_equal(trajectory.forces, [FORCE_LIMIT] * len(trajectory.forces))
    assert trajectory.peak_force == FORCE_LIMIT


@pytest.mark.parametrize("place", range(6))
def test_the_equivalent_control_holds_the_surface(place):
    """To first order in any component of the state, σ stays what it is."""
    h = 1e-7
    state = np.zeros(6)
    state[place] = h
    drift = SURFACE @ PLANT.derivative(state, -float(EQUIVALENT @ state)) / h
    assert abs(drift) < 2e-2  # the constants are given to four or five digits


@pytest.mark.parametrize("kind", CONTROLLERS, ids=lambda kind: kind.NAME)
def test_at_rest_upright_no_force_is_asked_for(kind):
    """σ is 0 there, and so is all that is made of it."""
    assert kind(0.01).compute_control(np.zeros(6)) == 0.0


@pytest.mark.parametrize("kind", CONTROLLERS, ids=lambda kind: kind.NAME)
def test_the_force_is_the_equivalent_control_and_the_drive(kind):
    """What holds σ and what drives it to 0 are added up."""
    state = np.array(STARTS[2])
    drive = kind(0.01)._drive(float(SURFACE @ state))
    assert kind(0.01).compute_control(state) == drive - float(EQUIVALENT @ state)


@pytest.mark.parametrize("sigma", [-2.0, -0.03, 0.4])
def test_classical_switches_and_damps(sigma):
    """By its two gains; nothing is learnt."""
    controller = Classical(0.01, {"K": 7, "kd": 2, "epsilon": 0.5})
    expected = -7 * tanh(sigma / 0.5) - 2 * sigma
    assert [controller._drive(sigma) for _ in range(2)] == [expected] * 2


def test_super_twisting_integrates_the_sign():
    """The integrator moves after the force is known, against σ."""
    controller = SuperTwisting(0.1, {"K1": 2, "K2": 3, "d": 1, "epsilon": 0.5})
    sat = tanh(0.25 / 0.5)
    first = -2 * sqrt(0.25) * sat - 0.25
    assert controller._drive(0.25) == pytest.approx(first, rel=1e-15)
    assert controller.z == pytest.approx(-3 * sat * 0.1, rel=1e-15)
    assert controller._drive(0.25) == pytest.approx(first - 3 * sat * 0.1, rel=1e-15)
    controller.reset()
    assert controller._drive(0.25) == pytest.approx(first, rel=1e-15)


def test_adaptive_learns_outside_the_dead_zone_only():
    """By γ|σ| a second, and not beyond the gain's bounds."""
    controller = Adaptive(0.1, {"K": 1, "gamma": 4, "dead_zone": 0.5})
    controller._drive(0.5)
    assert controller.k == 1
    controller._drive(-0.75)
    assert controller.k == pytest.approx(1 + 4 * 0.75 * 0.1)
    for _ in range(3):
        controller._drive(1e3)
    assert controller.k == 100
    controller.reset()
    assert controller.k == 1


def test_hybrid_learns_at_a_limited_rate_and_leaks():
    """Both gains grow outside the dead zone and fade inside it, within their bounds."""
    gains = {"K1": 2, "K2": 1, "gamma1": 4, "gamma2": 2, "leak": 0.5, "rate": 3, "dead_zone": 0.1}
    controller = HybridAdaptive(0.1, gains)
    controller._drive(1.0)  # 4·1 − 0.5·2 and 2·1 − 0.5·1
    assert (controller.k1, controller.k2) == pytest.approx((2.3, 1.15))
    controller._drive(10.0)  # both would grow faster than the limit
    assert (controller.k1, controller.k2) == pytest.approx((2.6, 1.45))
    controller._drive(0.05)  # the leak alone
    assert (controller.k1, controller.k2) == pytest.approx((2.6 - 0.13, 1.45 - 0.0725))
    for _ in range(1000):
        controller._drive(0.0)
    assert (controller.k1, controller.k2) == (0.1, 0.1)
    controller.reset()
    assert (controller.k1, controller.k2, controller.z) == (2, 1, 0)


def test_the_hybrid_law_is_super_twisting_with_the_gains_of_the_moment():
    """With no adaptation at all it is the same controller."""
    still = HybridAdaptive(0.01, {"K1": 8, "K2": 4, "rate": 0})
    twin = SuperTwisting(0.01)
    sigmas = [0.3, -0.2, 0.01, 0.0, 1.5]
    assert [still._drive(s) for s in sigmas] == [twin._drive(s) for s in sigmas]


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"K3": 1}, TypeError, "classical has no gain 'K3'; it has K, kd, epsilon"),
        ({"K": "7"}, TypeError, "classical: gain K must be a number, not '7'"),
        ({"K": True}, TypeError, "classical: gain K must be a number, not True"),
        ({"K": None}, TypeError, "classical: gain K must be a number, not None"),
        ({"kd": float("nan")}, ValueError, "classical: gain kd is nan; it must be from 0.1 to 50"),
        ({"kd": -1}, ValueError, "classical: gain kd is -1.0; it must be from 0.1 to 50"),
        ({"epsilon": 0}, ValueError, "classical: gain epsilon is 0.0; it must be from 0.0001"),
    ],
)
def test_a_bad_gain_is_refused(wrong, error, sentence):
    """With what was given and what is expected."""
    with pytest.raises(error) as raised:
        Classical(0.01, wrong)
    assert str(raised.value).startswith(sentence)


def test_a_gain_may_be_any_number():
    """An int or a number of NumPy's is as good as a float."""
    assert Classical(0.01, {"K": 7, "kd": np.float64(2)}).gains == {
        "K": 7.0,
        "kd": 2.0,
        "epsilon": 0.1,
    }


@pytest.mark.parametrize("dt", [0.0, -1.0, float("inf"), float("nan")])
def test_a_step_that_is_none_is_refused(dt):
    """By controllers and by the simulation."""
    with pytest.raises(ValueError, match="must be positive and finite"):
        Classical(dt)
    with pytest.raises(ValueError, match="both must be positive and finite"):
        simulate(Classical(0.01), STARTS[0], dt, 1.0)


@pytest.mark.parametrize("start", [[0] * 5, [0, float("nan"), 0, 0, 0, 0], 3.0])
def test_a_start_that_is_no_state_is_refused(start):
    """It has six finite numbers."""
    with pytest.raises(ValueError, match="a start state is 6 finite numbers, not"):
        simulate(Classical(0.01), start, 0.01, 1.0)


def test_a_controller_without_a_law_says_so():
    """The base class drives nothing."""

    class Lawless(Controller):
        NAME = "lawless"
        GAINS = {}  # noqa: RUF012

    with pytest.raises(NotImplementedError, match="Lawless says nothing about how it drives"):
        Lawless(0.01).compute_control(np.zeros(6))
