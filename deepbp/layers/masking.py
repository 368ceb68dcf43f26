"""Passes over sequences: masks, which mark the real steps, the memory of a decoder, and one step at a time."""

from typing import Any, ClassVar, Self

import numpy as np
from attrs import evolve, frozen

from deepbp.errors import ConfigurationError
from deepbp.parameters import Parameter
from deepbp.typing import Array


@frozen(eq=False)
class Context:
    """What layers on sequences know beside their input; ``Masked`` and ``EncoderDecoder`` create it.

    A layer of your own that looks at several steps takes it in ``forward_with`` and ``predict_with``, and passes it on
    to sublayers there:

    >>> import numpy as np
    >>> from deepbp.layers import GRU, Builder, Context
    >>> layer = GRU(2)
    >>> _ = Builder(rng=0).build(layer, (3, 1))
    >>> x, mask = np.ones((1, 3, 1), np.float32), np.array([[True, True, False]])
    >>> bool((layer.predict_with(x, Context(mask)) == layer.predict_with(x[:, :2], Context())).all())
    True

    Attributes:
        mask: (B, T), whether a step is real; the others are padding. None if all are.
        memory: the encoded sequence that ``CrossAttention`` looks at, as ``value`` (B, S, M); the layers accumulate
            ∂L/∂memory there, as for a parameter.
        memory_mask: (B, S), which of its steps are real.
    """

    mask: Array | None = None
    memory: Parameter | None = None
    memory_mask: Array | None = None

    def with_memory(self, memory: Parameter) -> Self:
        """The same context with a memory."""
        return evolve(self, memory=memory)

    def after(self, x: Array, y: Array) -> Self:
        """The context of the next layer: without the mask if the axis of steps has ended."""
        if self.mask is None or (y.ndim >= x.ndim and y.shape[:2] == self.mask.shape):
            return self
        return evolve(self, mask=None)


def real_steps(x: Array, padding: float) -> Array:
    """The mask (B, T) of sequences (B, T, …): whether a step has any number other than the padding."""
    different = x != padding
    return np.asarray(different if x.ndim == 2 else different.reshape(*x.shape[:2], -1).any(axis=2))


class Steps:
    """The passes of ``Layer`` over sequences, samples of shape (T, …) with T steps."""

    __slots__ = ()

    stepwise: ClassVar[bool] = False
    """Whether each step of the output depends on the same step of the input alone, as in ``Dense``: then masks do not
    concern the layer, and ``step`` is ``predict``."""

    any_length: ClassVar[bool] = False
    """Whether the layer takes samples whose sizes differ from batch to batch, None in ``input_shape``."""

    takes_memory: ClassVar[bool] = False
    """Whether the layer looks at ``context.memory`` itself, as ``CrossAttention`` does."""

    def forward_with(self, x: Array, context: Context) -> tuple[Array, Any]:
        """``forward``, given which steps are real: layers that look at several steps at once override it."""
        _require_stepwise(self, x, context)
        pair: tuple[Array, Any] = self._run_forward(x)  # type: ignore[attr-defined]
        return pair

    def predict_with(self, x: Array, context: Context) -> Array:
        """``predict``, given which steps are real."""
        _require_stepwise(self, x, context)
        output: Array = self._run_predict(x)  # type: ignore[attr-defined]
        return output

    def start(self, batch: int) -> Any:
        """The state before the first step of ``batch`` sequences, for ``step``; None for layers without a state."""
        return None

    def step(self, x: Array, state: Any) -> tuple[Array, Any]:
        """Predict one step: from the input (B, …) at this step and the state, the output and the next state.

        The outputs of step after step are those of ``predict`` on the whole sequence. Raises ConfigurationError for a
        layer that looks at later steps.
        """
        if not self.stepwise:
            raise ConfigurationError(f"{self}: step: it looks at a whole sequence at once: use predict")
        output: Array = self._run_predict(x[:, None])  # type: ignore[attr-defined]
        return output[:, 0], state


def _require_stepwise(layer: Any, x: Array, context: Context) -> None:
    if context.mask is not None and not layer.stepwise:
        raise ConfigurationError(
            f"{layer}: it may look at several steps at once, and knows no mask, so padding would change its result: "
            "leave it out of Masked, or put it behind a layer that ends the sequence"
        )


@frozen(eq=False)
class StepOrder:
    """The order in which a layer takes the steps of each sequence: real steps first, so that padding follows them.

    Attributes:
        rows, order: indices: ``x[rows, order]`` puts the steps in order. None if they are in order, or only reversed.
        lengths: (B,), the number of real steps.
        steps: T.
    """

    lengths: Array
    steps: int
    reverse: bool
    rows: Array | None = None
    order: Array | None = None

    @classmethod
    def of(cls, x: Array, mask: Array | None, reverse: bool = False) -> Self:
        """The order of the steps of x (B, T, …); ``reverse`` begins with the last real step."""
        batch, steps = x.shape[:2]
        if mask is None or mask.all():
            return cls(np.full(batch, steps), steps, reverse)
        if reverse:
            order = steps - 1 - np.argsort(~mask[:, ::-1], axis=1, kind="stable")
        else:
            order = np.argsort(~mask, axis=1, kind="stable")
        return cls(np.count_nonzero(mask, axis=1), steps, reverse, np.arange(batch)[:, None], order)

    def positions(self) -> Array:
        """The places of the steps in order, (T,) or (B, T)."""
        return np.arange(self.steps) if self.order is None else self.order

    def take(self, x: Array) -> Array:
        """Put the steps in order."""
        if self.order is not None:
            return np.asarray(x[self.rows, self.order])
        return np.ascontiguousarray(x[:, ::-1] if self.reverse else x)

    def take_real(self, x: Array) -> Array:
        """The same with zeros for padding."""
        taken = self.take(x)
        if self.order is not None:
            taken[np.arange(self.steps) >= self.lengths[:, None]] = 0
        return taken

    def put(self, x: Array) -> Array:
        """Put the steps back in their places, with zeros for padding."""
        if self.order is None:
            return np.ascontiguousarray(x[:, ::-1] if self.reverse else x)
        placed = np.zeros_like(x)
        real = np.arange(self.steps) < self.lengths[:, None]
        rows = np.broadcast_to(self.rows, real.shape)  # type: ignore[arg-type]
        placed[rows[real], self.order[real]] = x[real]
        return placed
