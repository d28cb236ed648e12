"""The cart with two links: its equations, its energy, and how it is integrated."""

from __future__ import annotations

from math import pi

import pytest

np = pytest.importorskip("numpy")

from benchmarks.workloads.smc.plant import PLANT, Plant  # noqa: E402
from benchmarks.workloads.smc.simulation import STARTS, step  # noqa: E402

FREE = PLANT.without_friction()
STATES = np.random.default_rng(1).uniform(-2, 2, (20, 6))


def coasting(plant, start, dt, duration):
    """The states of a plant that nothing pushes."""
    state = np.array(start)
    yield state
    for _ in range(round(duration / dt)):
        state = step(plant, state, 0.0, dt)
        yield state


def test_the_mass_matrix_upright_is_made_of_the_constants():
    """With both links upright each element is a sum of products of masses and lengths."""
    expected = [[1.85, 0.1, 0.0225], [0.1, 0.0401, 0.009], [0.0225, 0.009, 0.006775]]
    assert np.allclose(PLANT.mass_matrix(np.zeros(6)), expected, rtol=1e-14, atol=0)


def test_the_mass_matrix_turns_with_the_links():
    """What couples links and cart goes with the cosine of their angles, and of the difference."""
    matrix = PLANT.mass_matrix(np.array([0, pi / 3, pi, 0, 0, 0]))
    coupled = [matrix[0, 1], matrix[0, 2], matrix[1, 2]]
    expected = [0.1 / 2, -0.0225, 0.009 * np.cos(-2 * pi / 3)]
    assert np.allclose(coupled, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("state", STATES[:5], ids=range(5))
def test_the_mass_matrix_is_symmetric_and_positive_definite(state):
    """As that of anything with mass is."""
    matrix = PLANT.mass_matrix(state)
    assert np.array_equal(matrix, matrix.T)
    assert np.all(np.linalg.eigvalsh(matrix) > 0)


def test_the_velocity_matrix_has_the_written_elements():
    """Each element, at a state in which none is zero by chance."""
    t1, t2, w1, w2 = 0.3, -0.5, 1.1, -0.7
    coupling = 0.0225 * 0.4 * np.sin(t1 - t2)
    expected = [
        [0.2, -0.1 * np.sin(t1) * w1, -0.0225 * np.sin(t2) * w2],
        [0, 0.005, coupling * w2],
        [0, -coupling * w1, 0.004],
    ]
    found = PLANT.velocity_matrix(np.array([0, t1, t2, 9, w1, w2]))
    assert np.allclose(found, expected, rtol=1e-12, atol=0)


def test_gravity_pulls_each_link_by_its_own_angle():
    """Nothing on the cart; on the links by the sine."""
    expected = [0, -0.1 * 9.81 * np.sin(0.3), 0.0225 * 9.81 * np.sin(0.5)]
    found = PLANT.gravity_vector(np.array([0, 0.3, -0.5, 0, 0, 0]))
    assert np.allclose(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("angle", [0.0, pi])
def test_at_rest_upright_or_hanging_nothing_moves(angle):
    """Both are equilibria."""
    state = np.array([0.7, angle, angle, 0, 0, 0])
    assert np.allclose(PLANT.derivative(state, 0.0), 0, atol=1e-14)


@pytest.mark.parametrize("state", STATES, ids=range(20))
def test_energy_changes_by_what_is_pushed_and_what_is_rubbed(state):
    """Its derivative is the power of the force less that of the friction, whatever the state."""
    force, h = 7.0, 1e-6
    slope = PLANT.derivative(state, force)
    gained = (PLANT.energy(state + h * slope) - PLANT.energy(state - h * slope)) / (2 * h)
    velocities = state[3:]
    power = force * velocities[0] - float(np.array(PLANT.friction) @ velocities**2)
    assert gained == pytest.approx(power, rel=1e-6, abs=1e-7)


def test_without_friction_and_force_energy_is_kept():
    """Over 5 s of falling and whirling in steps of 1 ms, to 6e-9 of its amount."""
    energies = np.array([FREE.energy(state) for state in coasting(FREE, STARTS[0], 0.001, 5.0)])
    drift = np.max(np.abs(energies / energies[0] - 1))
    assert 0 < drift < 6e-9


def test_friction_takes_energy_at_every_step():
    """A plant that nothing pushes only loses."""
    energies = np.array([PLANT.energy(state) for state in coasting(PLANT, STARTS[2], 0.01, 2.0)])
    assert np.all(np.diff(energies) < 0)


def test_half_the_step_leaves_a_sixteenth_of_the_error():
    """The method is of order 4."""
    *_, exact = coasting(FREE, STARTS[2], 0.0005, 0.4)
    *_, coarse = coasting(FREE, STARTS[2], 0.02, 0.4)
    *_, fine = coasting(FREE, STARTS[2], 0.01, 0.4)
    gain = np.linalg.norm(coarse - exact) / np.linalg.norm(fine - exact)
    assert 12 < gain < 20


@pytest.mark.parametrize(
    "wrong", [{"masses": (1.5, 0.0, 0.15)}, {"gravity": -9.81}, {"friction": (0.2, -0.1, 0)}]
)
def test_a_plant_that_cannot_be_is_refused(wrong):
    """No mass may be zero, no friction negative; the message shows the plant."""
    with pytest.raises(ValueError, match="friction must not be negative, all else must be pos"):
        Plant(**wrong)
