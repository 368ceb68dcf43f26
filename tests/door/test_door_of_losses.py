"""Losses, metrics and optimizers refuse what does not fit when they are used by hand; so does the extension kit."""

# mypy: disable-error-code="arg-type, call-arg, call-overload, list-item, return-value"
# wrong types are the point here

from typing import Any

import numpy as np
from refusals import LABELS, Refusal, X, Y, network, table

from deepbp import ParameterVector, Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, ShapeError
from deepbp.initializers import Zeros
from deepbp.layers import Dense
from deepbp.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD, Adam, AdamW
from deepbp.testing import (
    check_initializer,
    check_layer,
    check_loss,
    check_optimizer,
    compare_gradients,
    numeric_gradient,
    parametrize_with_checks,
)
from deepbp.training import Accuracy, BinaryAccuracy, MeanAbsoluteError

anything: Any = None
squared, scores, probabilities = MeanSquaredError(), SoftmaxCrossEntropy(), CrossEntropy()


@table(
    Refusal("scale 0", lambda: SumSquaredError(0), ConfigurationError, r"SumSquaredError: scale: .*got 0"),
    Refusal("scale text", lambda: SumSquaredError(anything), ArgumentTypeError, r"SumSquaredError: scale: .*got None"),
    Refusal(
        "shapes", lambda: squared.forward(Y, LABELS), ShapeError, r"loss: expected a target .*\(5, 2\), got \(5,\)"
    ),
    Refusal("column", lambda: squared.forward(Y[:, :1], LABELS), ShapeError, r"loss: .*use target.reshape\(-1, 1\)"),
    Refusal("a list", lambda: squared.forward([1, 2], [1, 2]), ArgumentTypeError, r"prediction: .*got \[1, 2\]: use"),
    Refusal("target None", lambda: squared.forward(Y, anything), ArgumentTypeError, r"target: .*got None"),
    Refusal("no samples", lambda: squared.forward(Y[:0], Y[:0]), DataError, r"loss: expected at least one sample"),
    Refusal(
        "weights", lambda: squared.forward(Y, Y, np.ones(3)), ShapeError, r"sample_weight: .*\(5,\), or .*, got \(3,\)"
    ),
    Refusal("weight list", lambda: squared.forward(Y, Y, [1]), ArgumentTypeError, r"sample_weight: .*got \[1\]"),
    Refusal("p 9", lambda: BinaryCrossEntropy().forward(Y + 9, Y), DataError, r"prediction: .*got 10.*Sigmoid\(\)"),
    Refusal("y 9", lambda: BinaryCrossEntropy().forward(Y, Y + 9), DataError, r"target: .*got 10.*0 and 1"),
    Refusal("binary list", lambda: BinaryCrossEntropy().forward([1], [1]), ArgumentTypeError, r"prediction: .*\[1\]"),
    Refusal("label 5", lambda: probabilities.forward(Y, LABELS + 5), DataError, r"target: .*from 0 to 1.*got 6"),
    Refusal("label list", lambda: probabilities.forward(Y, [0, 1]), ArgumentTypeError, r"target: .*got \[0, 1\]"),
    Refusal("p number", lambda: probabilities.forward(np.float32(3), LABELS), ArgumentTypeError, r"prediction: .*3"),
    Refusal("score label 5", lambda: scores.forward(Y, LABELS + 5), DataError, r"target: .*from 0 to 1.*got 6"),
    Refusal("score label -1", lambda: scores.forward(Y, LABELS - 1), DataError, r"target: .*from 0 to 1.*got -1"),
    Refusal("score labels", lambda: scores.forward(Y, LABELS[:3]), ShapeError, r"target: .*\(5,\) or .*got \(3,\)"),
    Refusal("score list", lambda: scores.forward([0.5], LABELS), ArgumentTypeError, r"prediction: .*\[0.5\]"),
    Refusal(
        "score weight", lambda: scores.forward(Y, LABELS, np.ones((5, 1))), ShapeError, r"sample_weight: .*\(5, 1\)"
    ),
    Refusal("score weight text", lambda: scores.forward(Y, LABELS, "a"), ArgumentTypeError, r"sample_weight: .*'a'"),
    Refusal(
        "whole scores", lambda: scores.prepare_target("a", (2,), Y.dtype), DataTypeError, r"y: expected real numbers"
    ),
)
def test_losses(refusal: Refusal) -> None:
    refusal.check()


@table(
    Refusal("labels", lambda: Accuracy()(Y, LABELS[:3]), ShapeError, r"Accuracy: .*\(5,\) or .*got \(3,\)"),
    Refusal("None", lambda: Accuracy()(Y, anything), ArgumentTypeError, r"target: .*got None"),
    Refusal("empty", lambda: Accuracy()(Y[:0], LABELS[:0]), DataError, r"Accuracy: expected at least one sample"),
    Refusal("threshold", lambda: BinaryAccuracy(anything), ArgumentTypeError, r"BinaryAccuracy: threshold: .*None"),
    Refusal("shape", lambda: BinaryAccuracy()(Y, LABELS), ShapeError, r"BinaryAccuracy: .*\(5, 2\), got \(5,\)"),
    Refusal("absolute", lambda: MeanAbsoluteError()(Y[:0], Y[:0]), DataError, r"MeanAbsoluteError: .*got none"),
)
def test_metrics(refusal: Refusal) -> None:
    refusal.check()


def vector() -> ParameterVector:
    return ParameterVector(network().parameters())


def small() -> ParameterVector:
    return ParameterVector(Sequential([Dense(1)], input_shape=1).parameters())


momentum = SGD(0.1, momentum=0.9)


@table(
    Refusal("rate text", lambda: SGD("a"), ArgumentTypeError, r"SGD: learning_rate: expected a number, or a callable"),
    Refusal("rate -1", lambda: SGD(-1), ConfigurationError, r"SGD: learning_rate: .*got -1"),
    Refusal("rate NaN", lambda: Adam(np.nan), ConfigurationError, r"Adam: learning_rate: .*got nan"),
    Refusal("rate True", lambda: SGD(True), ArgumentTypeError, r"SGD: learning_rate: .*got True"),
    Refusal("rate class", lambda: SGD(float), ArgumentTypeError, r"SGD: learning_rate: .*got <class 'float'>"),
    Refusal("momentum 1", lambda: SGD(0.1, momentum=1), ConfigurationError, r"SGD: momentum: .*below 1, got 1"),
    Refusal("nesterov", lambda: SGD(0.1, nesterov=True), ConfigurationError, r"SGD: nesterov=True needs a momentum"),
    Refusal("nesterov 1", lambda: SGD(0.1, nesterov=1), ArgumentTypeError, r"SGD: nesterov: expected bool, got 1"),
    Refusal("decay -1", lambda: SGD(0.1, weight_decay=-1), ConfigurationError, r"SGD: weight_decay: .*got -1"),
    Refusal("beta 1", lambda: Adam(beta1=1), ConfigurationError, r"Adam: beta1: .*below 1, got 1"),
    Refusal("epsilon 0", lambda: Adam(epsilon=0), ConfigurationError, r"Adam: epsilon: .*above 0, got 0"),
    Refusal("AdamW text", lambda: AdamW(weight_decay=anything), ArgumentTypeError, r"AdamW: weight_decay: .*None"),
    Refusal(
        "no vector", lambda: SGD(0.1).step(anything, {"step": 0}), ArgumentTypeError, r"SGD: step: parameters: .*None"
    ),
    Refusal(
        "no state", lambda: SGD(0.1).step(vector(), {}), ArgumentTypeError, r"SGD: step: state: .*\['step'\], got \{\}"
    ),
    Refusal(
        "no velocity", lambda: momentum.step(vector(), {"step": 0}), ArgumentTypeError, r"SGD: step: state: .*velocity"
    ),
    Refusal("state None", lambda: Adam().step(vector(), anything), ArgumentTypeError, r"Adam: step: state: .*got None"),
    Refusal("no mean", lambda: Adam().step(vector(), {"step": 0}), ArgumentTypeError, r"Adam: step: state: .*'mean'"),
    Refusal(
        "state of another network",
        lambda: Adam().step(vector(), Adam().start(small())),
        ShapeError,
        r"optimizer: expected a state as long as the parameters, 26 numbers, got 2",
    ),
    Refusal(
        "velocity of another network",
        lambda: momentum.step(vector(), momentum.start(small())),
        ShapeError,
        r"optimizer: expected a state as long as the parameters, 26 numbers, got 2",
    ),
)
def test_optimizers(refusal: Refusal, kernel_form: str) -> None:
    refusal.check()


@table(
    Refusal("layer class", lambda: check_layer(Dense, 3), ArgumentTypeError, r"layer: .*write Dense\(\)"),
    Refusal("layer 3", lambda: check_layer(anything, 3), ArgumentTypeError, r"layer: .*got None"),
    Refusal("shape", lambda: check_layer(Dense(4), anything), ArgumentTypeError, r"input_shape: .*got None"),
    Refusal("shape 0", lambda: check_layer(Dense(4), 0), ConfigurationError, r"input_shape: .*got 0"),
    Refusal("rng", lambda: check_layer(Dense(4), 3, rng=anything or "a"), ArgumentTypeError, r"rng: .*got 'a'"),
    Refusal("inputs", lambda: check_layer(Dense(4), 3, inputs=anything), ArgumentTypeError, r"inputs: .*got None"),
    Refusal("loss class", lambda: check_loss(MeanSquaredError), ArgumentTypeError, r"loss: .*got <class"),
    Refusal("loss shape", lambda: check_loss(squared, "a"), ArgumentTypeError, r"output_shape: .*got 'a'"),
    Refusal("optimizer", lambda: check_optimizer(anything), ArgumentTypeError, r"optimizer: .*got None"),
    Refusal("initializer", lambda: check_initializer(Zeros), ArgumentTypeError, r"initializer: .*got <class"),
    Refusal("shapes", lambda: check_initializer(Zeros(), shapes=anything), ArgumentTypeError, r"shapes: .*got None"),
    Refusal("shapes text", lambda: check_initializer(Zeros(), shapes=["a"]), ArgumentTypeError, r"shapes: .*got 'a'"),
    Refusal(
        "no function", lambda: numeric_gradient(anything, np.ones(3)), ArgumentTypeError, r"numeric_gradient: .*None"
    ),
    Refusal("no array", lambda: numeric_gradient(np.sum, anything), ArgumentTypeError, r"numeric_gradient: .*None"),
    Refusal("float32", lambda: numeric_gradient(np.sum, X), DataTypeError, r"numeric_gradient: .*got float32"),
    Refusal("step 0", lambda: numeric_gradient(np.sum, np.ones(3), step=0), ConfigurationError, r"numeric_.*got 0"),
    Refusal(
        "magnitude",
        lambda: numeric_gradient(np.sum, np.ones(3), magnitude=-1),
        ConfigurationError,
        r"numeric_gradient: expected a magnitude of at least 0, got -1",
    ),
    Refusal(
        "resolution",
        lambda: compare_gradients({"a": X}, {"a": X}, resolution=X),
        ArgumentTypeError,
        r"compare_gradients: expected resolutions by name, got an array of shape",
    ),
    Refusal(
        "resolution of other names",
        lambda: compare_gradients({"a": X}, {"a": X}, resolution={"b": X}),
        ShapeError,
        r"compare_gradients: expected a resolution for each of \['a'\], got \['b'\]",
    ),
    Refusal(
        "resolution of another shape",
        lambda: compare_gradients({"a": X}, {"a": X}, resolution={"a": Y}),
        ShapeError,
        r"a: the gradients have shape \(5, 3\), the resolution \(5, 2\)",
    ),
    Refusal(
        "names", lambda: compare_gradients({"a": X}, {"b": X}), ShapeError, r"compare_gradients: .*\['a'\] and \['b'\]"
    ),
    Refusal("no names", lambda: compare_gradients(anything, {}), ArgumentTypeError, r"compare_gradients: .*None"),
    Refusal("other shapes", lambda: compare_gradients({"a": X}, {"a": Y}), ShapeError, r"a: .*\(5, 3\), .*\(5, 2\)"),
    Refusal(
        "no list", lambda: parametrize_with_checks(anything), ArgumentTypeError, r"parametrize_with_checks: .*None"
    ),
    Refusal(
        "no shape", lambda: parametrize_with_checks([Dense(3)]), ArgumentTypeError, r"parametrize_with_.*got Dense\(3\)"
    ),
)
def test_the_kit(refusal: Refusal) -> None:
    refusal.check()
