"""Every layer in ONNX, in both dtypes and both runtimes, also far from zero; and the derivatives of JAX and PyTorch."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from every_builtin import BUILTIN_LAYERS, CATEGORY_LAYERS

from deepbp import Sequential
from deepbp.export.inference import sample_inputs
from deepbp.layers import EncoderDecoder, Layer, Masked
from deepbp.typing import Array, Shape

onnx = pytest.importorskip("onnx")
reference = pytest.importorskip("onnx.reference")
onnx_export = pytest.importorskip("deepbp.onnx.onnx_export")

PAIRS = deepcopy([*BUILTIN_LAYERS, *((layer, shape) for layer, shape, _ in CATEGORY_LAYERS)])  # which nobody has built
PAIRS = [pair for pair in PAIRS if not getattr(pair[0], "dtype", None)]
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
WRONG_IN_REFERENCE = ("LogSoftmax", "ConvTranspose2D(2, 2, stride=3", "MaxPool1D(stride=1, padding=(0, 1)")
"""ONNX's own evaluator takes the logarithm of a softmax that is 0, exchanges groups of dilated kernels, and forgets the
padding behind a sequence."""


IS_OLD = tuple(map(int, onnx.__version__.split(".")[:2])) < (1, 23)
"""Older evaluators have other loops, and wrong recurrences."""


def network_of(layer: Layer[Any], shape: Shape, dtype: str) -> Sequential:
    net = Sequential([deepcopy(layer)], input_shape=shape, rng=0, dtype=dtype)
    rng = np.random.default_rng(0)
    for parameter in net.parameters():
        parameter.value = rng.normal(size=parameter.value.shape)
    for buffer in net.named_buffers().values():
        buffer.value = rng.uniform(0.5, 2, size=buffer.value.shape)
    return net


def runs(model: Any) -> dict[str, Callable[[Array], Array]]:
    evaluator, installed = reference.ReferenceEvaluator(model), onnx_export.runner_of(model)
    return {"reference": lambda x: evaluator.run(None, {"x": x})[0], "installed": lambda x: installed(x)[0]}


def far(network: Sequential, x: Array, scale: float) -> Array:
    """The inputs times a number, except for padding and categories."""
    every = list(network.named_layers().values())
    if any(hasattr(layer, "categories") for layer in every):
        return x
    marks = [float(one.padding or 0) for one in every if isinstance(one, Masked | EncoderDecoder)]
    return np.where(np.isin(x, marks), x, x * x.dtype.type(scale))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_each_layer_gives_the_numbers_of_predict(pair: tuple[Layer[Any], Shape], dtype: str) -> None:
    net = network_of(*pair, dtype)
    model = onnx_export._model(net, 17, None)
    onnx.checker.check_model(model, full_check=True)
    for name, run in runs(model).items():
        if name == "reference" and (IS_OLD or str(pair[0]).startswith(WRONG_IN_REFERENCE)):
            continue
        for scale in (1.0, 1e2, 1e4):
            for x in sample_inputs(net, 2):
                given = far(net, x, scale)
                expected = net.predict(given)
                with np.errstate(all="ignore"):  # of ONNX's own evaluator, which overflows on its way
                    y = run(given)
                assert y.dtype == expected.dtype
                assert y.shape == expected.shape
                difference = np.abs(y - expected).max(initial=0)
                assert difference <= TOLERANCE[dtype] * (1 + np.abs(expected).max(initial=0)), (name, scale)


def test_newer_operators_give_the_same_numbers() -> None:
    newest = onnx.defs.onnx_opset_version()
    for layer, shape in PAIRS[::4]:
        net = network_of(layer, shape, "float32")
        for opset in (18, newest):
            model = onnx_export._model(net, opset, None)
            assert model.opset_import[0].version == opset
            (x, *_), run = sample_inputs(net), runs(model)["reference"]
            if not IS_OLD and not str(layer).startswith(WRONG_IN_REFERENCE):
                np.testing.assert_allclose(run(x), net.predict(x), rtol=1e-5, atol=1e-5)
