"""Dense, Flatten and Reshape: formulas, shapes, and what they refuse to be built for."""

from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, ShapeError
from deepbp.formulas.printer import Symbol, TextPrinter, print_expression
from deepbp.initializers import Constant, Ones
from deepbp.layers import Builder, Dense, Flatten, Reshape
from deepbp.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.typing import Array


def test_dense_is_x_w_plus_b_and_its_derivatives(rng: np.random.Generator) -> None:
    layer = Dense(2)
    assert Builder(rng, "float64").build(layer, (3,)) == (2,)
    assert layer.bias is not None
    layer.bias.value = np.array([10.0, 20])
    x, delta = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    weight = layer.weight.value.copy()
    z, saved = layer.forward(x)
    expected = [[sum(x[n, i] * weight[i, o] for i in range(3)) + (10, 20)[o] for o in range(2)] for n in range(4)]
    np.testing.assert_allclose(z, expected, rtol=1e-14)
    np.testing.assert_allclose(layer.backward(saved, delta), np.einsum("no,io->ni", delta, weight), rtol=1e-13)
    np.testing.assert_allclose(layer.weight.grad, np.einsum("ni,no->io", x, delta), rtol=1e-13)
    np.testing.assert_allclose(layer.bias.grad, np.einsum("no->o", delta), rtol=1e-13)


def test_dense_without_bias_and_with_initializers() -> None:
    layer = Dense(2, use_bias=False, weight_init=Constant(0.5))
    Builder(0, "float64").build(layer, (3,))
    assert layer.bias is None
    assert list(layer.named_parameters()) == ["weight"]
    np.testing.assert_array_equal(layer.predict(np.ones((1, 3))), [[1.5, 1.5]])
    ones = Dense(2, bias_init=Ones())
    Builder(0).build(ones, (3,))
    assert ones.bias is not None
    np.testing.assert_array_equal(ones.bias.value, [1, 1])


@pytest.mark.parametrize("places", [(4,), (2, 5), (1, 3, 2)])
@pytest.mark.parametrize("samples", [0, 1, 4])
@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_along_the_last_axis_is_that_of_the_rows(
    places: tuple[int, ...], samples: int, use_bias: bool, rng: np.random.Generator
) -> None:
    """Also in an array that is not contiguous, whose rows are no view."""
    layer, flat = (Dense(2, use_bias=use_bias, bias_init=Ones()) for _ in range(2))
    assert Builder(1, "float64").build(layer, (*places, 3)) == (*places, 2)
    assert Builder(1, "float64").build(flat, (3,)) == (2,)
    x, delta = np.moveaxis(rng.normal(size=(3, samples, *places)), 0, -1), rng.normal(size=(samples, *places, 2))
    (z, saved), (expected, saved_flat) = layer.forward(x), flat.forward(x.reshape(-1, 3))
    np.testing.assert_array_equal(z, expected.reshape(samples, *places, 2))
    moved, moved_flat = layer.backward(saved, delta), flat.backward(saved_flat, delta.reshape(-1, 2))
    np.testing.assert_array_equal(moved, moved_flat.reshape(x.shape))
    for one, other in zip(layer.parameters(), flat.parameters(), strict=True):
        np.testing.assert_array_equal(one.grad, other.grad)


def test_dense_along_the_last_axis_states_its_formulas() -> None:
    layer, flat = Dense(2), Dense(2, use_bias=False)
    for one, shape in (layer, (4, 3)), (flat, (3,)):
        Builder(0).build(one, shape)
    stated, plain = layer.stated_formula(), flat.stated_formula()
    assert stated is not None
    assert stated.gradients == {"weight": "rows(x).T @ rows(delta)", "bias": "feature_sum(delta)"}
    assert print_expression(stated.gradients["weight"], {"delta": Symbol("δ", "1")}, TextPrinter()) == "xᵀ δ¹"
    assert plain is not None
    assert plain.gradients == {"weight": "x.T @ delta"}


def test_dense_needs_an_axis() -> None:
    with pytest.raises(
        ShapeError, match=r"layer 0, Dense\(4\): expects samples such as \(64,\), got \(\): put Reshape"
    ):
        Sequential([Dense(4)], input_shape=())


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), MeanSquaredError()], ids=repr)
@pytest.mark.parametrize("target", [np.zeros(5, int), np.full((5, 4), 0.25), np.zeros((5, 1))], ids=range(3))
def test_a_forgotten_flatten_is_noticed_by_the_loss(loss: Loss[Any], target: Array) -> None:
    net = Sequential([Dense(4)], input_shape=(8, 8, 3), rng=0)
    with pytest.raises(
        ShapeError, match=r"^y: expected .*, got \(5.*\): put Flatten\(\) before the first Dense, which"
    ):
        net.fit(np.zeros((5, 8, 8, 3)), target, loss=loss, optimizer=SGD(0.1))
    with pytest.raises(ShapeError, match=r": put Flatten\(\) before the first Dense, which"):
        loss.forward(net.predict(np.zeros((5, 8, 8, 3))), target)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"units": 0}, ConfigurationError, "Dense: units: expected a whole number of at least 1, got 0"),
        ({"units": -3}, ConfigurationError, "Dense: units: expected a whole number of at least 1, got -3"),
        ({"units": 2.5}, ArgumentTypeError, "Dense: units: expected a whole number of at least 1, got 2.5"),
        ({"units": None}, ArgumentTypeError, "Dense: units: expected a whole number of at least 1, got None"),
        ({"units": "64"}, ArgumentTypeError, "Dense: units: expected a whole number of at least 1, got '64'"),
        ({"units": 2, "use_bias": 1}, ArgumentTypeError, "Dense: use_bias: expected bool, got 1"),
        (
            {"units": 2, "weight_init": Ones},
            ArgumentTypeError,
            f"Dense: weight_init: expected Initializer, got {Ones!r}, an instance rather than the class: Ones()",
        ),
    ],
)
def test_dense_arguments(arguments: dict[str, Any], error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        Dense(**arguments)
    assert str(caught.value) == message


def test_flatten_keeps_the_order_and_gives_the_shape_back(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 4, 5))
    y, saved = Flatten().forward(x)
    np.testing.assert_array_equal(y, [list(sample.flat) for sample in x])
    np.testing.assert_array_equal(Flatten().backward(saved, y), x)
    assert Builder().build(Flatten(), (3, 4, 5)) == (60,)
    assert Builder().build(Flatten(), ()) == (1,)


@pytest.mark.parametrize(
    ("target", "built"), [((2, 3), (2, 3)), ((-1,), (6,)), ((3, -1), (3, 2)), (6, (6,)), ([1, 6, 1], (1, 6, 1))]
)
@pytest.mark.parametrize("samples", [0, 1, 4])
def test_reshape(target: Any, built: tuple[int, ...], samples: int, rng: np.random.Generator) -> None:
    layer = Reshape(target)
    assert Builder().build(layer, (6,)) == built
    x = rng.normal(size=(samples, 6))
    y, saved = layer.forward(x)
    np.testing.assert_array_equal(y, x.reshape(samples, *built))
    np.testing.assert_array_equal(layer.backward(saved, y), x)


@pytest.mark.parametrize("target", [(4,), (4, -1), (2, 2)])
def test_reshape_to_another_size(target: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"layer 0, Reshape\(.*\): cannot give 6 numbers the shape .*, got \(6,\)"):
        Sequential([Reshape(target)], input_shape=6)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ((-1, -1), ConfigurationError, "Reshape: expected at most one -1, got (-1, -1)"),
        ((0, 2), ConfigurationError, "Reshape: expected sizes of at least 1, got [0, 2]"),
        ((2, -2), ConfigurationError, "Reshape: expected sizes of at least 1, got [2, -2]"),
        ("6", ArgumentTypeError, "Reshape: expected whole numbers, such as (3,), got ['6']"),
    ],
)
def test_reshape_arguments(target: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        Reshape(target)
    assert str(caught.value) == message
