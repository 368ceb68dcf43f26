"""Networks and trainers refuse what does not fit: constructors, data, orders of calls."""

# mypy: disable-error-code="arg-type, call-arg, call-overload, list-item, return-value"
# wrong types are the point here

from typing import Any

import numpy as np
import pytest
from refusals import LABELS, Refusal, X, Y, network, table

from deepbp import History, Sequential, Trainer, kernels
from deepbp.errors import (
    ArgumentTypeError,
    ConfigurationError,
    ContractError,
    DataError,
    DataTypeError,
    NonFiniteError,
    NotBuiltError,
    PositionError,
    ShapeError,
)
from deepbp.layers import Chain, Dense, Flatten, Reshape, Sigmoid
from deepbp.losses import CrossEntropy, MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.training import Accuracy, Callback, Data, MeanAbsoluteError, evaluate

anything: Any = None
UNBUILT = "its sizes are not known yet: give input_shape="


def sequential(**options: Any) -> Sequential:
    return Sequential([Dense(4)], **options)


def fit(x: Any = X, y: Any = Y, **options: Any) -> History:
    return network().fit(x, y, **{"loss": MeanSquaredError(), "optimizer": SGD(0.1), **options})


def measured(x: Any = X, y: Any = Y, **options: Any) -> dict[str, float]:
    return network().evaluate(x, y, **{"loss": MeanSquaredError(), **options})


def trainer(**options: Any) -> Trainer:
    return Trainer(network(), MeanSquaredError(), SGD(0.1), **options)


@table(
    Refusal("no layers", lambda: Sequential([]), ConfigurationError, r"layers: expected at least one layer"),
    Refusal("no list", lambda: Sequential(Dense(4)), ArgumentTypeError, r"layers: .*got Dense\(4\): write \[Dense"),
    Refusal("a class", lambda: Sequential([Dense]), ContractError, r"layer 0: expected a layer.*: write Dense\(\)"),
    Refusal(
        "None inside", lambda: Sequential([Dense(4), anything]), ContractError, r"layer 1: expected a layer, got None"
    ),
    Refusal("shape text", lambda: sequential(input_shape="3"), ArgumentTypeError, r"input_shape: .*got '3'"),
    Refusal("shape 0", lambda: sequential(input_shape=0), ConfigurationError, r"input_shape: .*at least 1, got 0"),
    Refusal("shape True", lambda: sequential(input_shape=True), ArgumentTypeError, r"input_shape: .*got True"),
    Refusal("dtype", lambda: sequential(dtype="float16"), ConfigurationError, r"dtype: .*got 'float16'"),
    Refusal("dtype list", lambda: sequential(dtype=[1]), ConfigurationError, r"dtype: .*got \[1\]"),
    Refusal("rng text", lambda: sequential(rng="a"), ArgumentTypeError, r"rng: .*got 'a'"),
    Refusal("rng -1", lambda: sequential(rng=-1), ConfigurationError, r"rng: .*got -1"),
    Refusal("no axis", lambda: sequential(input_shape=()), ShapeError, r"layer 0, Dense\(4\): .*\(\): put Reshape"),
    Refusal(
        "unflat",
        lambda: sequential(input_shape=(3, 3)).fit(
            np.ones((5, 3, 3)), np.ones(5), loss=MeanSquaredError(), optimizer=SGD(0.1)
        ),
        ShapeError,
        r"y: .*got \(5,\): put Flatten\(\) before the first Dense",
    ),
    Refusal(
        "unfit",
        lambda: Sequential([Dense(4), Flatten(), Reshape((3, 3))], input_shape=3),
        ShapeError,
        r"layer 2, Reshape\(\(3, 3\)\): .*got \(4,\) from layer 1, Flatten\(\)",
    ),
    Refusal("build None", lambda: sequential().build(anything), ArgumentTypeError, r"input_shape: .*got None"),
    Refusal(
        "builder 3", lambda: sequential().build(3, anything or 3), ArgumentTypeError, r"Sequential: builder: .*got 3"
    ),
    Refusal(
        "chain builder", lambda: Chain([Dense(4)]).build((3,), anything), ArgumentTypeError, r"Chain: builder: .*None"
    ),
    Refusal(
        "build again", lambda: network().build(4), ShapeError, r"(?s).*built for samples of shape \(3,\), got \(4,\)"
    ),
    Refusal("position 7", lambda: network()[7], PositionError, r"Sequential: .*from -3 to 2, got 7"),
    Refusal("position text", lambda: network()["a"], PositionError, r"Sequential: .*from -3 to 2, got 'a'"),
    Refusal("empty slice", lambda: network()[3:], ConfigurationError, r"layers: expected at least one layer"),
)
def test_networks(refusal: Refusal) -> None:
    refusal.check()


@table(
    Refusal("predict", lambda: sequential().predict(X), NotBuiltError, rf"Sequential: {UNBUILT}"),
    Refusal(
        "evaluate",
        lambda: sequential().evaluate(X, Y, loss=MeanSquaredError()),
        NotBuiltError,
        rf"Sequential: {UNBUILT}",
    ),
    Refusal("forward", lambda: sequential().forward(X), NotBuiltError, rf"Sequential: {UNBUILT}"),
    Refusal("backward", lambda: sequential().backward([], Y), NotBuiltError, rf"Sequential: {UNBUILT}"),
    Refusal(
        "backward_parameters", lambda: sequential().backward_parameters([], Y), NotBuiltError, rf"Sequential: {UNBUILT}"
    ),
    Refusal("summary", lambda: sequential().summary(), NotBuiltError, rf"Sequential: {UNBUILT}"),
    Refusal(
        "trainer", lambda: Trainer(sequential(), MeanSquaredError(), SGD(0.1)), NotBuiltError, r"Sequential: not built"
    ),
    Refusal("chain", lambda: Chain([Dense(4)]).forward(X), NotBuiltError, rf"Chain: {UNBUILT}"),
    Refusal(
        "backward first", lambda: network().backward([], Y), ContractError, r"Sequential: backward: expects what forw"
    ),
    Refusal("saved None", lambda: network().backward(anything, Y), ContractError, r"Sequential: backward: .*got None"),
)
def test_orders_of_calls(refusal: Refusal) -> None:
    refusal.check()


@table(
    Refusal("None", lambda: network().predict(None), DataTypeError, r"x: expected real numbers, got None \(NoneType\)"),
    Refusal("text", lambda: network().predict("abc"), DataTypeError, r"x: expected real numbers, got <U3 \(str\)"),
    Refusal("empty", lambda: network().predict([]), DataError, r"x: expected at least one sample, got none"),
    Refusal("ragged", lambda: network().predict([[1, 2], [1]]), DataTypeError, r"x: .*rows of different lengths"),
    Refusal("a number", lambda: network().predict(3), ShapeError, r"x: expected samples along axis 0.*number 3"),
    Refusal(
        "four inputs", lambda: network().predict(np.ones((5, 4))), ShapeError, r"x: layer 0, Dense\(4\) .*got \(5, 4\)"
    ),
    Refusal("one sample", lambda: network().predict(np.ones(3)), ShapeError, r"x: .*use x\[None\] for a batch of one"),
    Refusal("NaN", lambda: network().predict(X + np.nan), DataError, r"x: .*got nan at x\[0, 0\]"),
    Refusal("complex", lambda: network().predict(X + 1j), DataTypeError, r"x: expected real numbers, got complex"),
    Refusal("objects", lambda: network().predict([object()]), DataTypeError, r"x: expected real .*object"),
    Refusal(
        "too large", lambda: network().predict(np.full((5, 3), 1e300)), DataError, r"x: .*float32 can hold, got 1e\+300"
    ),
    Refusal("batch_size 0", lambda: network().predict(X, batch_size=0), ConfigurationError, r"batch_size: .*got 0"),
    Refusal(
        "batch_size 1.5", lambda: network().predict(X, batch_size=1.5), ArgumentTypeError, r"batch_size: .*got 1.5"
    ),
    Refusal("forward text", lambda: network().forward(anything), ArgumentTypeError, r"layer 0, Dense\(4\): .*got None"),
    Refusal("forward shape", lambda: network().forward(Y), ShapeError, r"layer 0, Dense\(4\): .*\(3,\), .*\(5, 2\)"),
    Refusal(
        "forward of text", lambda: network().forward(X.astype(str)), DataTypeError, r"layer 0, Dense\(4\): x: .*<U"
    ),
)
def test_predict_and_forward(refusal: Refusal) -> None:
    refusal.check()


def backward(delta: Any) -> Any:
    net = network()
    return net.backward(net.forward(X)[1], delta)


def backward_parameters(delta: Any) -> None:
    net = network()
    net.backward_parameters(net.forward(X)[1], delta)


@table(
    Refusal("delta shape", lambda: backward(X), ShapeError, r"layer 2, Dense\(2\): backward: .*\(2,\) .*\(5, 3\)"),
    Refusal(
        "first delta shape", lambda: backward_parameters(X), ShapeError, r"layer 2, Dense\(2\): backward: .*\(5, 3\)"
    ),
    Refusal(
        "delta batch", lambda: backward(Y[:4]), ContractError, r"layer 2, Dense\(2\): gradient: the product of \(4, 5\)"
    ),
    Refusal("delta None", lambda: backward(None), ArgumentTypeError, r"layer 2, Dense\(2\): backward: .*got None"),
)
def test_backward(refusal: Refusal) -> None:
    refusal.check()


@table(
    Refusal("loss class", lambda: measured(loss=MeanSquaredError), ArgumentTypeError, r"loss: expected an instance"),
    Refusal("loss text", lambda: fit(loss="mse"), ArgumentTypeError, r"(?s).*loss: expected Loss, got 'mse'"),
    Refusal(
        "optimizer text", lambda: fit(optimizer="sgd"), ArgumentTypeError, r".*optimizer: expected Optimizer, got 'sgd'"
    ),
    Refusal("optimizer class", lambda: fit(optimizer=SGD), ArgumentTypeError, r".*optimizer: .*instance .*SGD\(\)"),
    Refusal("metrics bare", lambda: measured(metrics=Accuracy()), ArgumentTypeError, r"metrics: expected a list"),
    Refusal("metrics class", lambda: measured(metrics=[Accuracy]), ArgumentTypeError, r"metrics: .*got <class"),
    Refusal("metrics text", lambda: fit(metrics="accuracy"), ArgumentTypeError, r"metrics: .*got 'accuracy'"),
    Refusal(
        "metrics twice",
        lambda: fit(metrics=[MeanAbsoluteError()] * 2),
        ConfigurationError,
        r"metrics: .*names that diff",
    ),
    Refusal(
        "metric array", lambda: measured(metrics=[lambda p, t: p]), ContractError, r"metric <lambda>: expected a single"
    ),
    Refusal("callbacks bare", lambda: fit(callbacks=Callback()), ArgumentTypeError, r"callbacks: expected a list"),
    Refusal(
        "callbacks class",
        lambda: fit(callbacks=[Callback]),
        ArgumentTypeError,
        r"callbacks: .* or functions .*got",
    ),
    Refusal("epochs -1", lambda: fit(epochs=-1), ConfigurationError, r"epochs: expected .* at least 0, got -1"),
    Refusal("epochs 1.5", lambda: fit(epochs=1.5), ArgumentTypeError, r"epochs: expected a whole number .*got 1.5"),
    Refusal("epochs None", lambda: fit(epochs=None), ArgumentTypeError, r"epochs: expected a whole number .*got None"),
    Refusal("batch_size 0", lambda: fit(batch_size=0), ConfigurationError, r"batch_size: .*got 0"),
    Refusal("shuffle text", lambda: fit(shuffle="no"), ArgumentTypeError, r"shuffle: expected True or False, got 'no'"),
    Refusal(
        "validation bare", lambda: fit(validation_data=X), ArgumentTypeError, r"validation_data: expected \(x, y\)"
    ),
    Refusal("validation y", lambda: fit(validation_data=(X, X)), ShapeError, r".*y: .*\(2,\).*got \(5, 3\)"),
    Refusal("split 1.5", lambda: fit(validation_split=1.5), ConfigurationError, r"validation_split: .*got 1.5"),
    Refusal(
        "split none left", lambda: fit(validation_split=0.01), ConfigurationError, r"validation_split: .*at least one"
    ),
    Refusal(
        "split twice", lambda: fit(validation_split=0.4, validation_data=(X, Y)), ConfigurationError, r".*not both"
    ),
    Refusal("clip 0", lambda: fit(clip_norm=0), ConfigurationError, r"Trainer: clip_norm: .*above 0, got 0"),
    Refusal("clip text", lambda: fit(clip_norm="a"), ArgumentTypeError, r"Trainer: clip_norm: .*got 'a'"),
    Refusal("rng", lambda: fit(rng="a"), ArgumentTypeError, r"rng: .*got 'a'"),
    Refusal("progress", lambda: fit(progress="a"), ArgumentTypeError, r"progress: .*got 'a'"),
    Refusal("y shape", lambda: fit(y=Y[:, :1]), ShapeError, r"y: .*\(N, 2\), got \(5, 1\)"),
    Refusal("y length", lambda: fit(y=Y[:4]), DataError, r".*x has 5, y has 4"),
    Refusal("y NaN", lambda: fit(y=Y + np.nan), DataError, r"y: .*got nan at y\[0, 0\]"),
    Refusal("y None", lambda: fit(y=None), ArgumentTypeError, r"y: expected the targets, got None: give them, or"),
    Refusal("y too large", lambda: fit(y=np.full((5, 2), 1e300)), DataError, r"y: .*float32 can hold, got 1e\+300"),
    Refusal("no samples", lambda: fit(X[:0], Y[:0]), DataError, r"x: expected at least one sample"),
    Refusal("weight length", lambda: fit(sample_weight=[1, 2]), DataError, r".*sample_weight has 2"),
    Refusal("weight below 0", lambda: fit(sample_weight=-np.ones(5)), DataError, r"sample_weight: .*got -1"),
    Refusal("weight shape", lambda: fit(sample_weight=np.ones((5, 1))), ShapeError, r"sample_weight: .*\(5, 1\)"),
    Refusal("label 7", lambda: fit(y=LABELS + 7, loss=SoftmaxCrossEntropy()), DataError, r"y: .*from 0 to 1.*got 8"),
    Refusal("label -1", lambda: fit(y=LABELS - 1, loss=SoftmaxCrossEntropy()), DataError, r"y: .*from 0 to 1.*got -1"),
    Refusal(
        "label 0.5", lambda: fit(y=LABELS + 0.5, loss=SoftmaxCrossEntropy()), DataTypeError, r"y: .*whole-number labels"
    ),
    Refusal("logits", lambda: measured(y=LABELS, loss=CrossEntropy()), DataError, r"prediction: .*Softmax\(\)"),
    Refusal(
        "rate text", lambda: fit(optimizer=SGD(lambda step: "a")), ConfigurationError, r"SGD: learning_rate: .*'a' at"
    ),
    Refusal(
        "rate NaN", lambda: fit(optimizer=SGD(lambda step: np.nan)), ConfigurationError, r"SGD: learning_rate: .*nan"
    ),
    Refusal(
        "diverging", lambda: fit(optimizer=SGD(1e30), epochs=9), NonFiniteError, r"epoch \d+, step \d+: .*not applied"
    ),
)
def test_fit_and_evaluate(refusal: Refusal) -> None:
    refusal.check()


@table(
    Refusal(
        "model", lambda: Trainer(anything, MeanSquaredError(), SGD(0.1)), ArgumentTypeError, r"Trainer: model: .*None"
    ),
    Refusal(
        "swapped", lambda: Trainer(network(), SGD(0.1), MeanSquaredError()), ArgumentTypeError, r"Trainer: loss: .*SGD"
    ),
    Refusal(
        "nothing to train",
        lambda: Trainer(Sequential([Sigmoid()], input_shape=2), MeanSquaredError(), SGD(0.1)),
        ConfigurationError,
        r"Sequential: has no parameters: there is nothing to train",
    ),
    Refusal("rng", lambda: trainer(rng=1.5), ArgumentTypeError, r"rng: .*got 1.5"),
    Refusal("step length", lambda: trainer().step(X, Y[:4]), DataError, r".*x has 5, y has 4"),
    Refusal("step one sample", lambda: trainer().step(X[0], Y[0]), ShapeError, r"x: .*use x\[None\]"),
    Refusal("step empty", lambda: trainer().step([], []), DataError, r"x: expected at least one sample"),
    Refusal(
        "step NaN",
        lambda: trainer().step(X + np.float32(np.nan), Y),
        NonFiniteError,
        r"epoch 1, step 1: .*the inputs x",
    ),
    Refusal("step target NaN", lambda: trainer().step(X, Y + np.float32(np.nan)), NonFiniteError, r".*the targets y"),
    Refusal("step labels", lambda: trainer().step(X, LABELS), ShapeError, r".*\(5,\)"),
    Refusal("evaluate", lambda: trainer().evaluate(X, Y, batch_size=0), ConfigurationError, r"batch_size: .*got 0"),
    Refusal("no batches", lambda: evaluate(network(), MeanSquaredError(), (), []), DataError, r"evaluate: .*got none"),
    Refusal("data", lambda: Data.of(anything, MeanSquaredError(), X, Y), ArgumentTypeError, r"model: .*got None"),
    Refusal("column", lambda: fit().best("lss"), ConfigurationError, r"history: expected one of \['loss'\], got 'lss'"),
    Refusal("mode", lambda: fit().best("loss", "up"), ConfigurationError, r"history: .*got 'up'"),
    Refusal("row", lambda: History().append(anything), ArgumentTypeError, r"history: expected numbers by name.*None"),
    Refusal(
        "row of text", lambda: History().append({"loss": anything}), ArgumentTypeError, r"history: .*\{'loss': None\}"
    ),
    Refusal("path", lambda: History().to_csv(anything), ArgumentTypeError, r"path: expected a file name, got None"),
    Refusal(
        "kernels", lambda: kernels.use("cuda"), ConfigurationError, r"kernels: expected 'numpy' or 'numba', got 'cuda'"
    ),
    Refusal("kernels list", lambda: kernels.use([]), ConfigurationError, r"kernels: .*got \[\]"),
)
def test_trainers_and_histories(refusal: Refusal) -> None:
    refusal.check()


@pytest.mark.parametrize("call", [lambda: Dense(), lambda: SGD(), lambda: network().fit(X, Y)])
def test_arguments_that_are_missing(call: Any) -> None:
    """Python's own message has the name of the class or method and of the argument."""
    with pytest.raises(TypeError, match=r"(Dense|SGD|Sequential)\.\w+\(\) .*'(units|learning_rate|loss)'"):
        call()
