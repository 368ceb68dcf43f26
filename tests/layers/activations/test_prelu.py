"""The trained slopes of PReLU: how many there are, how they start, and their gradients."""

from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import NotBuiltError, ShapeError
from deepbp.initializers import Constant, Uniform
from deepbp.layers import Builder, Dense, LeakyReLU, PReLU
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Shape


def built(layer: PReLU, *shape: int) -> PReLU:
    Builder(0, "float64").build(layer, shape)
    return layer


@pytest.mark.parametrize(
    ("layer", "shape", "slopes"),
    [
        (PReLU(), (3,), (3,)),
        (PReLU(), (5, 3), (3,)),
        (PReLU(), (4, 5, 3), (3,)),
        (PReLU(shared=True), (3,), (1,)),
        (PReLU(shared=True), (4, 5, 3), (1,)),
        (PReLU(shared=True), (), (1,)),
    ],
)
def test_there_is_a_slope_for_each_feature_or_one(layer: PReLU, shape: Shape, slopes: Shape) -> None:
    np.testing.assert_array_equal(built(layer, *shape).slope.value, np.full(slopes, 0.25))  # He et al. 2015


def test_single_numbers_have_no_features() -> None:
    with pytest.raises(ShapeError, match=r"expects samples with an axis of features.*use PReLU\(shared=True\)"):
        built(PReLU())


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3)])
def test_gradients_are_the_sums_written_out(shape: Shape, shared: bool, rng: np.random.Generator) -> None:
    layer = built(PReLU(shared=shared, slope_init=Uniform(-0.5, 0.9)), *shape)
    z, delta = rng.normal(size=(2, 6, *shape))
    y, saved = layer.forward(z)
    moved = layer.backward(saved, delta)
    gradient = np.zeros(layer.slope.value.shape)
    for place in np.ndindex(z.shape):
        feature = 0 if shared else place[-1]
        slope = layer.slope.value[feature]
        assert y[place] == (z[place] if z[place] > 0 else slope * z[place])
        assert moved[place] == delta[place] * (1 if z[place] > 0 else slope)
        gradient[feature] += delta[place] * (0 if z[place] > 0 else z[place])
    np.testing.assert_allclose(layer.slope.grad, gradient, rtol=1e-12)


def test_at_the_kink_the_derivative_is_the_slope() -> None:
    layer = built(PReLU(slope_init=Constant(0.1)), 2)
    _, saved = layer.forward(np.array([[0.0, -0.0]]))
    np.testing.assert_array_equal(layer.backward(saved, np.array([[5.0, -3.0]])), [[0.5, -3 * 0.1]])
    np.testing.assert_array_equal(layer.slope.grad, [0, 0])


def test_with_slopes_that_stay_it_is_a_leaky_relu(rng: np.random.Generator) -> None:
    layer, z = built(PReLU(slope_init=Constant(0.3)), 4), rng.normal(size=(5, 4))
    np.testing.assert_array_equal(layer.predict(z), LeakyReLU(0.3).predict(z))


def test_unbuilt_or_with_another_shape_it_says_so() -> None:
    z = np.ones((5, 1))
    with pytest.raises(NotBuiltError, match=r"PReLU\(\): its sizes are not known yet"):
        PReLU().forward(z)
    message = r"PReLU\(\): z: expected samples of shape \(3,\), got an array of shape \(5, {}\)"
    for width in (1, 2):
        with pytest.raises(ShapeError, match=message.format(width)):
            built(PReLU(), 3).forward(np.ones((5, width)))


@pytest.mark.parametrize(("layer", "text"), [(PReLU(), "PReLU()"), (PReLU(shared=True), "PReLU(shared=True)")])
def test_it_prints_what_is_not_default(layer: PReLU, text: str) -> None:
    assert repr(layer) == text
    assert repr(PReLU(slope_init=Constant(0.25))) == "PReLU()"


def test_slopes_learn_and_are_not_decayed(rng: np.random.Generator) -> None:
    """y = |x| has the slope −1; weight decay would pull it towards 0."""
    net = Sequential([PReLU()], input_shape=1, rng=0, dtype="float64")
    x = rng.normal(size=(50, 1))
    layer: Any = net[0]
    options: dict[str, Any] = {"loss": SumSquaredError(), "epochs": 60, "batch_size": None, "progress": False}
    net.fit(x, np.abs(x), optimizer=SGD(0.01, weight_decay=0.1), **options)
    np.testing.assert_allclose(layer.slope.value, [-1], rtol=1e-9)


def test_it_stands_in_a_derivation_with_its_gradient() -> None:
    net = Sequential([Dense(2), PReLU(), Dense(1)], input_shape=3, rng=0)
    text = str(net.derivation(SumSquaredError()))
    assert "a¹ = max(z⁰, 0) + s¹ · min(z⁰, 0)" in text
    assert "∂L/∂s¹ = Σᵢ ∂L/∂a¹ · min(z⁰, 0)" in text
    assert "over the samples, and over the places in them" in text
