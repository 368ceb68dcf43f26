"""Layers, parameters and builders refuse what does not fit, in words."""

# mypy: disable-error-code="arg-type, call-arg, call-overload, list-item, return-value"
# wrong types are the point here

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest
from refusals import Refusal, X, Y, built, table

from deepbp import Buffer, Parameter, ParameterVector
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DataTypeError, NotBuiltError, ShapeError
from deepbp.initializers import Constant, Normal, Ones, Orthogonal, Uniform, Zeros
from deepbp.layers import Builder, Dense, Flatten, Layer, Maxout, ReLU, Reshape, Sigmoid, Softmax, Tanh, configuration

anything: Any = None  # what a type checker would not let through


def assign(holder: Any, value: Any) -> None:
    holder.value = value


@table(
    Refusal("units text", lambda: Dense("4"), ArgumentTypeError, r"Dense: units: expected a whole number .*got '4'"),
    Refusal("units 0", lambda: Dense(0), ConfigurationError, r"Dense: units: .*at least 1, got 0"),
    Refusal("units 2.5", lambda: Dense(2.5), ArgumentTypeError, r"Dense: units: .*got 2.5"),
    Refusal("units True", lambda: Dense(True), ArgumentTypeError, r"Dense: units: .*got True"),
    Refusal("bias 1", lambda: Dense(4, use_bias=1), ArgumentTypeError, r"Dense: use_bias: expected bool, got 1"),
    Refusal(
        "initializer text", lambda: Dense(4, weight_init="zeros"), ArgumentTypeError, r"Dense: weight_init: .*'zeros'"
    ),
    Refusal(
        "initializer class", lambda: Dense(4, bias_init=Zeros), ArgumentTypeError, r"Dense: bias_init: .*: Zeros\(\)"
    ),
    Refusal("shape text", lambda: Reshape("ab"), ArgumentTypeError, r"Reshape: expected whole numbers.*'ab'"),
    Refusal("shape 0", lambda: Reshape(0), ConfigurationError, r"Reshape: expected sizes of at least 1, got \[0\]"),
    Refusal("shape -1 twice", lambda: Reshape((-1, -1)), ConfigurationError, r"Reshape: expected at most one -1"),
    Refusal("constant text", lambda: Constant("a"), ArgumentTypeError, r"Constant: value: .*got 'a'"),
    Refusal("constant NaN", lambda: Constant(np.nan), ConfigurationError, r"Constant: value: .*got nan"),
    Refusal("low above high", lambda: Uniform(2, 1), ConfigurationError, r"Uniform: expected low ≤ high, got low=2"),
    Refusal("std below 0", lambda: Normal(std=-1), ConfigurationError, r"Normal: std: .*got -1"),
    Refusal("gain 0", lambda: Orthogonal(0), ConfigurationError, r"Orthogonal: gain: expected a number above 0, got 0"),
    Refusal("configuration of 3", lambda: configuration(3), ArgumentTypeError, r"configuration: .*got 3"),
)
def test_constructors(refusal: Refusal) -> None:
    refusal.check()


@table(
    Refusal("not built", lambda: Dense(4).forward(X), NotBuiltError, r"Dense\(4\): its sizes are not known yet"),
    Refusal("predict not built", lambda: Dense(4).predict(X), NotBuiltError, r"Dense\(4\): its sizes are not known"),
    Refusal("backward not built", lambda: Dense(4).backward(X, Y), NotBuiltError, r"Dense\(4\): its sizes are not"),
    Refusal("weight not built", lambda: Dense(4).weight.value, NotBuiltError, r"its sizes are not known yet"),
    Refusal(
        "two inputs for three",
        lambda: built(Dense(4), 3).forward(np.ones((5, 2))),
        ShapeError,
        r"Dense\(4\): x: expected samples of shape \(3,\), got an array of shape \(5, 2\)",
    ),
    Refusal("a list", lambda: built(Dense(4), 3).forward(anything), ArgumentTypeError, r"Dense\(4\): x: .*got None"),
    Refusal(
        "a number", lambda: Softmax().forward(np.float32(2)), ArgumentTypeError, r"Softmax\(\): z: expected an array"
    ),
    Refusal("text", lambda: built(Dense(4), 3).forward(X.astype(str)), DataTypeError, r"Dense\(4\): x: .*got <U"),
    Refusal("complex", lambda: Sigmoid().forward(X.astype(complex)), DataTypeError, r"Sigmoid\(\): z: .*complex"),
    Refusal(
        "delta of three for four",
        lambda: built(Dense(4), 3).backward(X, X),
        ShapeError,
        r"Dense\(4\): delta: expected samples of shape \(4,\), got an array of shape \(5, 3\)",
    ),
    Refusal(
        "delta of another batch",
        lambda: built(Dense(4), 3).backward(X, np.ones((4, 4), np.float32)),
        ContractError,
        r"gradient: the product of \(3, 5\) and \(4, 4\) does not exist",
    ),
    Refusal("delta None", lambda: built(Dense(4), 3).backward(X, anything), ArgumentTypeError, r"Dense\(4\): delta: "),
    Refusal("Flatten of a number", lambda: Flatten().forward(anything), ArgumentTypeError, r"Flatten\(\): x: .*None"),
    Refusal(
        "Flatten back", lambda: built(Flatten(), 3).backward((5, 3), Y), ShapeError, r"Flatten\(\): delta: .*\(5, 2\)"
    ),
    Refusal("Reshape", lambda: Reshape((2, 3)).forward(X), ShapeError, r"Reshape\(\(2, 3\)\): x: .*\(5, 3\)"),
    Refusal(
        "Reshape back", lambda: Reshape(4).backward((5, 3), Y), ShapeError, r"Reshape\(\(4,\)\): delta: .*\(5, 2\)"
    ),
    Refusal(
        "build unflat", lambda: Maxout(4).build((3, 3), Builder()), ShapeError, r"expects flat samples .*Flatten\(\)"
    ),
    Refusal(
        "build unfit", lambda: Reshape((2, 2)).build((3,), Builder()), ShapeError, r"cannot give 3 numbers the shape"
    ),
)
def test_a_layer_by_itself(refusal: Refusal) -> None:
    refusal.check()


@pytest.mark.parametrize("layer", [Sigmoid(), Tanh(), ReLU(), Softmax()], ids=repr)
@pytest.mark.parametrize("shape", [(5, 1), (1, 2), (4, 2), (5, 3), (2,)])
def test_an_error_signal_is_never_broadcast(layer: Layer[Any], shape: tuple[int, ...], kernel_form: str) -> None:
    """Compiled loops would read past its end, NumPy would repeat it."""
    saved = layer.forward(Y)[1]
    delta = np.ones(shape, np.float32)
    message = re.escape(f"backward: expected a delta of the output's shape (5, 2), got {shape}")
    Refusal("", lambda: layer.backward(saved, delta), ShapeError, message).check()


@table(
    Refusal("value None", lambda: Parameter(anything), ArgumentTypeError, r"Parameter: expected an array .*got None"),
    Refusal(
        "value of text", lambda: Parameter(np.array(["a"])), ArgumentTypeError, r"Parameter: expected an array of num"
    ),
    Refusal("whole numbers", lambda: Parameter(np.arange(3)), DataTypeError, r"Parameter: .*float64, got int"),
    Refusal("buffer text", lambda: Buffer(anything), ArgumentTypeError, r"Buffer: expected an array .*got None"),
    Refusal(
        "other shape", lambda: assign(Parameter(np.ones(3)), np.ones(4)), ShapeError, r"Parameter: .*\(3,\), got \(4,\)"
    ),
    Refusal(
        "text", lambda: assign(Parameter(np.ones(1)), ["a"]), DataTypeError, r"Parameter: expected numbers, got <U1"
    ),
    Refusal(
        "buffer shape", lambda: assign(Buffer(np.ones(3)), np.ones(2)), ShapeError, r"Buffer: .*\(3,\), got \(2,\)"
    ),
    Refusal(
        "gradient over the batch",
        lambda: Parameter(np.ones(3)).accumulate(np.ones((5, 3))),
        ContractError,
        r"gradient has shape \(5, 3\), expected \(3,\): sum over the batch",
    ),
    Refusal(
        "gradient list", lambda: Parameter(np.ones(1)).accumulate(anything), ContractError, r"gradient: .*got None"
    ),
    Refusal(
        "gradient text",
        lambda: Parameter(np.ones(1)).accumulate(np.array(["a"])),
        ContractError,
        r"gradient: .*got <U1",
    ),
    Refusal(
        "product",
        lambda: Parameter(np.ones(3)).accumulate_product(np.ones(2), np.ones((3, 3))),
        ContractError,
        r"gradient: the product of \(2,\) and \(3, 3\) does not exist",
    ),
    Refusal("vector of 3", lambda: ParameterVector(anything), ArgumentTypeError, r"parameters: .*got None"),
    Refusal(
        "vector of arrays", lambda: ParameterVector.of([np.ones(3)]), ArgumentTypeError, r"parameters: .*got \[array"
    ),
    Refusal(
        "two dtypes",
        lambda: ParameterVector([Parameter(np.ones(3)), Parameter(np.ones(3, np.float32))]),
        ConfigurationError,
        r"parameters: expected one dtype, got \['float32', 'float64'\]",
    ),
)
def test_parameters(refusal: Refusal) -> None:
    refusal.check()


@table(
    Refusal("rng", lambda: Builder("a"), ArgumentTypeError, r"rng: expected a whole number, .*got 'a'"),
    Refusal("dtype", lambda: Builder(0, "int32"), ConfigurationError, r"dtype: expected 'float32' or .*got 'int32'"),
    Refusal("no dtype", lambda: Builder(0, None), ConfigurationError, r"dtype: expected 'float32' or .*got None"),
    Refusal("shape", lambda: Builder().parameter(anything, Ones()), ArgumentTypeError, r"shape: .*got None"),
    Refusal("shape 0", lambda: Builder().parameter((0,), Ones()), ConfigurationError, r"shape: .*got \(0,\)"),
    Refusal(
        "no initializer", lambda: Builder().parameter((3,), anything), ArgumentTypeError, r"initializer: .*got None"
    ),
    Refusal(
        "a class", lambda: Builder().buffer((3,), Zeros), ArgumentTypeError, r"initializer: .*Zeros\(\), got <class"
    ),
    Refusal(
        "values of another shape",
        lambda: Builder().parameter((3,), lambda shape, rng, dtype: np.zeros(2, dtype)),
        ContractError,
        r"initializer .*: expected float32 of shape \(3,\), got float32 of shape \(2,\)",
    ),
    Refusal(
        "values of another dtype",
        lambda: Builder().parameter((3,), lambda shape, rng, dtype: np.zeros(3)),
        ContractError,
        r"initializer .*: expected float32 of shape \(3,\), got float64",
    ),
    Refusal(
        "no vector", lambda: Builder().parameter((3,), Orthogonal()), ShapeError, r"Orthogonal: .*\(3,\): use Zeros"
    ),
    Refusal("not a layer", lambda: Builder().build(anything, (3,)), ContractError, r"expected a layer, got None"),
    Refusal("input shape", lambda: Builder().build(Dense(4), "a"), ArgumentTypeError, r"input_shape: .*got 'a'"),
)
def test_builders(refusal: Refusal) -> None:
    refusal.check()


def test_an_unbuilt_layer_can_be_copied_and_printed() -> None:
    for made in (copy.deepcopy(Dense(4)), pickle.loads(pickle.dumps(Dense(4)))):
        assert repr(made) == "Dense(4)"
        with pytest.raises(NotBuiltError):
            made.forward(X)
        assert built(made, 3).forward(X)[0].shape == (5, 4)
    assert repr(Dense(4).weight) == "<not built yet>"
