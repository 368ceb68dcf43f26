"""The contract of layers holds inside composites, too: what breaks it is named with its path, and nothing is wasted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attrs import define, field

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ContractError, NotBuiltError, ShapeError
from deepbp.layers import L1, L2, Builder, Dense, Layer, Parallel, Penalized, Repeat, Residual, Split, Tanh
from deepbp.testing import check_layer
from deepbp.typing import Array

X, DELTA = np.ones((5, 4)), np.ones((5, 4))
WRAPPED: dict[str, tuple[Callable[[Layer[Any]], Layer[Any]], str]] = {
    "body": (lambda layer: Residual([Dense(4), layer]), "Residual: body, Chain: layer 1, {}"),
    "shortcut": (lambda layer: Residual(Dense(4), layer), "Residual: shortcut, {}"),
    "parallel": (lambda layer: Parallel([Dense(4), layer], merge="mean"), r"Parallel: branches\.1, {}"),
    "split": (lambda layer: Split([layer, Dense(2)]), r"Split: branches\.0, {}"),
    "repeat": (lambda layer: Repeat(layer, 2), "Repeat: layer [01], {}"),
    "penalized": (lambda layer: Penalized(layer, outputs=L2(0.1)), "Penalized: layer, {}"),
    "deep": (
        lambda layer: Residual(Parallel([Residual(layer)])),
        r"Residual: body, Parallel: branches\.0, R.*body, {}",
    ),
}


@define(eq=False)
class Own(Layer[None]):
    """A right layer of a user's, which counts."""

    calls: list[str] = field(factory=list, init=False)

    def forward(self, x: Array) -> tuple[Array, None]:
        self.calls.append("forward")
        return x, None

    def backward(self, saved: None, delta: Array) -> Array:
        self.calls.append("backward")
        return delta

    def predict(self, x: Array) -> Array:
        self.calls.append("predict")
        return x


@define(eq=False)
class BareArray(Own):
    def forward(self, x: Array) -> Any:
        return x


@define(eq=False)
class WrongDelta(Own):
    def backward(self, saved: None, delta: Array) -> Array:
        return delta.T


@define(eq=False)
class WrongPrediction(Own):
    def predict(self, x: Array) -> Any:
        return x[0]


@define(eq=False)
class WrongPenalty(Own):
    def penalty(self, saved: None) -> Any:
        return np.ones(3)


@define(eq=False)
class Raises(Own):
    def forward(self, x: Array) -> tuple[Array, None]:
        raise RuntimeError("no")


def network(name: str, layer: Layer[Any]) -> Sequential:
    return Sequential([WRAPPED[name][0](layer)], input_shape=4, rng=0, dtype="float64")


def pass_through(net: Sequential) -> None:
    """Everything that a network does with a layer."""
    _, saved = net.forward(X)
    net.penalty(saved)
    net.backward(saved, DELTA)
    net.predict(X)


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (BareArray, r"BareArray\(\): forward: expected the pair \(output, saved\), returned an array"),
        (WrongDelta, r"WrongDelta\(\): backward: expected the error signal of the input, of shape"),
        (WrongPrediction, r"WrongPrediction\(\): predict: build promised an output of shape"),
        (WrongPenalty, r"WrongPenalty\(\): penalty: expected a float, what is added to the loss, returned an array"),
    ],
)
def test_a_broken_promise_is_named_with_its_path(name: str, layer: type[Layer[Any]], message: str) -> None:
    with pytest.raises(ContractError, match=f"layer 0, {WRAPPED[name][1].format(message)}"):
        pass_through(network(name, layer()))


@pytest.mark.parametrize("name", WRAPPED)
def test_other_errors_get_notes_from_the_inside_out(name: str) -> None:
    with pytest.raises(RuntimeError, match="no") as caught:
        pass_through(network(name, Raises()))
    notes = caught.value.__notes__
    assert "Raises(): forward, input of shape (5, " in notes[0]
    assert notes[-1].startswith("in layer 0, ")


@pytest.mark.parametrize("name", WRAPPED)
def test_inference_calls_predict_and_never_forward(name: str) -> None:
    layer = Own()
    net = network(name, layer)
    net.predict(X)
    assert set(layer.calls) == {"predict"}


@pytest.mark.parametrize("name", ["body", "shortcut", "parallel", "split", "penalized"])
def test_no_error_signal_is_moved_that_nobody_needs(name: str) -> None:
    """At the bottom of a network only what lies above trained parameters is passed."""
    layer = Own()
    net = network(name, layer)
    _, saved = net.forward(X)
    layer.calls.clear()
    net.backward_parameters(saved, DELTA)
    assert layer.calls == (["backward"] if name == "body" else [])


def test_frozen_branches_are_left_out_at_the_bottom() -> None:
    frozen, trained = Own(), Own()
    first, second = Dense(4), Dense(4)
    net = Sequential([Parallel([[first, frozen], [second, trained]])], input_shape=4, rng=0, dtype="float64")
    first.freeze()
    _, saved = net.forward(X)
    net.backward_parameters(saved, np.ones((5, 8)))
    assert frozen.calls == ["forward"]
    assert trained.calls == ["forward", "backward"]
    assert not np.any(first.weight.grad)
    assert np.any(second.weight.grad)


@pytest.mark.parametrize("name", [name for name in WRAPPED if name != "repeat"])
def test_arrays_that_do_not_fit_are_refused_by_a_composite_alone(name: str) -> None:
    layer = WRAPPED[name][0](Own())
    for call in (lambda: layer.forward(X), lambda: layer.predict(X), lambda: layer.backward(None, DELTA)):
        with pytest.raises(NotBuiltError, match=f"{type(layer).__name__}: its sizes are not known yet"):
            call()
    Builder(0, "float64").build(layer, (4,))
    _, saved = layer.forward(X)
    wrongs: list[Any] = [X[:, :3], X[0], np.float64(2)]
    for wrong in wrongs:
        with pytest.raises((ShapeError, ArgumentTypeError), match=r": x: expected (samples of shape \(4,\)|an array)"):
            layer.forward(wrong)
        with pytest.raises((ShapeError, ArgumentTypeError), match=r": delta: expected (samples of shape|an array)"):
            layer.backward(saved, wrong)
    with pytest.raises(ArgumentTypeError, match=r": x: expected an array with samples along axis 0, got None"):
        layer.predict(None)  # type: ignore[arg-type]


def test_a_failed_build_can_be_tried_again_with_another_shape() -> None:
    net = Sequential([Residual([Dense(4)]), Repeat(Dense(3), 2)])
    with pytest.raises(ShapeError, match="end the body with Dense"):
        net.build(5)
    net.build(4)
    assert net.shapes == ((4,), (4,), (3,))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Repeat(Residual(Parallel([Dense(3), Split([Dense(1), Tanh()], sizes=(1, 2))], merge="mean")), 2), (3,)),
        (Residual(Penalized(Penalized([Dense(2), Tanh()], weights=L2(0.3)), weights=L1(0.1), outputs=L2(0.2))), (2,)),
        (Split([[Dense(4), Tanh(), Dense(2)], Residual(Residual(Tanh()))], sizes=(3, 2), merge="multiply"), (5,)),
        (Repeat(Penalized(Dense(2), outputs=L1(0.2)), 3, share=True), (2,)),
    ],
    ids=["branches", "penalties", "columns", "uses"],
)
def test_nests_pass_every_check(layer: Layer[Any], shape: tuple[int, ...]) -> None:
    check_layer(layer, shape)
