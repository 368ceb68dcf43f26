"""Export to PyTorch: the network as a module with the same parameters."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any, ClassVar

import numpy as np
from attrs import define

from deepbp.export.array_library import ArrayLibrary, Step
from deepbp.export.inference import Inference, Operator, Signal, built_of, check_export, optional_package, parts_of
from deepbp.formulas.language import Formula
from deepbp.layers import BatchNorm, Dropout, GaussianNoise, Layer
from deepbp.layers.windows import Windows
from deepbp.parameters import Buffer, Parameter
from deepbp.typing import Shape


class TorchLibrary(ArrayLibrary):
    """The operations of PyTorch, whose images have their channels first."""

    def __init__(self, dtype: "np.dtype[Any]", device: Any) -> None:
        self.dtype, self.device, self.torch = dtype, device, optional_package("torch", "PyTorch")
        self.of_images = self.torch.nn.functional

    def elementwise(self, name: str, e: Any) -> Any:
        if name == "softplus":  # PyTorch's own is the identity from 20 on
            return self.torch.logaddexp(e, self.torch.zeros_like(e))
        return getattr(self.torch, name)(e)

    def _tensors(self, *operands: Any) -> list[Any]:
        like = next(one for one in operands if isinstance(one, self.torch.Tensor))
        return [self.torch.as_tensor(one, dtype=like.dtype, device=like.device) for one in operands]

    def maximum(self, one: Any, other: Any) -> Any:
        return self.torch.maximum(*self._tensors(one, other))

    def minimum(self, one: Any, other: Any) -> Any:
        return self.torch.minimum(*self._tensors(one, other))

    def where(self, condition: Any, one: Any, other: Any) -> Any:
        if not isinstance(one, self.torch.Tensor):
            one = self.constant(np.asarray(one, self.dtype))
        return self.torch.where(condition, one, other)

    def reduced(self, kind: str, e: Any, axes: Sequence[int], keepdims: bool) -> Any:
        function = {"sum": self.torch.sum, "mean": self.torch.mean, "max": self.torch.amax}[kind]
        return function(e, dim=tuple(axes), keepdim=keepdims)

    def softmax(self, e: Any, log: bool = False) -> Any:
        return (self.torch.log_softmax if log else self.torch.softmax)(e, dim=-1)

    def sizes(self, e: Any) -> tuple[Any, ...]:
        return tuple(e.shape)

    def reshape(self, e: Any, sizes: Sequence[Any]) -> Any:
        return e.reshape(tuple(sizes))

    def expanded(self, e: Any, sizes: Sequence[Any]) -> Any:
        return e.expand(tuple(sizes))

    def transposed(self, e: Any, axes: Sequence[int]) -> Any:
        return e.permute(tuple(axes))

    def sliced(self, e: Any, axis: int, start: int, stop: int) -> Any:
        every = [slice(None)] * e.ndim
        every[axis] = slice(start, stop)
        return e[tuple(every)]

    def joined(self, parts: Sequence[Any], axis: int) -> Any:
        return self.torch.cat(tuple(parts), dim=axis)

    def take(self, table: Any, x: Any) -> Any:
        return table[x.long()]

    def constant(self, array: Any) -> Any:
        return self.torch.as_tensor(array, device=self.device)

    def correlate(self, images: Any, weight: Any, windows: Windows, groups: int) -> Any:
        x = self._first(images, windows.pads(images.shape[1:3]))
        kernels = weight.permute(3, 2, 0, 1)
        z = self.of_images.conv2d(x, kernels, None, windows.stride, 0, windows.dilation, groups)
        return z.permute(0, 2, 3, 1)

    def convolve(self, images: Any, weight: Any, shape: tuple[int, int], windows: Windows, groups: int) -> Any:
        """All of what the kernels reach, of which the padding is cut off."""
        kernels = weight.permute(3, 2, 0, 1)
        x = self._first(images, ((0, 0), (0, 0)))
        whole = self.of_images.conv_transpose2d(x, kernels, None, windows.stride, 0, 0, groups, windows.dilation)
        whole = whole.permute(0, 2, 3, 1)
        pads, reached = windows.pads(shape), whole.shape[1:3]
        cut = [(-before, n + before - r) for (before, _), n, r in zip(pads, shape, reached, strict=True)]
        return self.padded(whole, ((0, 0), *cut, (0, 0)))

    def _first(self, images: Any, pads: Any, value: float = 0.0) -> Any:
        """Images with a border, (B, C, H, W)."""
        x, (rows, columns) = images.permute(0, 3, 1, 2), pads
        return self.of_images.pad(x, (*columns, *rows), value=value) if any((*rows, *columns)) else x

    def largest_in_windows(self, images: Any, windows: Windows) -> Any:
        x = self._first(images, windows.pads(images.shape[1:3]), -np.inf)
        return self.of_images.max_pool2d(x, windows.size, windows.stride).permute(0, 2, 3, 1)

    def summed_windows(self, images: Any, windows: Windows) -> Any:
        x = self._first(images, windows.pads(images.shape[1:3]))
        return self.of_images.avg_pool2d(x, windows.size, windows.stride, divisor_override=1).permute(0, 2, 3, 1)

    def padded(self, e: Any, pads: Sequence[tuple[int, int]]) -> Any:
        return self.of_images.pad(e, [n for pair in reversed(pads) for n in pair])

    def scan(self, step: Step, states: list[Any], inputs: list[Any], reverse: bool) -> tuple[list[Any], list[Any]]:
        outputs: list[list[Any]] = []
        places = range(inputs[0].shape[1])
        for t in reversed(places) if reverse else places:
            states, made = step([one[:, t] for one in inputs], states)
            outputs.append(made)
        rows = [*zip(*(reversed(outputs) if reverse else outputs), strict=True)]
        return states, [self.torch.stack(one, dim=1) for one in rows]


def _dropout(inference: "TorchInference", layer: Dropout, x: Signal, shape: Shape) -> Any:
    return inference.library.of_images.dropout(x.value, layer.rate) if inference.training else None


def _noise(inference: "TorchInference", layer: GaussianNoise, x: Signal, shape: Shape) -> Any:
    noise = inference.library.torch.randn_like(x.value) if inference.training else None
    return None if noise is None else x.value + layer.std * noise


def _batch_norm(inference: "TorchInference", layer: BatchNorm, x: Signal, shape: Shape) -> Any:
    """In training, the statistics of the batch, which also move the running averages."""
    if not inference.training or layer.running_mean.frozen:
        return None
    held: list[Parameter | Buffer] = [layer.running_mean, layer.running_variance, layer.gain, layer.shift]
    rows, arrays = x.value.reshape(-1, x.value.shape[-1]), map(inference.held, held)
    momentum = 1 - float(layer.momentum)
    y = inference.library.of_images.batch_norm(rows, *arrays, True, momentum, float(layer.epsilon))
    return y.reshape(x.value.shape)


@define(eq=False)
class TorchInference(Inference[TorchLibrary]):
    """The inference pass in PyTorch, or with ``training`` that of training, with the parameters of a module."""

    values: Mapping[str, Any]
    training: bool = False
    operators: ClassVar[Mapping[type[Layer[Any]], Operator]] = {
        Dropout: _dropout,
        GaussianNoise: _noise,
        BatchNorm: _batch_norm,
    }

    def held(self, part: Parameter | Buffer) -> Any:
        return self.values[self.names[id(part)]]

    def _text(self, layer: Layer[Any], stated: Formula) -> str:
        return stated.forward if self.training and not stated.saved else super()._text(layer, stated)


@cache
def module_class() -> Any:
    """The class ``NetworkModule``, which exists where PyTorch does."""
    torch = optional_package("torch", "PyTorch")

    class NetworkModule(torch.nn.Module):  # type: ignore[misc, name-defined]
        """A network of deepbp as a module."""

        def __init__(self, network: Layer[Any]) -> None:
            super().__init__()
            self.dtype, self.network = built_of(network).dtype, deepcopy(network)
            for path, part in parts_of(network).items():
                *owners, name = path.split(".")
                module: Any = self
                for owner in owners:
                    if owner not in module._modules:
                        module.add_module(owner, torch.nn.Module())
                    module = module._modules[owner]
                tensor = torch.tensor(part.value)
                if isinstance(part, Buffer):
                    module.register_buffer(name, tensor)
                else:
                    module.register_parameter(name, torch.nn.Parameter(tensor, requires_grad=not part.frozen))

        def forward(self, x: Any) -> Any:
            values = {**dict(self.named_parameters()), **dict(self.named_buffers())}
            library = TorchLibrary(self.dtype, x.device)
            return TorchInference(library, values, self.training).run(self.network, x)

    NetworkModule.__module__, NetworkModule.__qualname__ = __name__, "NetworkModule"
    globals()["NetworkModule"] = NetworkModule  # where a pickle looks for it
    return NetworkModule


def torch_module(network: Layer[Any]) -> Any:
    """Export a network to PyTorch: an ``nn.Module`` in evaluation mode with the same parameters, to be trained on.

    The names in ``state_dict()`` are those of deepbp, so that ``net.load_weights(module.state_dict())`` brings the
    weights back; a shared parameter is there once, and a frozen one does not require gradients. After
    ``module.train()``, dropout drops, and a ``BatchNorm`` computes with the statistics of the batch. Penalties are left
    out. Images have their channels last, as in deepbp. The module is compared with ``predict`` on random inputs before
    it is returned.

    >>> from deepbp import Sequential
    >>> from deepbp.export import torch_module
    >>> from deepbp.layers import Dense, Tanh
    >>> net = Sequential([Dense(4), Tanh(), Dense(1)], input_shape=2, rng=0)
    >>> module = torch_module(net)  # doctest: +SKIP
    >>> module.to("cuda")(x)  # doctest: +SKIP

    Args:
        network: the built network.

    Raises:
        ConfigurationError: for a layer that states no formula, and where PyTorch is not installed.
        NotBuiltError: if the sizes are not known yet.
    """
    module = module_class()(network).eval()
    torch = optional_package("torch", "PyTorch")
    check_export(network, "PyTorch", lambda x: module(torch.tensor(x)).detach().numpy())
    return module
