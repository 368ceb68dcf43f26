"""A user's own layers inside a network: what breaks the contract is said in words, with the layer's position."""

import sys
from typing import Any

import attrs
import numpy as np
import pytest
from attrs import define

from deepbp import Sequential
from deepbp.errors import ConfigurationError, ContractError, DeepBPError, ShapeError
from deepbp.initializers import Ones
from deepbp.kernels import unchecked
from deepbp.layers import Builder, Dense, Layer, Maxout, Reshape, Sigmoid
from deepbp.typing import Array, Shape


@define(eq=False)
class Identity(Layer[None]):
    """A right layer, of which each of the others breaks one rule."""

    def forward(self, x: Array) -> tuple[Array, None]:
        return x, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta


@define(eq=False)
class BareArray(Identity):
    def forward(self, x: Array) -> Any:
        return x


@define(eq=False)
class Triple(Identity):
    def forward(self, x: Array) -> Any:
        return x, x, x


@define(eq=False)
class WrongOutput(Identity):
    def forward(self, x: Array) -> tuple[Array, None]:
        return x.sum(axis=1), None


@define(eq=False)
class ListOutput(Identity):
    def forward(self, x: Array) -> Any:
        return [1.0], None


@define(eq=False)
class WrongDelta(Identity):
    def backward(self, saved: None, delta: Array) -> Array:
        return delta.T


@define(eq=False)
class NoDelta(Identity):
    def backward(self, saved: None, delta: Array) -> Any:
        pass


@define(eq=False)
class RaisesForward(Identity):
    def forward(self, x: Array) -> tuple[Array, None]:
        raise ValueError("negative frequency")


@define(eq=False)
class RaisesBackward(Identity):
    def backward(self, saved: None, delta: Array) -> Array:
        raise KeyError("cache")


@define(eq=False)
class RaisesBuild(Identity):
    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        raise ZeroDivisionError("no room")


@define(eq=False)
class BuildsNothing(Identity):
    def build(self, input_shape: Shape, builder: Builder) -> Any:
        pass


@define(eq=False)
class BuildsList(Identity):
    def build(self, input_shape: Shape, builder: Builder) -> Any:
        return list(input_shape)


@define(eq=False)
class WrongGradient(Identity):
    gain: Any = attrs.field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape

    def backward(self, saved: None, delta: Array) -> Array:
        self.gain.accumulate(delta)
        return delta


@define(eq=False)
class Remembers(Identity):
    def forward(self, x: Array) -> tuple[Array, None]:
        self.cache = x  # type: ignore[misc]
        return x, None


@define
class ForgotEq(Identity):
    pass


class ForgotDefine(Identity):
    pass


X = np.ones((5, 3), np.float32)
DELTA = np.ones((5, 2), np.float32)


def network(layer: Layer[Any]) -> Sequential:
    return Sequential([Dense(4), layer, Dense(2)], input_shape=3, rng=0)


def told(error: type[DeepBPError], call: Any) -> str:
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_a_right_layer_is_let_through() -> None:
    net = network(Identity())
    _, saved = net.forward(X)
    assert net.backward(saved, DELTA).shape == X.shape


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (BareArray(), "BareArray(): forward: expected the pair (output, saved), returned an array of shape (5, 4)"),
        (
            WrongOutput(),
            "WrongOutput(): forward: build promised an output of shape (5, 4), returned an array of shape (5,)",
        ),
        (ListOutput(), "ListOutput(): forward: build promised an output of shape (5, 4), returned [1.0]"),
    ],
)
def test_forward_that_returns_the_wrong_thing(layer: Layer[Any], message: str) -> None:
    assert told(ContractError, lambda: network(layer).forward(X)) == f"layer 1, {message}"


def test_forward_that_returns_three_things() -> None:
    message = told(ContractError, lambda: network(Triple()).forward(X))
    assert message.startswith("layer 1, Triple(): forward: expected the pair (output, saved), returned (array(")


@pytest.mark.parametrize(("layer", "name"), [(WrongOutput(), "WrongOutput()"), (ListOutput(), "ListOutput()")])
def test_predict_that_returns_the_wrong_thing(layer: Layer[Any], name: str) -> None:
    message = told(ContractError, lambda: network(layer).predict(X))
    assert message.startswith(f"layer 1, {name}: predict: build promised an output of shape (5, 4), returned ")


@pytest.mark.parametrize(
    ("layer", "got"), [(WrongDelta(), "an array of shape (4, 5)"), (NoDelta(), "None")], ids=["transposed", "none"]
)
def test_backward_that_returns_the_wrong_thing(layer: Layer[Any], got: str) -> None:
    net = network(layer)
    _, saved = net.forward(X)
    for backward in (net.backward, net.backward_parameters):
        message = told(ContractError, lambda backward=backward: backward(saved, DELTA))
        expected = "backward: expected the error signal of the input, of shape (5, 4), returned"
        assert message == f"layer 1, {layer}: {expected} {got}"


@define(eq=False)
class OtherByteOrder(Identity):
    of_output: bool

    def forward(self, x: Array) -> tuple[Array, None]:
        return x.astype(x.dtype.newbyteorder()) if self.of_output else x, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta.astype(delta.dtype.newbyteorder())


def test_arrays_in_another_byte_order() -> None:
    """Compiled kernels would read them as if they were in this machine's."""
    net = network(OtherByteOrder(True))
    fix = "in this machine's byte order, returned dtype('>f4'): use .astype('float32')"
    fix = fix if sys.byteorder == "little" else fix.replace(">", "<")
    for method in ("predict", "forward"):
        message = told(ContractError, lambda method=method: getattr(net, method)(X))
        assert message == f"layer 1, OtherByteOrder(True): {method}: build promised an output {fix}"
    net = network(OtherByteOrder(False))
    message = told(ContractError, lambda: net.backward(net.forward(X)[1], DELTA))
    expected = f"backward: expected the error signal of the input, {fix}"
    assert message == f"layer 1, OtherByteOrder(False): {expected}"


def test_gradient_of_the_wrong_shape() -> None:
    net = network(WrongGradient())
    _, saved = net.forward(X)
    message = told(ContractError, lambda: net.backward(saved, DELTA))
    fix = "sum over the batch (axis 0)"
    assert message == f"layer 1, WrongGradient(): gradient has shape (5, 4), expected (4,): {fix}"


@pytest.mark.parametrize(("layer", "got"), [(BuildsNothing(), "None"), (BuildsList(), "[4]")], ids=["none", "list"])
def test_build_that_returns_no_shape(layer: Layer[Any], got: str) -> None:
    message = told(ContractError, lambda: network(layer))
    assert message == f"layer 1, {layer}: build: expected the output shape, a tuple of sizes, returned {got}"


def test_errors_of_a_layer_keep_their_type_and_get_a_note() -> None:
    with pytest.raises(ValueError, match="negative frequency") as caught:
        network(RaisesForward()).forward(X)
    assert caught.value.__notes__ == [
        "in layer 1, RaisesForward(): forward, input of shape (5, 4); the layer's input is (samples, 4)"
    ]
    with pytest.raises(ValueError, match="negative frequency") as caught:
        network(RaisesForward()).predict(X)
    assert caught.value.__notes__[0].startswith("in layer 1, RaisesForward(): predict, input of shape (5, 4)")
    net = network(RaisesBackward())
    _, saved = net.forward(X)
    with pytest.raises(KeyError, match="cache") as failed:
        net.backward(saved, DELTA)
    assert failed.value.__notes__ == [
        "in layer 1, RaisesBackward(): backward, delta of shape (5, 4); the layer's input is (samples, 4)"
    ]
    with pytest.raises(ZeroDivisionError, match="no room") as unbuilt:
        network(RaisesBuild())
    assert any("layer 1, RaisesBuild()" in note and "input shape (4,)" in note for note in unbuilt.value.__notes__)


def test_a_result_kept_on_the_layer_is_an_error_at_once() -> None:
    with pytest.raises(AttributeError, match="cache") as caught:
        network(Remembers()).forward(X)
    assert caught.value.__notes__[0].startswith("in layer 1, Remembers(): forward")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (ForgotEq(), "layer 1: class ForgotEq: write @define(eq=False): two layers are never the same layer"),
        (ForgotDefine(), "layer 1: class ForgotDefine: put @define(eq=False), from attrs, above the class"),
        (Identity, "layer 1: expected a layer, got the class Identity: write Identity()"),
        ("relu", "layer 1: expected a layer, got 'relu'"),
        (None, "layer 1: expected a layer, got None"),
    ],
)
def test_what_is_no_layer(layer: Any, message: str) -> None:
    assert told(ContractError, lambda: network(layer)).startswith(message)


@pytest.mark.parametrize(("layers", "got"), [(Dense(4), "Dense(4)"), ("Dense", "'Dense'"), (None, "None")])
def test_what_is_no_list_of_layers(layers: Any, got: str) -> None:
    with pytest.raises(TypeError) as caught:
        Sequential(layers)
    assert str(caught.value) == f"layers: expected a list of layers, got {got}: write [Dense(4), ...]"


def test_no_layers() -> None:
    message = told(ConfigurationError, lambda: Sequential([]))
    assert message == "layers: expected at least one layer, got an empty list"


def test_the_position_in_a_nested_network_is_the_whole_path() -> None:
    net = Sequential([Dense(3), Sequential([Sigmoid(), BareArray()])], input_shape=3, rng=0)
    message = told(ContractError, lambda: net.forward(X))
    assert message.startswith("layer 1, Sequential: layer 1, BareArray(): forward: expected the pair")


def test_shapes_that_do_not_fit_name_both_layers() -> None:
    message = told(ShapeError, lambda: Sequential([Dense(4), Reshape((2, 2)), Maxout(3)], input_shape=3))
    assert "layer 2, Maxout(3): expects flat samples" in message
    assert "got (2, 2) from layer 1, Reshape((2, 2))" in message


def test_a_layer_built_for_another_shape() -> None:
    shared = Dense(4)
    message = told(ShapeError, lambda: Sequential([shared, Dense(5), shared], input_shape=3))
    expected = "layer 2, Dense(4): the layer was built for samples of shape (3,), got (5,) from layer 1, Dense(5)"
    assert message.startswith(expected)


def test_an_error_of_another_library_is_not_about_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what NumPy raises about an array that deepbp's own layer gave it becomes a ShapeError."""
    layer = Sequential([Sigmoid()], input_shape=3, rng=0)[0]
    monkeypatch.setattr(unchecked, "sigmoid", lambda z: int("garbage"))
    with pytest.raises(ValueError, match="invalid literal for int") as caught:
        layer.forward(np.ones((2, 3)))
    assert type(caught.value) is ValueError
    assert caught.value.__notes__ == ["in Sigmoid(): forward, input of shape (2, 3); the layer's input is (samples, 3)"]
