"""Layers that users write get the boundary of deepbp's own: alone, inherited, mixed in, called by ``super()``."""

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
from attrs import define, field

from deepbp import Parameter, Sequential
from deepbp.errors import ArgumentTypeError, ContractError, DataTypeError, ShapeError
from deepbp.layers import BatchNorm, Builder, Chain, Dense, Dropout, Layer, Residual, Tanh
from deepbp.typing import Array, Shape

X = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)


@define(eq=False)
class Cube(Layer[Array]):
    def forward(self, x: Array, power: int = 3) -> tuple[Array, Array]:
        return x**power, x

    def backward(self, x: Array, grad: Array) -> Array:
        return np.asarray(3 * x**2 * grad)


@define(eq=False)
class Twice(Dense):
    """[z, z]: another shape than that of the layer it derives from, at both ends."""

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        (units,) = super().build(input_shape, builder)
        return (2 * units,)

    def forward(self, x: Array) -> tuple[Array, Array]:
        z, saved = super().forward(x)
        return np.concatenate([z, z], axis=1), saved

    def backward(self, x: Array, delta: Array) -> Array:
        return super().backward(x, delta[:, : self.units] + delta[:, self.units :])

    def backward_parameters(self, x: Array, delta: Array) -> None:
        super().backward_parameters(x, delta if delta.shape[1] == self.units else delta[:, : self.units])


@define(eq=False)
class TwiceShifted(Twice):
    """Overridden at two levels."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        z, saved = super().forward(x)
        return z + 1, saved


def built(layer: Layer[Any], *shape: int) -> Layer[Any]:
    Builder(0).build(layer, shape or (3,))
    return layer


def gradient_of(layer: Layer[Any], delta: Array) -> Array:
    return layer.backward(layer.forward(X)[1], delta)


def test_the_same_words_as_for_a_built_in_layer() -> None:
    layer: Any = built(Cube())
    for bad, error, message in (
        (
            X.astype(int),
            DataTypeError,
            r"^Cube\(\): x: expected an array of float32 .*whole numbers: use .astype\('float32'",
        ),
        (X.tolist(), ArgumentTypeError, r"^Cube\(\): x: expected an array with samples along axis 0, got \[\["),
    ):
        for call in (layer.forward, layer.predict):
            with pytest.raises(error, match=message):
                call(bad)
    with pytest.raises(DataTypeError, match=r"^Cube\(\): grad: expected an array .*whole numbers"):
        layer.backward(X, X.astype(int))


def test_arguments_by_name_and_further_ones() -> None:
    layer: Any = Cube()
    np.testing.assert_array_equal(layer.forward(x=X)[0], X**3)
    np.testing.assert_array_equal(layer.forward(X, 2)[0], X**2)
    np.testing.assert_array_equal(layer.forward(X, power=2)[0], X**2)
    expected = layer.backward(X, X)
    np.testing.assert_array_equal(layer.backward(X, grad=X), expected)
    np.testing.assert_array_equal(layer.backward(grad=X, x=X), expected)
    with pytest.raises(DataTypeError, match=r"Cube\(\): x: "):
        layer.forward(x=X.astype(int))
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        layer.forward(z=X)
    with pytest.raises(ArgumentTypeError, match=r"Cube\(\): x: .*got None"):
        layer.forward()
    assert list(inspect.signature(Cube.forward).parameters) == ["self", "x", "power"]


@pytest.mark.parametrize("kind", [Twice, TwiceShifted])
def test_super_with_arrays_of_another_shape(kind: type[Dense]) -> None:
    layer = kind(2)
    net = Sequential([layer, Dense(1)], input_shape=3, rng=0)
    assert layer.forward(X)[0].shape == (5, 4)
    assert net.backward(net.forward(X)[1], np.ones((5, 1), np.float32)).shape == X.shape
    assert net.predict(X).shape == (5, 1)
    with pytest.raises(ShapeError, match=rf"^{kind.__name__}\(2\): x: expected samples of shape \(3,\)"):
        layer.forward(X[:, :2])
    with pytest.raises(ShapeError, match=rf"^{kind.__name__}\(2\): delta: expected samples of shape \(4,\)"):
        gradient_of(layer, X)


def test_an_exception_is_located_once_through_super() -> None:
    layer = built(Twice(2))
    with pytest.raises(ContractError, match="does not exist") as caught:
        layer.backward(X, np.ones((4, 4), np.float32))
    notes = caught.value.__notes__
    assert len(notes) == len(set(notes))
    with pytest.raises(RuntimeError, match=r"^Twice\(2\): its sizes are not known yet"):
        Twice(2).forward(X)


class Doubling:
    """A mixin, which no hook of attrs sees."""

    def forward(self, x: Array) -> Any:
        y, saved = super().forward(x)  # type: ignore[misc]
        return 2 * y, saved


@define(eq=False)
class DoubleTanh(Doubling, Tanh):
    pass


def test_a_mixin_is_run_in_a_network_too() -> None:
    net = Sequential([DoubleTanh()], input_shape=3)
    np.testing.assert_allclose(net.predict(X), 2 * np.tanh(X), rtol=1e-6)
    np.testing.assert_allclose(net.forward(X)[0], 2 * np.tanh(X), rtol=1e-6)
    with pytest.raises(DataTypeError, match=r"^DoubleTanh\(\): "):
        DoubleTanh().forward(X.astype(int))


@define(eq=False)
class Quiet(Dropout):
    def predict(self, x: Array) -> Array:
        return super().predict(x) * 0


@define(eq=False)
class Static(Layer[Any]):
    """A method that is no plain function is left as it is."""

    @staticmethod
    def forward(x: Array) -> tuple[Array, None]:
        return x + 1, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta.copy()


def test_predict_inherited_and_overridden() -> None:
    net = Sequential([Dense(3), Quiet(0.5), Static()], input_shape=3, rng=0)
    np.testing.assert_array_equal(net.predict(X), 1)
    with pytest.raises(DataTypeError, match=r"^Quiet\(\): x: "):
        built(Quiet()).predict(X.astype(int))


@define(eq=False)
class Halved(Sequential):
    """A network whose predict is its own, and is given what users have."""

    def predict(self, x: Any, batch_size: int | None = None) -> Array:
        return super().predict(np.asarray(x, float) / 2, batch_size)


def test_a_network_with_a_predict_of_its_own() -> None:
    inner = Halved([Dense(2)], input_shape=3, rng=0)
    plain = Sequential([Dense(2)], input_shape=3, rng=0)
    np.testing.assert_allclose(inner.predict(X.tolist(), batch_size=2), plain.predict(X / 2), rtol=1e-6)
    net = Sequential([inner, Tanh()], input_shape=3)
    np.testing.assert_allclose(net.predict(X), np.tanh(plain.predict(X / 2)), rtol=1e-6)


@define(eq=False)
class Flat(Layer[Shape]):
    """Holds nothing, so it may stand at several shapes."""

    wrong: bool = False

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return (int(np.prod(input_shape)) + self.wrong,)

    def forward(self, x: Array) -> tuple[Array, Shape]:
        return x.reshape(len(x), -1), x.shape

    def backward(self, shape: Shape, delta: Array) -> Array:
        return delta.reshape(shape)


def test_one_layer_at_several_shapes_is_held_to_each_promise() -> None:
    flat = Flat()
    for shape in ((2, 2), (4,), (2, 1, 3)):
        built(flat, *shape)
    for shape in ((2, 2), (4,), (2, 1, 3)):
        net = Chain([flat, Dense(1)])
        Builder(0).build(net, shape)
        y, saved = net.forward(np.ones((5, *shape), np.float32))
        assert net.backward(saved, y).shape == (5, *shape)
    wrong = built(Flat(wrong=True), 2, 2)
    with pytest.raises(
        ContractError, match=r"forward: build promised an output of shape \(5, 5\), returned .*\(5, 4\)"
    ):
        wrong.forward(np.ones((5, 2, 2)))


@pytest.mark.parametrize("made", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_keep_the_boundary(made: Any) -> None:
    layer = made(built(TwiceShifted(2)))
    assert layer.forward(X)[0].shape == (5, 4)
    with pytest.raises(ShapeError, match=r"^TwiceShifted\(2\): x: "):
        layer.forward(X[:, :2])


@define(eq=False)
class Raises(Cube):
    def forward(self, x: Array, power: int = 3) -> tuple[Array, Array]:
        raise ValueError("negative frequency")


def test_an_exception_of_its_own_keeps_its_type_and_names_the_layer() -> None:
    with pytest.raises(ValueError, match="negative frequency") as caught:
        built(Raises()).forward(X)
    assert type(caught.value) is ValueError
    assert caught.value.__notes__ == ["in Raises(): forward, input of shape (5, 3); the layer's input is (samples, 3)"]


@define(eq=False)
class Gate(Layer[Any]):
    """A composite: what it passes to its body are activations, of any size."""

    body: Layer[Any]

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return builder.build(self.body, input_shape)

    def forward(self, x: Array) -> tuple[Array, Any]:
        return self.body.forward(x)

    def backward(self, saved: Any, delta: Array) -> Array:
        return self.body.backward(saved, delta)

    def predict(self, x: Array) -> Array:
        return self.body.predict(x / 0 if len(x) == 1 else x)


def test_a_network_inside_a_composite_takes_activations_as_they_are() -> None:
    body = Sequential([Dense(2)])
    net = Sequential([Gate(body)], input_shape=3, rng=0)
    assert net.predict(X).shape == (5, 2)
    assert built(Gate(Sequential([Dense(2)]))).predict(X[:0]).shape == (0, 2)
    with np.errstate(all="ignore"):
        assert not np.isfinite(net.predict(X[:1])).all()
    with pytest.raises(ValueError, match="expected finite numbers"):
        body.predict(X[:1] + np.float32(np.nan))


@define(eq=False)
class Forgets(Layer[Array]):
    gain: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = np.ones(input_shape)  # type: ignore[assignment]
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.gain.value, x

    def backward(self, x: Array, delta: Array) -> Array:
        return delta * self.gain.value


def test_numbers_never_take_the_place_of_a_parameter() -> None:
    dense: Any = built(Dense(2))
    for value in (np.ones((3, 2)), [1.0, 2.0], 0.5):
        with pytest.raises(
            ArgumentTypeError, match=r"Dense: weight: expected a Parameter, got .*: use .weight.value = "
        ):
            dense.weight = value
    norm: Any = built(BatchNorm())
    with pytest.raises(ArgumentTypeError, match=r"running_mean: expected a Buffer, .*: use .running_mean.value = "):
        norm.running_mean = np.ones(3)
    unbuilt: Any = Dense(2)
    with pytest.raises(
        ArgumentTypeError, match=r"Dense: weight: .*: use builder.parameter\(...\) in build, and .weight"
    ):
        unbuilt.weight = np.ones((3, 2))
    with pytest.raises(ArgumentTypeError, match=r"layer 0, Forgets\(\): Forgets: gain: .*: use builder.parameter"):
        Sequential([Forgets()], input_shape=3)
    dense.weight = Parameter(np.ones((3, 2), np.float32) * 2)
    dense.units, dense.bias = 2, None
    np.testing.assert_array_equal(dense.forward(X)[0], X @ np.full((3, 2), 2, np.float32))


def test_a_frozen_layer_still_notices_a_delta_of_another_batch() -> None:
    net = Sequential([Residual(Tanh()), Dense(2)], input_shape=3, rng=0)
    net.layers[1].freeze()
    with pytest.raises(ContractError, match=r"layer 1, Dense\(2\): gradient: the product of \(3, 5\) and \(1, 2\)"):
        net.backward(net.forward(X)[1], np.ones((1, 2), np.float32))
