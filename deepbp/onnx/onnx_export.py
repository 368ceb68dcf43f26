"""Export of networks to files of ONNX, which are compared with ``predict`` before they are written."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, overload

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from deepbp._version import __version__
from deepbp.errors import ArgumentTypeError, ConfigurationError, shown
from deepbp.export.inference import built_of, check_export, sample_inputs
from deepbp.formulas.language import FUNCTIONS
from deepbp.layers import Layer
from deepbp.layers.chain import column_names_of
from deepbp.losses import Loss
from deepbp.onnx.onnx_graph import OnnxGraph
from deepbp.onnx.onnx_operators import OnnxInference
from deepbp.onnx.onnx_values import Value
from deepbp.storage.atomic import whole_file
from deepbp.typing import AnySize, Array

OLDEST_OPSET = 17
LARGEST = 2**31 - 2**20
"""What a file of ONNX can hold, in bytes, with some room for its nodes."""


@overload
def export(
    network: Layer[Any], path: None = None, *, opset: int = OLDEST_OPSET, loss: Loss[Any] | None = None
) -> onnx.ModelProto: ...


@overload
def export(
    network: Layer[Any], path: str | os.PathLike[str], *, opset: int = OLDEST_OPSET, loss: Loss[Any] | None = None
) -> Path: ...


def export(
    network: Layer[Any],
    path: str | os.PathLike[str] | None = None,
    *,
    opset: int = OLDEST_OPSET,
    loss: Loss[Any] | None = None,
) -> Path | onnx.ModelProto:
    """Export a network to ONNX: the inference pass, from input ``x`` (batch, …) to output ``y``, for any batch size.

    Each layer becomes the operator of ONNX that it is, or the nodes of its formula; a layer of your own needs no more
    than the formula. Parameters keep their names, and a shared one is stored once. The model is checked, and compared
    with ``predict`` on random inputs, by onnxruntime where it is installed, or else by ONNX's own evaluator; only then
    is the file written, atomically. The same network gives the same bytes. The names of columns and classes are in the
    model's metadata, ``deepbp.columns`` and ``deepbp.classes``, a line for each.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, Tanh
    >>> from deepbp.onnx import export
    >>> net = Sequential([Dense(4), Tanh(), Dense(1)], input_shape=2, rng=0)
    >>> [node.op_type for node in export(net).graph.node]
    ['Gemm', 'Tanh', 'Gemm']
    >>> export(net, "net.onnx").name
    'net.onnx'

    Args:
        network: the built network.
        path: of the file; None returns the model.
        opset: the version of ONNX's operators. Runtimes from 2023 on know 17.
        loss: gives the model a second output, ``probabilities``: what the loss makes of ``y``.

    Raises:
        ConfigurationError: for a layer that states no formula, which the message names; for a loss without
            probabilities; where numbers differ from ``predict``.
        NotBuiltError: if the sizes are not known yet.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    if isinstance(opset, bool) or not isinstance(opset, int):
        raise ArgumentTypeError(f"opset: expected a whole number, got {shown(opset)}")
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise ConfigurationError(
            f"opset: expected {OLDEST_OPSET} to {newest}, which the installed onnx knows, got {opset}"
        )
    model = _checked(network, _model(network, opset, loss), loss)
    if path is None:
        return model
    with whole_file(path, binary=True) as file:
        file.write(model.SerializeToString(deterministic=True))
    return Path(path)


def _model(network: Layer[Any], opset: int, loss: Loss[Any] | None) -> onnx.ModelProto:
    built = built_of(network)
    size = sum(part.value.nbytes for part in network.parameters())
    if size > LARGEST:
        raise ConfigurationError(f"a file of ONNX holds at most 2 GiB, got parameters of {size:,} bytes: use save")
    graph = OnnxGraph(dtype=built.dtype, opset=opset)
    known = tuple(None if type(n) is AnySize else n for n in built.input_shape)
    x = graph.input("x", (None, *known), built.dtype)
    outputs = {"y": OnnxInference(graph).run(network, x)}
    if loss is not None:
        outputs["probabilities"] = probabilities_of(graph, loss, outputs["y"])
    graph.place = ""
    outputs = {name: graph.output(value, name) for name, value in outputs.items()}
    x.sizes = ("batch", *(f"size_{i}" if n is None else n for i, n in enumerate(known, 1)))
    moved = _moved_axes(network)
    for value in outputs.values():
        rest = enumerate(value.sizes[1:], 1)
        names = (f"{'output' if i in moved else 'size'}_{i}" if n is None else n for i, n in rest)
        value.sizes = ("batch", *names)
    made = graph.graph_of("deepbp", [x], list(outputs.values()))
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        made,
        opset_imports=opsets,
        producer_name="deepbp",
        producer_version=__version__,
        ir_version=helper.find_min_ir_version_for(opsets),
    )
    described = {name: "\n".join(names) for name, names in column_names_of(network).items()}
    described["architecture"] = repr(network)
    helper.set_model_props(model, {f"deepbp.{name}": text for name, text in sorted(described.items())})
    return model


def _moved_axes(network: Layer[Any]) -> set[int]:
    """The axes of the output whose sizes are not those of the input's same axes."""
    pairs = [(network.predict(x).shape, x.shape) for x in sample_inputs(network)]
    return {i for y, x in pairs for i, n in enumerate(y) if x[i : i + 1] != (n,)}


def probabilities_of(graph: OnnxGraph, loss: Loss[Any], y: Value) -> Value:
    """The nodes for what a loss makes of predictions: the function that gives the same numbers.

    Raises ConfigurationError for a loss that has no probabilities, or another function.
    """
    functions: dict[str, Callable[[Array], Any]] = {
        "": np.asarray,
        **{n: FUNCTIONS[n] for n in ("softmax", "sigmoid", "exp")},
    }
    drawn = np.random.default_rng(0).normal(size=(3, *(n or 2 for n in y.sizes[1:])))
    expected = loss.probabilities(drawn)
    if expected is None:
        raise ConfigurationError(f"loss: {loss} has no probabilities: export without it")
    for name, function in functions.items():
        if np.allclose(function(drawn), expected, rtol=1e-9, atol=0):
            return graph.functions[name](y) if name else graph.one("Identity", y)
    raise ConfigurationError(f"loss: what {loss} makes of predictions has no ONNX operator: export without it")


def _checked(network: Layer[Any], model: onnx.ModelProto, loss: Loss[Any] | None) -> onnx.ModelProto:
    """The model, which is valid and gives the numbers of ``predict``."""
    try:
        onnx.checker.check_model(model, full_check=True)
        run = runner_of(model)
    except Exception as error:
        raise ConfigurationError(f"the exported model cannot be run: {error}") from error
    check_export(network, "ONNX", lambda x: run(x)[0])
    if loss is not None:
        for x in sample_inputs(network):
            expected = loss.probabilities(network.predict(x))
            if expected is None or not np.allclose(run(x)[1], expected, rtol=1e-4, atol=1e-6):
                raise ConfigurationError(f"loss: the export gives other probabilities than {loss}")
    return model


def runner_of(model: onnx.ModelProto, name: str = "x") -> Callable[[Array], list[Array]]:
    """A function that runs the model: by onnxruntime where it is installed, or else by ONNX's own evaluator."""
    if find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return lambda x: [np.asarray(one) for one in session.run(None, {name: x})]
    evaluator: Any = ReferenceEvaluator(model)

    def run(x: Array) -> list[Array]:
        with np.errstate(all="ignore"):  # it overflows where a result is right
            return list(evaluator.run(None, {name: x}))

    return run
