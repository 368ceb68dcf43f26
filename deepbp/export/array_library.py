"""The formula language for the arrays of another library, made of the few operations that each library has."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from deepbp.errors import ConfigurationError
from deepbp.formulas.language import FUNCTIONS
from deepbp.formulas.values import STABLE
from deepbp.layers.pooling import window_counts
from deepbp.layers.windows import Windows
from deepbp.typing import Array

Step: TypeAlias = Callable[[Any, list[Any]], tuple[list[Any], list[Any]]]
"""From the inputs of one step and the states before it to the states after it and the outputs."""

BEHIND = 2**62
"""A place behind every axis, as the end of a slice."""

ELEMENTWISE = (
    *("abs", "cos", "cosh", "erf", "exp", "expm1", "log", "log1p"),
    *("sigmoid", "sign", "sin", "sinh", "softplus", "sqrt", "tanh"),
)
GRADIENTS_ONLY = frozenset(
    (
        *("after", "at_first", "at_last", "block_sum", "correlate_samples", "crop", "from_pairs", "into_columns"),
        *("over_places", "rotate_back", "stack", "step_products", "sum_like", "sum_rows", "to_largest", "to_windows"),
        *("to_winner", "to_winners", "up_to_now"),
    )
)
"""Functions of the language that only gradients use, which the other library derives itself."""

_OWN_NAMES = {"reshape": "shaped", "correlate": "correlated", "convolve": "convolved"}


class ArrayLibrary(ABC):
    """What a library of arrays has to offer so that formulas can run in it.

    Its arrays have Python's operators, ``@``, ``.T`` and comparisons. ``functions`` has the formula language, with the
    functions that are stable where a spelled-out expression overflows. Sizes are whole numbers, or arrays of the
    library where a size is not known before the network runs.
    """

    dtype: np.dtype[Any]

    @abstractmethod
    def elementwise(self, name: str, e: Any) -> Any:
        """One of the functions in ``ELEMENTWISE``."""

    @abstractmethod
    def maximum(self, one: Any, other: Any) -> Any: ...

    @abstractmethod
    def minimum(self, one: Any, other: Any) -> Any: ...

    @abstractmethod
    def where(self, condition: Any, one: Any, other: Any) -> Any: ...

    @abstractmethod
    def reduced(self, kind: str, e: Any, axes: Sequence[int], keepdims: bool) -> Any:
        """The ``"sum"``, ``"mean"`` or ``"max"`` over these axes."""

    @abstractmethod
    def softmax(self, e: Any, log: bool = False) -> Any:
        """Along the last axis."""

    @abstractmethod
    def sizes(self, e: Any) -> tuple[Any, ...]:
        """The shape."""

    @abstractmethod
    def reshape(self, e: Any, sizes: Sequence[Any]) -> Any: ...

    @abstractmethod
    def expanded(self, e: Any, sizes: Sequence[Any]) -> Any:
        """Repeated to this shape, as by ``numpy.broadcast_to``."""

    @abstractmethod
    def transposed(self, e: Any, axes: Sequence[int]) -> Any: ...

    @abstractmethod
    def sliced(self, e: Any, axis: int, start: int, stop: int) -> Any: ...

    @abstractmethod
    def joined(self, parts: Sequence[Any], axis: int) -> Any: ...

    @abstractmethod
    def take(self, table: Any, x: Any) -> Any:
        """The rows of a table whose numbers x holds."""

    @abstractmethod
    def constant(self, array: Any) -> Any:
        """An array of NumPy's as one of the library."""

    @abstractmethod
    def correlate(self, images: Any, weight: Any, windows: Windows, groups: int) -> Any:
        """x ⋆ W for images (B, H, W, C) and kernels (KH, KW, C / groups, O)."""

    @abstractmethod
    def convolve(self, images: Any, weight: Any, shape: tuple[int, int], windows: Windows, groups: int) -> Any:
        """x ∗ W, of this height and width, for kernels (KH, KW, O / groups, C)."""

    @abstractmethod
    def largest_in_windows(self, images: Any, windows: Windows) -> Any: ...

    @abstractmethod
    def summed_windows(self, images: Any, windows: Windows) -> Any: ...

    @abstractmethod
    def padded(self, e: Any, pads: Sequence[tuple[int, int]]) -> Any:
        """With so many zeros before and behind along each axis."""

    @abstractmethod
    def scan(self, step: Step, states: list[Any], inputs: list[Any], reverse: bool) -> tuple[list[Any], list[Any]]:
        """Run ``step`` along axis 1 of the inputs (B, T, …): the last states, and the outputs (B, T, …)."""

    def table_of(self, function: str, frequencies: Array, steps: Any) -> Any:
        """``"cos"``, ``"sin"`` or ``"abs"`` of positions 0, 1, … times frequencies, (T, …), in float64."""
        angles = np.arange(steps, dtype=np.float64)[:, None] * frequencies
        return self.constant(FUNCTIONS[function](angles).astype(self.dtype))

    # The formula language, in terms of the above.

    @cached_property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """The functions of the language by their names."""
        made: dict[str, Callable[..., Any]] = {name: self._one(name) for name in ELEMENTWISE}
        for name in (*FUNCTIONS, *STABLE):
            own = getattr(self, _OWN_NAMES.get(name, name), None)
            if name not in made and own is not None:
                made[name] = own
        return made

    def _one(self, name: str) -> Callable[[Any], Any]:
        own = STABLE.get(name) or FUNCTIONS[name]
        return lambda e: float(own(e)) if isinstance(e, int | float) else self.elementwise(name, e)

    def applied(self, f: Callable[..., Any], e: Any) -> Any:
        """A function of an ``Activation``: one of NumPy's that the language has, or one made of operators alone."""
        name = getattr(f, "__name__", repr(f))
        own = self.functions.get({"absolute": "abs"}.get(name, name)) if isinstance(f, np.ufunc) else f
        try:
            if own is None:
                raise TypeError(f"the language of formulas has no {name}")
            return own(e)
        except Exception as error:
            raise ConfigurationError(
                f"its function {name} is not for arrays of other libraries: use a FormulaLayer"
            ) from error

    def size(self, e: Any, axis: int) -> Any:
        return self.sizes(e)[axis]

    def axes(self, e: Any) -> int:
        return len(self.sizes(e))

    def row_sum(self, e: Any) -> Any:
        return self.reduced("sum", e, (-1,), True)

    def row_mean(self, e: Any) -> Any:
        return self.reduced("mean", e, (-1,), True)

    def row_max(self, e: Any) -> Any:
        return self.reduced("max", e, (-1,), True)

    def row_size(self, e: Any) -> Any:
        return self.size(e, -1)

    def row_variance(self, e: Any) -> Any:
        centred = e - self.row_mean(e)
        return self.row_mean(centred * centred)

    def rows(self, e: Any) -> Any:
        return self.reshape(e, (-1, self.size(e, -1)))

    def log_softmax(self, e: Any) -> Any:
        return self.softmax(e, log=True)

    def log_row_sum_exp(self, e: Any) -> Any:
        top = self.row_max(e)
        return top + self.elementwise("log", self.row_sum(self.elementwise("exp", e - top)))

    def log_cosh(self, e: Any) -> Any:
        size = self.elementwise("abs", e)
        return size + self.elementwise("log1p", self.elementwise("expm1", -2 * size) / 2)

    def _features(self, kind: str, e: Any) -> Any:
        return self.reduced(kind, e, tuple(range(self.axes(e) - 1)), False)

    def feature_sum(self, e: Any) -> Any:
        return self._features("sum", e)

    def feature_mean(self, e: Any) -> Any:
        return self._features("mean", e)

    def feature_variance(self, e: Any) -> Any:
        centred = e - self.feature_mean(e)
        return self.feature_mean(centred * centred)

    def feature_size(self, e: Any) -> Any:
        return math.prod(self.sizes(e)[:-1])

    def batch_sum(self, e: Any) -> Any:
        return self.reduced("sum", e, (0,), False)

    def batch_mean(self, e: Any) -> Any:
        return self.reduced("mean", e, (0,), False)

    def batch_size(self, e: Any) -> Any:
        return self.size(e, 0)

    def total(self, e: Any) -> Any:
        return self.reduced("sum", e, tuple(range(self.axes(e))), False)

    def place_max(self, e: Any) -> Any:
        return self.reduced("max", e, tuple(range(1, self.axes(e) - 1)), False)

    def place_mean(self, e: Any) -> Any:
        return self.reduced("mean", e, tuple(range(1, self.axes(e) - 1)), False)

    def shaped(self, e: Any, sizes: Sequence[Any]) -> Any:
        return self.reshape(e, sizes if isinstance(sizes, Sequence) else (sizes,))

    def shaped_like(self, e: Any, x: Any) -> Any:
        return self.reshape(e, self.sizes(x))

    def spread(self, e: Any, x: Any) -> Any:
        return self.expanded(e, self.sizes(x))

    def turned(self, e: Any) -> Any:
        axes = [*range(self.axes(e))]
        return self.transposed(e, [*axes[:-2], axes[-1], axes[-2]])

    def part(self, e: Any, k: int, count: int) -> Any:
        width = self.size(e, -1) // count
        return self.sliced(e, -1, k * width, (k + 1) * width)

    def columns(self, e: Any, start: int, stop: int) -> Any:
        return self.sliced(e, -1, start, stop)

    def indicators(self, column: Any, classes: int) -> Any:
        return self.where(column == self.constant(np.arange(classes, dtype=self.dtype)), 1.0, 0.0)

    def at_step(self, e: Any, step: int) -> Any:
        """One step of a sequence, the first or the last."""
        every = self.sizes(e)
        return self.reshape(self.sliced(e, 1, step, step + 1 if step >= 0 else BEHIND), (every[0], *every[2:]))

    def first(self, e: Any) -> Any:
        return self.at_step(e, 0)

    def last(self, e: Any) -> Any:
        return self.at_step(e, -1)

    def beside(self, *parts: Any) -> Any:
        longest = max(parts, key=self.axes)
        around = self.sizes(longest)[:-1]
        every = [p if self.axes(p) == len(around) + 1 else self.expanded(p, (*around, self.size(p, -1))) for p in parts]
        return self.joined(every, -1)

    concat = beside

    def split_heads(self, e: Any, heads: int) -> Any:
        batch, steps, width = self.sizes(e)
        return self.transposed(self.reshape(e, (batch, steps, heads, width // heads)), (0, 2, 1, 3))

    def join_heads(self, e: Any) -> Any:
        batch, heads, steps, width = self.sizes(e)
        return self.reshape(self.transposed(e, (0, 2, 1, 3)), (batch, steps, heads * width))

    def not_later(self, s: Any) -> Any:
        rows, columns = (self.table_of("abs", np.ones(1), self.size(s, axis)) for axis in (-2, -1))
        return self.where(rows >= columns.T, s, -math.inf)

    def sinusoids(self, x: Any) -> Any:
        features = self.size(x, -1)
        place = np.arange(features)
        frequency = 1 / 10000.0 ** (2 * (place // 2) / features)
        cosines, sines = (self.table_of(function, frequency, self.size(x, 1)) for function in ("cos", "sin"))
        return self.where(self.constant(place % 2 == 1), cosines, sines)

    def group_mean(self, e: Any, groups: int) -> Any:
        every = self.sizes(e)
        cut = self.reshape(e, (every[0], math.prod(every[1:-1]), groups, every[-1] // groups))
        return self.reshape(self.expanded(self.reduced("mean", cut, (1, 3), True), self.sizes(cut)), every)

    def pairs(self, x: Any, weight: Any) -> Any:
        (left, right, *_), batch = self.sizes(weight), self.size(x, 0)
        u, v = self.sliced(x, -1, 0, left), self.sliced(x, -1, left, left + right)
        products = self.reshape(u, (batch, left, 1)) * self.reshape(v, (batch, 1, right))
        return self.reshape(products, (batch, left * right))

    def largest_piece(self, e: Any, pieces: int) -> Any:
        batch, width = self.sizes(e)
        return self.reduced("max", self.reshape(e, (batch, pieces, width // pieces)), (1,), False)

    # Images; a sequence is an image of one row.

    def _as_images(self, x: Any) -> Any:
        every = self.sizes(x)
        return x if len(every) == 4 else self.reshape(x, (every[0], 1, *every[1:]))

    def _as_samples(self, images: Any, axes: int) -> Any:
        every = self.sizes(images)
        return images if axes == 4 else self.reshape(images, (every[0], *every[2:]))

    def _kernels(self, weight: Any) -> Any:
        every = self.sizes(weight)
        return weight if len(every) == 4 else self.reshape(weight, (1, *every))

    def correlated(self, x: Any, weight: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
        axes, size = self.axes(x), self.sizes(weight)
        windows = Windows.of(axes - 2, size[:-2] if axes == 4 else size[0], stride, dilation, padding)
        return self._as_samples(self.correlate(self._as_images(x), self._kernels(weight), windows, groups), axes)

    def convolved(self, x: Any, weight: Any, shape: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
        axes, size = self.axes(x), self.sizes(weight)
        windows = Windows.of(axes - 2, size[:-2] if axes == 4 else size[0], stride, dilation, padding)
        height, width = shape[1:3] if axes == 4 else (1, shape[1])
        images = self.convolve(self._as_images(x), self._kernels(weight), (height, width), windows, groups)
        return self._as_samples(images, axes)

    def _pooling(self, x: Any, size: Any, stride: Any, padding: Any) -> Windows:
        return Windows.of(self.axes(x) - 2, size, size if stride is None else stride, 1, padding)

    def window_max(self, x: Any, size: Any, stride: Any = None, padding: Any = "valid") -> Any:
        windows = self._pooling(x, size, stride, padding)
        return self._as_samples(self.largest_in_windows(self._as_images(x), windows), self.axes(x))

    def window_mean(self, x: Any, size: Any, stride: Any = None, padding: Any = "valid") -> Any:
        windows, images = self._pooling(x, size, stride, padding), self._as_images(x)
        counts = window_counts(windows, self.sizes(images), self.dtype)
        return self._as_samples(self.summed_windows(images, windows) / self.constant(counts), self.axes(x))

    def pad(self, x: Any, padding: Any) -> Any:
        rows, columns = Windows.of(2, 1, 1, 1, padding).pads((1, 1))
        return self.padded(x, ((0, 0), rows, columns, (0, 0)))

    def upsample(self, x: Any, size: Any) -> Any:
        batch, height, width, channels = self.sizes(x)
        rows, columns = size if isinstance(size, tuple) else (size, size)
        apart = self.reshape(x, (batch, height, 1, width, 1, channels))
        blocks = self.expanded(apart, (batch, height, rows, width, columns, channels))
        return self.reshape(blocks, (batch, height * rows, width * columns, channels))
