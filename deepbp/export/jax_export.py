"""Export to JAX: the network as a function of its parameters and an input."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from attrs import define

from deepbp.errors import ConfigurationError
from deepbp.export.array_library import ArrayLibrary, Step
from deepbp.export.inference import Inference, built_of, check_export, optional_package, parts_of
from deepbp.layers import Layer
from deepbp.layers.windows import Windows
from deepbp.parameters import Buffer, Parameter
from deepbp.typing import Array


class JaxLibrary(ArrayLibrary):
    """The operations of ``jax.numpy``."""

    def __init__(self, dtype: "np.dtype[Any]") -> None:
        self.dtype, self.jax = dtype, optional_package("jax", "JAX")
        self.jnp, self.lax = self.jax.numpy, self.jax.lax

    def elementwise(self, name: str, e: Any) -> Any:
        if name in ("erf", "sigmoid", "softplus"):
            function: Any = {"erf": self.lax.erf, "sigmoid": self.jax.nn.sigmoid, "softplus": self.jax.nn.softplus}[
                name
            ]
            return function(e)
        return getattr(self.jnp, name)(e)

    def maximum(self, one: Any, other: Any) -> Any:
        return self.jnp.maximum(one, other)

    def minimum(self, one: Any, other: Any) -> Any:
        return self.jnp.minimum(one, other)

    def where(self, condition: Any, one: Any, other: Any) -> Any:
        return self.jnp.where(condition, one, other)

    def reduced(self, kind: str, e: Any, axes: Sequence[int], keepdims: bool) -> Any:
        return getattr(self.jnp, kind)(e, axis=tuple(axes), keepdims=keepdims)

    def softmax(self, e: Any, log: bool = False) -> Any:
        return (self.jax.nn.log_softmax if log else self.jax.nn.softmax)(e, axis=-1)

    def sizes(self, e: Any) -> tuple[Any, ...]:
        return tuple(e.shape)

    def reshape(self, e: Any, sizes: Sequence[Any]) -> Any:
        return self.jnp.reshape(e, tuple(sizes))

    def expanded(self, e: Any, sizes: Sequence[Any]) -> Any:
        return self.jnp.broadcast_to(e, tuple(sizes))

    def transposed(self, e: Any, axes: Sequence[int]) -> Any:
        return self.jnp.transpose(e, tuple(axes))

    def sliced(self, e: Any, axis: int, start: int, stop: int) -> Any:
        every = [slice(None)] * e.ndim
        every[axis] = slice(start, stop)
        return e[tuple(every)]

    def joined(self, parts: Sequence[Any], axis: int) -> Any:
        return self.jnp.concatenate(parts, axis=axis)

    def take(self, table: Any, x: Any) -> Any:
        return table[x.astype("int32")]

    def constant(self, array: Any) -> Any:
        return self.jnp.asarray(array)

    def correlate(self, images: Any, weight: Any, windows: Windows, groups: int) -> Any:
        return self._convolution(images, weight, windows.pads(images.shape[1:3]), (1, 1), windows, groups)

    def convolve(self, images: Any, weight: Any, shape: tuple[int, int], windows: Windows, groups: int) -> Any:
        """A correlation of the images with s − 1 zeros between their numbers, and kernels turned round."""
        height, width, outputs, inputs = weight.shape
        grouped = weight[::-1, ::-1].reshape(height, width, outputs, groups, inputs // groups)
        turned = grouped.transpose(0, 1, 4, 3, 2).reshape(height, width, inputs // groups, groups * outputs)
        pads = []
        along = zip(shape, images.shape[1:3], windows.size, windows.stride, windows.dilation, strict=True)
        for (size, places, kernel, stride, dilation), (before, _) in zip(along, windows.pads(shape), strict=True):
            first = (kernel - 1) * dilation - before
            pads.append((first, size - first - (places - 1) * stride - 1 + (kernel - 1) * dilation))
        once = Windows(windows.size, (1, 1), windows.dilation, windows.padding)
        return self._convolution(images, turned, pads, windows.stride, once, groups)

    def _convolution(self, images: Any, weight: Any, pads: Any, apart: Any, windows: Windows, groups: int) -> Any:
        return self.lax.conv_general_dilated(
            images,
            weight,
            windows.stride,
            pads,
            lhs_dilation=apart,
            rhs_dilation=windows.dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    def largest_in_windows(self, images: Any, windows: Windows) -> Any:
        return self._windows(images, windows, -np.inf, self.lax.max)

    def summed_windows(self, images: Any, windows: Windows) -> Any:
        return self._windows(images, windows, 0.0, self.lax.add)

    def _windows(self, images: Any, windows: Windows, start: float, by: Any) -> Any:
        pads = ((0, 0), *windows.pads(images.shape[1:3]), (0, 0))
        return self.lax.reduce_window(images, start, by, (1, *windows.size, 1), (1, *windows.stride, 1), pads)

    def padded(self, e: Any, pads: Sequence[tuple[int, int]]) -> Any:
        return self.jnp.pad(e, tuple(pads))

    def scan(self, step: Step, states: list[Any], inputs: list[Any], reverse: bool) -> tuple[list[Any], list[Any]]:
        steps = [self.jnp.moveaxis(one, 1, 0) for one in inputs]
        after, outputs = self.lax.scan(lambda s, one: step(one, s), states, steps, reverse=reverse)
        return after, [self.jnp.moveaxis(one, 0, 1) for one in outputs]


@define(eq=False)
class JaxInference(Inference[JaxLibrary]):
    """The inference pass in JAX, with the parameters of a dictionary."""

    values: Mapping[str, Any]

    def held(self, part: Parameter | Buffer) -> Any:
        return self.library.constant(self.values[self.names[id(part)]])


def jax_function(network: Layer[Any]) -> tuple[Callable[[Mapping[str, Any], Any], Any], dict[str, Array]]:
    """Export a network to JAX: the function f(parameters, x) of the inference pass, and the parameters.

    ``jax.jit``, ``jax.grad`` and ``jax.vmap`` apply to the function. The parameters are a dictionary of arrays by
    deepbp's names, with the buffers, such as running means; a shared parameter is there once. Both dtypes work;
    for float64, JAX needs ``jax.config.update("jax_enable_x64", True)``. The function is compared with ``predict`` on
    random inputs before it is returned.

    >>> from deepbp import Sequential
    >>> from deepbp.export import jax_function
    >>> from deepbp.layers import Dense, Tanh
    >>> net = Sequential([Dense(4), Tanh(), Dense(1)], input_shape=2, rng=0)
    >>> function, parameters = jax_function(net)  # doctest: +SKIP
    >>> jax.jit(function)(parameters, x)  # doctest: +SKIP

    Args:
        network: the built network.

    Raises:
        ConfigurationError: for a layer that states no formula; for float64 that is not enabled; where JAX is not
            installed.
        NotBuiltError: if the sizes are not known yet.
    """
    built, kept = built_of(network), deepcopy(network)
    if built.dtype == np.float64 and not optional_package("jax", "JAX").config.jax_enable_x64:
        raise ConfigurationError('for float64, JAX needs jax.config.update("jax_enable_x64", True) first')

    def function(parameters: Mapping[str, Any], x: Any) -> Any:
        library = JaxLibrary(built.dtype)
        return JaxInference(library, parameters).run(kept, library.constant(x))

    parameters = {name: part.value.copy() for name, part in parts_of(network).items()}
    check_export(network, "JAX", lambda x: np.asarray(function(parameters, x)))
    return function, parameters
