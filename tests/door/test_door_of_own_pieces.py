"""A user's own layer, loss, optimizer, initializer, metric or schedule that breaks its contract is told so."""

# mypy: disable-error-code="arg-type, call-arg, call-overload, list-item, return-value"
# wrong types are the point here

import re
from typing import Any

import numpy as np
import pytest
from attrs import define, field, frozen
from refusals import Refusal, X, Y, table

from deepbp import Parameter, Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ContractError, ShapeError
from deepbp.initializers import Initializer, Ones
from deepbp.layers import Builder, Dense, Layer
from deepbp.losses import Loss, MeanSquaredError
from deepbp.optimizers import SGD, Optimizer, State
from deepbp.parameters import ParameterVector
from deepbp.typing import Array, Shape


@define(eq=False)
class Through(Layer[Any]):
    """A layer that does what it was given functions for, and passes on for the rest."""

    on_build: Any = None
    on_forward: Any = None
    on_backward: Any = None

    def build(self, input_shape: Shape, builder: Builder) -> Any:
        return input_shape if self.on_build is None else self.on_build(input_shape)

    def forward(self, x: Array) -> Any:
        return (x, None) if self.on_forward is None else self.on_forward(x)

    def backward(self, saved: Any, delta: Array) -> Any:
        return delta if self.on_backward is None else self.on_backward(delta)


@define(eq=False)
class Gain(Layer[Array]):
    """Forgets to sum its gradient over the batch."""

    gain: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.gain.value, x

    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate(delta * x)
        return np.asarray(delta * self.gain.value)


@define
class ForgotEq(Through):
    pass


class ForgotDefine(Through):
    pass


def step(layer: Layer[Any]) -> float:
    """Build, forwards and backwards, with the layer in the middle."""
    net = Sequential([Dense(4), layer, Dense(2)], input_shape=3, rng=0)
    return Trainer(net, MeanSquaredError(), SGD(0.1)).step(X, Y)


def raises(error: Exception) -> Any:
    def method(*arguments: Any) -> Any:
        raise error

    return method


def test_a_right_layer_is_let_through() -> None:
    assert step(Through()) > 0


@table(
    Refusal(
        "bare array",
        lambda: step(Through(on_forward=lambda x: x)),
        ContractError,
        r"layer 1, .*the pair \(output, saved\), returned an array of shape \(5, 4\)",
    ),
    Refusal(
        "None", lambda: step(Through(on_forward=lambda x: None)), ContractError, r"layer 1, .*the pair .*returned None"
    ),
    Refusal(
        "list output",
        lambda: step(Through(on_forward=lambda x: ([1], x))),
        ContractError,
        r"layer 1, .*shape \(5, 4\), returned \[1\]",
    ),
    Refusal(
        "output shape",
        lambda: step(Through(on_forward=lambda x: (x[:, :2], x))),
        ContractError,
        r"layer 1, .*\(5, 4\), returned .*\(5, 2\)",
    ),
    Refusal(
        "delta shape",
        lambda: step(Through(on_backward=lambda delta: delta.T)),
        ContractError,
        r"layer 1, .*\(5, 4\), returned .*\(4, 5\)",
    ),
    Refusal(
        "delta None",
        lambda: step(Through(on_backward=lambda delta: None)),
        ContractError,
        r"layer 1, .*error signal .*returned None",
    ),
    Refusal(
        "build None",
        lambda: step(Through(on_build=lambda shape: None)),
        ContractError,
        r"layer 1, .*build: .*returned None",
    ),
    Refusal("build list", lambda: step(Through(on_build=list)), ContractError, r"layer 1, .*build: .*returned \[4\]"),
    Refusal(
        "no batch sum", lambda: step(Gain()), ContractError, r"layer 1, Gain\(\): .*\(5, 4\), expected \(4,\): sum over"
    ),
    Refusal(
        "own error",
        lambda: step(Through(on_forward=raises(ShapeError("odd sizes")))),
        ShapeError,
        r"layer 1, .*: odd sizes",
    ),
    Refusal(
        "forgot eq", lambda: step(ForgotEq()), ContractError, r"layer 1: class ForgotEq: write @define\(eq=False\)"
    ),
    Refusal(
        "forgot define",
        lambda: step(ForgotDefine()),
        ContractError,
        r"layer 1: class ForgotDefine: put @define\(eq=False\)",
    ),
)
def test_layers(refusal: Refusal) -> None:
    refusal.check()


@pytest.mark.parametrize(
    ("layer", "note"),
    [
        (Through(on_build=raises(KeyError("k"))), r"input shape \(4,\)"),
        (Through(on_forward=raises(KeyError("k"))), r"forward, input of shape \(5, 4\)"),
        (Through(on_backward=raises(KeyError("k"))), r"backward, delta of shape \(5, 4\)"),
    ],
    ids=["build", "forward", "backward"],
)
def test_an_error_of_the_layers_own_gets_a_note(layer: Layer[Any], note: str) -> None:
    with pytest.raises(KeyError) as caught:
        step(layer)
    notes = "\n".join(caught.value.__notes__)
    assert "layer 1, Through(" in notes
    assert re.search(note, notes), notes


@frozen
class OwnLoss(Loss[Any]):
    pair: Any = None
    delta: Any = None

    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> Any:
        return (1.0, None) if self.pair is None else self.pair

    def backward(self, saved: Any) -> Any:
        return Y if self.delta is None else self.delta


def trainer(loss: Loss[Any] | None = None, optimizer: Optimizer | None = None, **options: Any) -> Trainer:
    net = Sequential([Dense(4), Dense(2)], input_shape=3, rng=0)
    return Trainer(net, loss or MeanSquaredError(), optimizer or SGD(0.1), **options)


PAIR = r"OwnLoss\(.*\): forward: expected the pair \(loss as one number, saved\), returned "


@table(
    Refusal("bare", lambda: trainer(OwnLoss(pair=2.5)).step(X, Y), ContractError, rf"{PAIR}2.5"),
    Refusal("three", lambda: trainer(OwnLoss(pair=(1, 2, 3))).step(X, Y), ContractError, rf"{PAIR}\(1, 2, 3\)"),
    Refusal("text", lambda: trainer(OwnLoss(pair=("a", 2))).step(X, Y), ContractError, rf"{PAIR}\('a', 2\)"),
    Refusal("an array", lambda: trainer(OwnLoss(pair=(Y, 2))).step(X, Y), ContractError, rf"(?s){PAIR}\(array"),
    Refusal("evaluated", lambda: trainer(OwnLoss(pair=2.5)).evaluate(X, Y), ContractError, rf"{PAIR}2.5"),
    Refusal(
        "delta (N,)",
        lambda: trainer(OwnLoss(delta=Y[:, 0])).step(X, Y),
        ShapeError,
        r"layer 1, Dense\(2\): backward: .*\(5,\): a loss returns",
    ),
    Refusal(
        "delta (N, 1)",
        lambda: trainer(OwnLoss(delta=Y[:, :1])).step(X, Y),
        ShapeError,
        r"layer 1, Dense\(2\): backward: .*\(5, 1\)",
    ),
    Refusal(
        "delta None",
        lambda: trainer(OwnLoss(delta=1.0)).step(X, Y),
        ArgumentTypeError,
        r"layer 1, Dense\(2\): backward: .*got 1.0",
    ),
)
def test_losses(refusal: Refusal) -> None:
    refusal.check()


@frozen
class NoState(Optimizer):
    learning_rate: float = 0.1

    def start(self, parameters: ParameterVector) -> Any:
        return None

    def step(self, parameters: ParameterVector, state: State) -> None:
        pass


@frozen
class WrongDtype(Initializer):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> Array:
        return np.zeros(shape)


@frozen
class Bare(Initializer):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> Any:
        return 0.5


@table(
    Refusal(
        "no state", lambda: trainer(optimizer=NoState()), ContractError, r"NoState\(.*\): start: expected a dict.*None"
    ),
    Refusal(
        "dtype",
        lambda: Sequential([Dense(2, weight_init=WrongDtype())], input_shape=3),
        ContractError,
        r"layer 0, .*initializer WrongDtype\(\): expected float32 of shape \(3, 2\), got float64",
    ),
    Refusal(
        "a number",
        lambda: Sequential([Dense(2, weight_init=Bare())], input_shape=3),
        ContractError,
        r"layer 0, .*initializer Bare\(\): .*got 0.5",
    ),
    Refusal(
        "metric",
        lambda: trainer(metrics=[lambda p, t: "a"]).evaluate(X, Y),
        ContractError,
        r"metric <lambda>: expected a single number, returned 'a'",
    ),
)
def test_optimizers_initializers_and_metrics(refusal: Refusal) -> None:
    refusal.check()


def schedule(step: int) -> float:
    raise LookupError("no table")


def metric(prediction: Array, target: Array) -> float:
    raise LookupError("no table")


@frozen
class Fails(Initializer):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> Array:
        raise LookupError("no table")


@pytest.mark.parametrize(
    ("call", "note"),
    [
        (
            lambda: trainer(optimizer=SGD(schedule)).step(X, Y),
            "in the learning-rate schedule of SGD, called with step 0",
        ),
        (lambda: trainer(metrics=[metric]).evaluate(X, Y), "in metric metric: predictions (5, 2), targets (5, 2)"),
        (lambda: Sequential([Dense(2, weight_init=Fails())], input_shape=3), "in initializer Fails(), shape (3, 2)"),
    ],
    ids=["schedule", "metric", "initializer"],
)
def test_an_error_of_their_own_gets_a_note(call: Any, note: str) -> None:
    with pytest.raises(LookupError, match="no table") as caught:
        call()
    assert note in caught.value.__notes__
