"""Layers as ONNX's own operators, where they are safer, faster or better known than the nodes of a formula."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from attrs import define

from deepbp import layers
from deepbp.export.inference import Inference, Operator, Signal
from deepbp.layers import Layer
from deepbp.layers.recurrent import Recurrent
from deepbp.onnx.onnx_graph import OnnxGraph
from deepbp.onnx.onnx_values import Value
from deepbp.parameters import Buffer, Parameter
from deepbp.typing import Array, Shape


def _dense(inference: "OnnxInference", layer: Any, x: Signal, shape: Shape) -> Value | None:
    if len(x.shape) != 1:
        return None
    tied = int(isinstance(layer, layers.TiedDense))
    inputs = [x.value, inference.held(layer.weight), *([] if layer.bias is None else [inference.held(layer.bias)])]
    return inference.library.op("Gemm", inputs, (x.value.sizes[0], *shape), transB=tied)


def _unary(kind: str, oldest: int = 0, **fields: Any) -> Operator:
    """An operator for float32, with attributes that are numbers, or the names of a layer's fields."""

    def write(inference: "OnnxInference", layer: Any, x: Signal, shape: Shape) -> Value | None:
        graph = inference.library
        if graph.dtype != np.float32 or graph.opset < oldest:
            return None  # runtimes have none for float64
        options = {n: float(getattr(layer, one) if isinstance(one, str) else one) for n, one in fields.items()}
        return graph.one(kind, x.value, **options)

    return write


def _softplus(inference: "OnnxInference", layer: layers.Softplus, x: Signal, shape: Shape) -> Value | None:
    return _unary("Softplus")(inference, layer, x, shape) if layer.beta == 1 else None


def _gelu(inference: "OnnxInference", layer: layers.GELU, x: Signal, shape: Shape) -> Value | None:
    graph = inference.library
    if graph.dtype != np.float32 or graph.opset < 20:
        return None
    return graph.one("Gelu", x.value, approximate=layer.approximate or "none")


def _prelu(inference: "OnnxInference", layer: layers.PReLU, x: Signal, shape: Shape) -> Value | None:
    graph = inference.library
    if graph.dtype != np.float32 or not x.shape:
        return None
    return graph.op("PRelu", [x.value, inference.held(layer.slope)], x.value.sizes)


def _layer_norm(inference: "OnnxInference", layer: layers.LayerNorm, x: Signal, shape: Shape) -> Value | None:
    graph = inference.library
    if graph.dtype != np.float32:  # the operator has its ε in float32
        return None
    inputs = [x.value, inference.held(layer.gain), inference.held(layer.shift)]
    return graph.op("LayerNormalization", inputs, x.value.sizes, axis=-1, epsilon=float(layer.epsilon))


def _batch_norm(inference: "OnnxInference", layer: layers.BatchNorm, x: Signal, shape: Shape) -> Value | None:
    graph = inference.library
    if graph.dtype != np.float32 or len(x.shape) not in (1, 3):
        return None
    held: list[Parameter | Buffer] = [layer.gain, layer.shift, layer.running_mean, layer.running_variance]
    value = x.value if len(x.shape) == 1 else graph.channels_first(x.value)
    inputs = [value, *map(inference.held, held)]
    y = graph.op("BatchNormalization", inputs, value.sizes, epsilon=float(layer.epsilon))
    return y if len(x.shape) == 1 else graph.channels_last(y)


def _convolution(inference: "OnnxInference", layer: Any, x: Signal, shape: Shape) -> Value | None:
    """A convolution, or a transposed one, on images whose channels come first."""
    graph, windows = inference.library, layer._windows()
    if graph.dtype != np.float32:
        return None
    axes, size, made = layer.axes, graph.size_of(x.value), ()
    transposed = isinstance(layer, layers.ConvTranspose1D | layers.ConvTranspose2D)
    options: dict[str, Any] = {}
    if transposed:
        made = windows.moved_shape(size)
        reach = [
            (n - 1) * s + (k - 1) * d + 1
            for n, k, s, d in zip(size, windows.size, windows.stride, windows.dilation, strict=True)
        ]
        befores = [before for before, _ in windows.pads(made)]
        behind = [r - n - before for r, n, before in zip(reach, made, befores, strict=True)]
        pads = [(before, max(end, 0)) for before, end in zip(befores, behind, strict=True)]
        options["output_padding"] = [max(-end, 0) for end in behind[-axes:]]
    else:
        made, pads = windows.places(size), windows.pads(size)
    weight = inference.converted(layer.weight, "first", _kernels_first)
    bias = [] if layer.bias is None else [inference.held(layer.bias)]
    y = graph.op(
        "ConvTranspose" if transposed else "Conv",
        [graph.channels_first(x.value), weight, *bias],
        (x.value.sizes[0], layer.filters, *graph.known_places(x.value, made)),
        **graph.windows_of(windows, x.value, pads, is_moved=transposed),
        dilations=list(windows.dilation[-axes:]),
        group=layer.groups,
        **options,
    )
    return graph.channels_last(y)  # type: ignore[no-any-return]


def _kernels_first(weight: Array) -> Array:
    """(KH, KW, C / groups, O) as (O, C / groups, KH, KW)."""
    return weight.transpose(-1, -2, *range(weight.ndim - 2))


RECURRENT: dict[type[Layer[Any]], tuple[str, tuple[int, ...], dict[str, int]]] = {
    # The operator, its gates by their places here, and its attributes.
    layers.SimpleRNN: ("RNN", (0,), {}),
    layers.LSTM: ("LSTM", (0, 3, 1, 2), {}),
    layers.GRU: ("GRU", (1, 0, 2), {"linear_before_reset": 1}),
}


def _recurrent(inference: "OnnxInference", layer: Recurrent, x: Signal, shape: Shape) -> Value | None:
    """A recurrent layer, of float32 and without a mask; the others are loops over their equations."""
    graph, (kind, gates, options) = inference.library, RECURRENT[type(layer)]
    if graph.dtype != np.float32 or x.mask is not None:
        return None

    def ordered(array: Array) -> Array:
        parts = np.split(array, len(gates), axis=-1)
        return np.concatenate([parts[gate] for gate in gates], axis=-1).T[None]

    hidden = np.zeros_like(layer.bias.value)
    if isinstance(layer, layers.GRU):
        hidden[2 * layer.units :] = layer.hidden_bias.value
    biases = np.concatenate([ordered(layer.bias.value), ordered(hidden)], axis=-1)
    weights = [inference.converted(one, kind, ordered) for one in (layer.weight, layer.recurrent_weight)]
    batch, steps, units = x.value.sizes[0], x.value.sizes[1], layer.units
    inputs: list[Any] = [
        graph.transposed(x.value, (1, 0, 2)),
        *weights,
        graph.stored(f"{inference.place}.biases", biases),
    ]
    if layer.initial is not None:
        held, samples = inference.held(layer.initial), graph.size(x.value, 0)
        firsts = [graph.sliced(held, 0, i, i + 1) for i in range(layer.states)]
        inputs += [None, *(graph.expanded(graph.reshape(one, (1, 1, units)), (1, samples, units)) for one in firsts)]
    sequences, last = (steps, 1, batch, units), (1, batch, units)
    direction = "reverse" if layer.reverse else "forward"
    every, end = graph.several(kind, inputs, [sequences, last], hidden_size=units, direction=direction, **options)
    samples = graph.size(x.value, 0)
    if not layer.return_sequences:
        return graph.reshape(end, (samples, units))  # type: ignore[no-any-return]
    whole = graph.reshape(every, (graph.size(x.value, 1), samples, units))
    return graph.transposed(whole, (1, 0, 2))  # type: ignore[no-any-return]


def _nothing(inference: "OnnxInference", layer: Any, x: Signal, shape: Shape) -> Value | None:
    return x.value  # type: ignore[no-any-return]


@define(eq=False)
class OnnxInference(Inference[OnnxGraph]):
    """The inference pass as an ONNX graph. A layer's own ``to_onnx(graph, x)`` comes before everything else."""

    why_not: ClassVar[str] = "use a FormulaLayer, state its formula, or write its to_onnx(graph, x)"
    operators: ClassVar[Mapping[type[Layer[Any]], Operator]] = {
        layers.BatchNorm: _batch_norm,
        layers.Conv1D: _convolution,
        layers.Conv2D: _convolution,
        layers.ConvTranspose1D: _convolution,
        layers.ConvTranspose2D: _convolution,
        layers.CELU: _unary("Celu", alpha="alpha"),
        layers.Dense: _dense,
        layers.DepthwiseConv2D: _convolution,
        layers.Dropout: _nothing,
        layers.ELU: _unary("Elu", alpha="alpha"),
        layers.GaussianNoise: _nothing,
        layers.GELU: _gelu,
        layers.GRU: _recurrent,
        layers.HardSigmoid: _unary("HardSigmoid", alpha=1 / 6, beta=0.5),
        layers.HardSwish: _unary("HardSwish"),
        layers.LayerNorm: _layer_norm,
        layers.LeakyReLU: _unary("LeakyRelu", alpha="slope"),
        layers.LSTM: _recurrent,
        layers.Mish: _unary("Mish", oldest=18),
        layers.PReLU: _prelu,
        layers.SELU: _unary("Selu"),
        layers.SimpleRNN: _recurrent,
        layers.Softplus: _softplus,
        layers.Softsign: _unary("Softsign"),
        layers.StopGradient: _nothing,
        layers.TiedDense: _dense,
    }

    def held(self, part: Parameter | Buffer) -> Value:
        return self.library.stored(self.names[id(part)], part.value)

    def converted(self, part: Parameter, layout: str, convert: Callable[[Array], Array]) -> Value:
        """A parameter in another layout, by a name that says so."""
        return self.library.stored(f"{self.names[id(part)]}.{layout}", convert(part.value))

    def _leaf(self, layer: Layer[Any], x: Signal, output_shape: Shape) -> Any:
        self.library.place = self.place
        own = getattr(layer, "to_onnx", None)
        return super()._leaf(layer, x, output_shape) if own is None else own(self.library, x.value)
