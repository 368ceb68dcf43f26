"""One boundary around every layer: the arrays it takes, the errors it raises, whatever kernels serve."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attrs import frozen

from deepbp import Sequential, layers
from deepbp.errors import ArgumentTypeError, DataTypeError, DeepBPError, ShapeError
from deepbp.layers import Builder, Dense, Layer, ReLU, Tanh
from deepbp.typing import Array, Shape


def tied() -> Layer[Any]:
    return layers.Chain([dense := Dense(3), layers.TiedDense(dense)])


MAKE: dict[str, Callable[[], Layer[Any]]] = {
    **{
        name: getattr(layers, name)
        for name in (
            *("CELU", "ELU", "GELU", "Gaussian", "HardSigmoid", "HardSwish", "LeakyReLU", "LogSigmoid", "LogSoftmax"),
            *("Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Sine", "Softmax", "Softplus", "Softsign"),
            *("Tanh", "BatchNorm", "LayerNorm", "RMSNorm", "Scale", "Shift", "Standardize", "Dropout"),
            *("StopGradient", "Flatten"),
        )
    },
    "Activation": lambda: layers.Activation(np.sin, np.cos),
    "GroupNorm": lambda: layers.GroupNorm(2),
    "GaussianNoise": lambda: layers.GaussianNoise(0.1),
    "Reshape": lambda: layers.Reshape((2, -1)),
    "GELU by tanh": lambda: layers.GELU("tanh"),
    "shared PReLU": lambda: layers.PReLU(shared=True),
    "Dense": lambda: Dense(3),
    "Dense without bias": lambda: Dense(3, use_bias=False),
    "TiedDense": tied,
    "Bilinear": lambda: layers.Bilinear(2),
    "Maxout": lambda: layers.Maxout(3),
    "Embedding": lambda: layers.Embedding(5, 2),
    "Chain": lambda: layers.Chain([Dense(3), Tanh()]),
    "Sequential": lambda: Sequential([Dense(3), ReLU()]),
    "Residual": lambda: layers.Residual([Dense(4), Tanh()]),
    "Parallel": lambda: layers.Parallel([Dense(2), None]),
    "Split": lambda: layers.Split([Dense(3), Tanh()]),
    "Repeat": lambda: layers.Repeat(Dense(2), 2),
    "Penalized": lambda: layers.Penalized(Dense(3), weights=layers.L2(0.1)),
    "FormulaLayer": lambda: layers.FormulaLayer("x * sigmoid(slope * x)", slope=1.0),
    "Conv2D": lambda: layers.Conv2D(3, 2),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(2),
    "ConvTranspose2D": lambda: layers.ConvTranspose2D(2, 2),
    "MaxPool2D": layers.MaxPool2D,
    "AveragePool2D": layers.AveragePool2D,
    "ZeroPad2D": layers.ZeroPad2D,
    "UpSample2D": layers.UpSample2D,
    "GlobalAveragePool": layers.GlobalAveragePool,
    "GlobalMaxPool": layers.GlobalMaxPool,
    "Conv1D": lambda: layers.Conv1D(3, 2),
    "ConvTranspose1D": lambda: layers.ConvTranspose1D(2, 2),
    "MaxPool1D": layers.MaxPool1D,
    "AveragePool1D": layers.AveragePool1D,
    "SimpleRNN": lambda: layers.SimpleRNN(2),
    "GRU": lambda: layers.GRU(2),
    "LSTM": lambda: layers.LSTM(2),
    "Bidirectional": lambda: layers.Bidirectional(layers.GRU(2, return_sequences=True)),
    "SelfAttention": lambda: layers.SelfAttention(1),
    "EncoderDecoder": lambda: layers.EncoderDecoder(Dense(2), layers.CrossAttention(1), source_steps=2),
    "Positions": layers.Positions,
    "PerStep": lambda: layers.PerStep(Dense(3)),
    "Masked": lambda: layers.Masked(layers.GRU(2)),
}
IMAGE, SEQUENCE = (4, 4, 2), (4, 2)
SHAPES: dict[str, Shape] = {
    **dict.fromkeys([name for name in MAKE if "2D" in name] + ["GlobalAveragePool", "GlobalMaxPool"], IMAGE),
    **dict.fromkeys([name for name in MAKE if "1D" in name], SEQUENCE),
    **dict.fromkeys(["SimpleRNN", "GRU", "LSTM", "Bidirectional", "SelfAttention", "EncoderDecoder"], SEQUENCE),
    **dict.fromkeys(["Positions", "PerStep", "Masked"], SEQUENCE),
}


def built(name: str, dtype: str = "float32") -> Layer[Any]:
    layer = MAKE[name]()
    Builder(0, dtype).build(layer, SHAPES.get(name, (4,)))
    return layer


def inputs(name: str, dtype: str = "float32") -> Array:
    """Whole numbers from 0 to 4, which every layer takes, categories included."""
    shape = (5, *SHAPES.get(name, (4,)))
    return (np.arange(np.prod(shape)).reshape(shape) % 5).astype(dtype)


def predict(layer: Layer[Any], x: Any) -> Any:
    """The inference pass; that of a Sequential also converts data."""
    return layers.Chain.predict(layer, x) if isinstance(layer, Sequential) else layer.predict(x)


def swapped(array: Array, kind: str) -> Array:
    return array.astype(np.dtype(kind).newbyteorder())


def as_matrix(array: Array) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(array)


@frozen
class Rule:
    """A change of a right array that no layer takes; the error, and the message after the names of layer and array."""

    change: Callable[[Array], Any]
    error: type[DeepBPError]
    message: str
    categories: bool = False
    """Whether a layer that takes categories takes it."""


FLOATS, PLAIN = "expected an array of float32 or float64, got", "expected an array with samples along axis 0, got"
RULES = {
    "int64": Rule(lambda a: a.astype("i8"), DataTypeError, f"{FLOATS} whole numbers: use .astype('float32')", True),
    "uint8": Rule(lambda a: a.astype("u1"), DataTypeError, f"{FLOATS} whole numbers: use .astype('float32')", True),
    "bool": Rule(lambda a: a > 0, DataTypeError, f"{FLOATS} bool: use .astype('float32')", True),
    "float16": Rule(lambda a: a.astype("f2"), DataTypeError, f"{FLOATS} float16: use .astype('float32')", True),
    "longdouble": Rule(
        lambda a: a.astype("g"), DataTypeError, f"{FLOATS} {np.dtype('g')}: use .astype('float64')", True
    ),
    "swapped float32": Rule(
        lambda a: swapped(a, "f4"), DataTypeError, f"{FLOATS} {np.dtype('f4').newbyteorder()}", True
    ),
    "swapped float64": Rule(
        lambda a: swapped(a, "f8"), DataTypeError, f"{FLOATS} {np.dtype('f8').newbyteorder()}", True
    ),
    "complex": Rule(lambda a: a.astype(complex), DataTypeError, f"{FLOATS} complex128: use .real, or .real and .imag"),
    "object": Rule(lambda a: a.astype(object), DataTypeError, f"{FLOATS} object: convert it to numbers"),
    "text": Rule(lambda a: a.astype(str), DataTypeError, f"{FLOATS} <U32: convert it to numbers"),
    "list": Rule(lambda a: a.tolist(), ArgumentTypeError, f"{PLAIN} [["),
    "None": Rule(lambda a: None, ArgumentTypeError, f"{PLAIN} None: use numpy.asarray("),
    "number": Rule(lambda a: a.ravel()[0], ArgumentTypeError, PLAIN),
    "0-d": Rule(lambda a: np.array(1.0), ArgumentTypeError, f"{PLAIN} array(1.): use numpy.asarray("),
    "masked": Rule(
        np.ma.masked_array, ArgumentTypeError, "expected a plain array, got a MaskedArray: use numpy.asarray("
    ),
    "matrix": Rule(as_matrix, ArgumentTypeError, "expected a plain array, got a matrix: use numpy.asarray("),
}
every_layer = pytest.mark.parametrize("name", MAKE)


def test_the_table_holds_every_layer() -> None:
    classes = {value for name in layers.__all__ if isinstance(value := getattr(layers, name), type)}
    kinds = {cls for cls in classes if issubclass(cls, Layer)} - {Layer}
    made = [make() for make in MAKE.values()]
    assert kinds <= {type(layer) for one in made for layer in (one, *one.named_layers().values())}


def refusal(call: Callable[..., Any], *arguments: Any) -> tuple[type, str]:
    """The error that a call raises; nothing of the kind, if it returns."""
    try:
        return type(None), str(call(*arguments))
    except DeepBPError as error:
        return type(error), str(error)


@every_layer
def test_inputs_that_no_layer_takes(name: str, kernel_form: str) -> None:
    layer, x = built(name), inputs(name)
    for title, rule in RULES.items():
        bad = rule.change(x.reshape(len(x), -1) if rule.change is as_matrix else x)
        for call in (layer.forward, lambda x: predict(layer, x)):
            if rule.categories and layer.takes_categories:
                call(bad)
                continue
            kind, message = refusal(call, bad)
            assert kind is rule.error, (title, message)
            assert re.match(rf".+\(.*\): [xz]: {re.escape(rule.message)}", message), (title, message)


@every_layer
def test_error_signals_that_no_layer_takes(name: str, kernel_form: str) -> None:
    layer = built(name)
    y, saved = layer.forward(inputs(name))
    for title, rule in RULES.items():
        bad = rule.change(y.reshape(len(y), -1) if rule.change is as_matrix else y)
        for method in ("backward", "backward_parameters"):
            kind, message = refusal(getattr(layer, method), saved, bad)
            assert kind is rule.error, (title, message)
            assert re.match(rf".+\(.*\): (backward: )?delta: {re.escape(rule.message)}", message), (title, message)


@every_layer
def test_arrays_of_another_shape(name: str, kernel_form: str) -> None:
    """Of samples, where the layer holds anything; of the error signal, in each layer. Nothing is repeated."""
    layer, x = built(name), inputs(name)
    y, saved = layer.forward(x)
    if layer.parameters():
        for call in (layer.forward, lambda x: predict(layer, x)):
            for bad in (x[:, :3], x[:, :2], x[:, :1], x[..., None], x[0], np.ones((5, 2, 4), x.dtype)):
                with pytest.raises(
                    ShapeError, match=rf"\): [xz]: expected samples of shape .*{re.escape(str(bad.shape))}"
                ):
                    call(bad)
    deltas = [y[:, :1], y[0]] + [y[..., None]] * (name not in ("Flatten", "Reshape"))
    if name != "Positions":  # which needs nothing of the batch, and takes any other
        deltas += [y[:1], y[:4]]
    for delta in deltas:
        for method in ("backward", "backward_parameters"):
            with pytest.raises(
                DeepBPError, match=rf"{re.escape(str(delta.shape))}|\({len(delta)}, 4, 2\)|does not exist"
            ):
                getattr(layer, method)(saved, np.ones(delta.shape, delta.dtype))


def layouts(array: Array) -> dict[str, Array]:
    """The same numbers, elsewhere in memory."""
    strided = np.repeat(array, 2, axis=-1)[..., ::2]
    unaligned = np.frombuffer(b"-" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)
    read_only = array.copy()
    read_only.flags.writeable = False
    assert not strided.flags.c_contiguous
    assert not unaligned.flags.aligned
    return {"strided": strided, "Fortran": np.asfortranarray(array), "unaligned": unaligned, "read-only": read_only}


@every_layer
def test_any_layout_in_memory_gives_the_same_numbers(name: str, kernel_form: str) -> None:
    def passes(x: Array, delta: Array | None = None) -> list[Array]:
        layer = built(name)
        y, saved = layer.forward(x)
        delta = np.linspace(-1, 1, y.size, dtype=y.dtype).reshape(y.shape) if delta is None else delta
        return [y, layer.backward(saved, delta), predict(layer, x), *(p.grad for p in layer.parameters()), delta]

    expected = passes(inputs(name))
    deltas = layouts(expected[-1])
    for layout, x in layouts(inputs(name)).items():
        if (layout, kernel_form) == ("Fortran", "numba"):  # compiled anew, as strided ones are
            continue
        for got, one in zip(passes(x, deltas[layout]), expected, strict=True):
            np.testing.assert_allclose(got, one, rtol=1e-5, atol=1e-6, err_msg=layout)


@every_layer
@pytest.mark.parametrize(("array", "dtype"), [("float32", "float64"), ("float64", "float32")])
def test_either_float_goes_into_either_layer(name: str, array: str, dtype: str, kernel_form: str) -> None:
    layer, x = built(name, dtype), inputs(name, array)
    y, saved = layer.forward(x)
    expected = built(name, dtype).forward(x.astype(dtype))[0]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert layer.backward(saved, y).shape == x.shape
