"""Attention: self-attention, cross-attention to the memory of an encoder, and positions."""

from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from attrs import define, evolve, field

from deepbp.errors import ConfigurationError, ShapeError
from deepbp.errors.validators import boolean, instance_of, one_of, optional, positive_int
from deepbp.formulas.language import Formula
from deepbp.initializers import GlorotUniform, Initializer, Normal, Zeros
from deepbp.kernels import unchecked as kernels
from deepbp.kernels.memory import keep_memory
from deepbp.layers.boundary import check_delta
from deepbp.layers.layer import Builder, Layer
from deepbp.layers.masking import Context, StepOrder
from deepbp.parameters import UNBUILT, Parameter
from deepbp.typing import AnySize, Array, Shape

Heads: TypeAlias = tuple[Array, Array, Array, Array, Array]
"""What the kernel saves: the arrays with q, and with k and v, the lengths, the heads' outputs, ln Σ eˢ."""
SavedOfBoth: TypeAlias = tuple[Array, Array, Heads, StepOrder, StepOrder, Parameter]
"""x and the memory, what the kernel saves, the order of both, and what collects ∂L/∂memory."""

_SCORES = "q @ turned(k) / sqrt(row_size(q))"
_BACK = {
    "d": "split_heads(delta @ output_weight.T, heads)",
    "G": "d @ turned(v)",
    "S": "A * (G - row_sum(A * G)) / sqrt(row_size(q))",
}
_OF_KEYS_AND_VALUES = "join_heads(turned(S) @ q), join_heads(turned(A) @ d)"
_LETTERS = {"weight": "W", "bias": "b", "output_weight": "O", "output_bias": "o", "d": "δ", "dz": "∂L/∂z"}
_OUTPUT = {"output_weight": "step_products(join_heads(A @ v), delta)", "output_bias": "feature_sum(delta)"}


def _with_bias(rows: Array, weight: Parameter, bias: Parameter) -> Array:
    """rows @ W + b, along the last axis."""
    z = kernels.matrix_product(rows.reshape(rows.shape[0] * rows.shape[1], rows.shape[2]), weight.value)
    kernels.add_bias(z, bias.value)
    return z.reshape(*rows.shape[:2], z.shape[1])


def _accumulate(x: Array, delta: Array, weight: Parameter, bias: Parameter) -> None:
    """∂L/∂W = xᵀ δ and ∂L/∂b = Σ δ, over samples and steps."""
    count = x.shape[0] * x.shape[1]
    rows = delta.reshape(count, delta.shape[2])
    weight.accumulate_product(x.reshape(count, x.shape[2]).T, rows)
    bias.accumulate_sum(rows)


def _moved(delta: Array, weight: Parameter) -> Array:
    """δ Wᵀ, along the last axis."""
    rows = delta.reshape(delta.shape[0] * delta.shape[1], delta.shape[2])
    return kernels.matrix_product(rows, weight.value.T).reshape(*delta.shape[:2], len(weight.value))


def _head_width(layer: Any, features: int) -> int:
    width: int = layer.width or features
    if width % layer.heads:
        raise ConfigurationError(f"expected a width that {layer.heads} heads divide, got {width}: give width=...")
    return width


@lru_cache(maxsize=16)
def _angles(steps: int, pairs: int) -> Array:
    """t / 10000^(i / pairs), for step t and pair i (T, pairs)."""
    return np.asarray(np.arange(steps)[:, None] / 10000.0 ** (np.arange(pairs) / pairs))


def rotate(heads: Array, positions: Array, direction: int = 1) -> None:
    """Turn pairs of numbers of each head (B, T, H, D) by the angle of its position (T,) or (B, T), in place.

    The pairs are number i of the first half and number i of the second half of a head.
    """
    half = heads.shape[-1] // 2
    angles = _angles(int(positions.max(initial=0)) + 1, half)[positions][..., None, :]
    cos, sin = np.cos(angles).astype(heads.dtype), (direction * np.sin(angles)).astype(heads.dtype)
    a, b = heads[..., :half], heads[..., half:]
    turned = a * sin + b * cos
    heads[..., :half] = a * cos - b * sin
    heads[..., half:] = turned


@define(eq=False)
class SelfAttention(Layer[tuple[Array, Heads, StepOrder]]):
    """Multi-head self-attention: y = [A¹ v¹, …, Aᴴ vᴴ] O + o with A = softmax(q kᵀ / √D) and [q, k, v] = x W + b.

    Each step looks at all steps of its sequence, weighted by A. D is the size of a head; the H heads lie side by side.

    Shapes: x and y (B, T, F), W (F, 3E), b (3E,), O (E, F), o (F,), with E = H·D, the width; A (T, T) for each sample
    and head.

    Gradients, with δ = ∂L/∂(the output of a head): ∂L/∂v = Aᵀ δ; with S = A · (δ vᵀ − Σⱼ A · δ vᵀ) / √D, the Jacobian
    of softmax row by row, ∂L/∂q = S k and ∂L/∂k = Sᵀ q; those of W and O as in a dense layer.

    No array of size T × T is kept between the passes: the compiled kernel computes A again, 24 queries at a time.

    Args:
        heads: H.
        causal: whether a step sees only itself and earlier steps.
        rotary: whether queries and keys are turned by the angle of their position, so that A depends on distances.
        width: E; F by default.
        weight_init: the initializer of W and O; the biases begin as zeros.

    Raises:
        ConfigurationError: by ``build``, if the heads do not divide the width; for ``rotary`` heads of odd size.
        ShapeError: by ``build``, for samples that are not (steps, features).

    >>> import numpy as np
    >>> from deepbp.layers import Builder, SelfAttention
    >>> layer = SelfAttention(2, causal=True)
    >>> Builder(rng=0).build(layer, (5, 8))
    (5, 8)
    >>> layer.attention_weights(np.zeros((1, 3, 8), np.float32))[0, 0].round(2).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.33000001311302185, 0.33000001311302185, 0.33000001311302185]]

    Source: Vaswani et al. 2017; Dao et al. 2022 for the kernel; Su et al. 2021 for rotary positions.
    """

    formula = Formula(
        "join_heads(A @ v) @ output_weight + output_bias",
        where={
            "z": "x @ weight + bias",
            "q": "split_heads(part(z, 0, 3), heads)",
            "k": "split_heads(part(z, 1, 3), heads)",
            "v": "split_heads(part(z, 2, 3), heads)",
            "A": f"softmax({_SCORES})",
        },
        where_back={**_BACK, "dz": f"beside(join_heads(S @ k), {_OF_KEYS_AND_VALUES})"},
        backward="dz @ weight.T",
        gradients={"weight": "step_products(x, dz)", "bias": "feature_sum(dz)", **_OUTPUT},
        symbols=_LETTERS,
    )
    any_length = True

    heads: int = field(validator=positive_int)
    causal: bool = field(default=False, kw_only=True, validator=boolean)
    rotary: bool = field(default=False, kw_only=True, validator=boolean)
    width: int | None = field(default=None, kw_only=True, validator=optional(positive_int))
    weight_init: Initializer = field(factory=GlorotUniform, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter = field(init=False, default=UNBUILT)
    output_weight: Parameter = field(init=False, default=UNBUILT)
    output_bias: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if len(input_shape) != 2:
            raise ShapeError(f"expects sequences, samples of shape (steps, features), got {input_shape}")
        features = input_shape[1]
        width = _head_width(self, features)
        if self.rotary and width // self.heads % 2:
            raise ConfigurationError(f"rotary: expected heads of even size, got {width // self.heads}")
        self.weight = builder.parameter((features, 3 * width), self.weight_init)
        self.bias = builder.parameter((3 * width,), Zeros())
        self.output_weight = builder.parameter((width, features), self.weight_init)
        self.output_bias = builder.parameter((features,), Zeros())
        return input_shape

    def stated_formula(self) -> Formula | None:
        """The formula for each head."""
        stated = self.formula
        if stated is not None and self.rotary:
            turned = {name: f"rotate({stated.where[name]})" for name in "qk"}
            signal = stated.where_back["dz"].replace("(S @ k)", "(rotate_back(S @ k))")
            signal = signal.replace("(turned(S) @ q)", "(rotate_back(turned(S) @ q))")
            stated = evolve(stated, where={**stated.where, **turned}, where_back={**stated.where_back, "dz": signal})
        if stated is not None and self.causal:
            stated = evolve(stated, where={**stated.where, "A": f"softmax(not_later({_SCORES}))"})
        return stated

    def forward(self, x: Array) -> tuple[Array, tuple[Array, Heads, StepOrder]]:
        return self._forward(x, None)

    def forward_with(self, x: Array, context: Context) -> tuple[Array, tuple[Array, Heads, StepOrder]]:
        return self._forward(x, context.mask)

    def predict_with(self, x: Array, context: Context) -> Array:
        return self._forward(x, context.mask)[0]

    def _forward(self, x: Array, mask: Array | None) -> tuple[Array, tuple[Array, Heads, StepOrder]]:
        order = StepOrder.of(x, mask)
        x = order.take(x)
        qkv = self._projected(x, order.positions())
        y, logs = kernels.attention(qkv, qkv, order.lengths, self._width(), self.heads, self.causal)
        output = _with_bias(y, self.output_weight, self.output_bias)
        return order.put(output), (x, (qkv, qkv, order.lengths, y, logs), order)

    def _width(self) -> int:
        return len(self.output_weight.value)

    def _projected(self, x: Array, positions: Array) -> Array:
        """[q, k, v], side by side, after rotation."""
        qkv = _with_bias(x, self.weight, self.bias)
        keep_memory(qkv.nbytes)
        self._rotate(qkv, positions)
        return qkv

    def _rotate(self, qkv: Array, positions: Array, direction: int = 1) -> None:
        if self.rotary:
            every = qkv.reshape(*qkv.shape[:2], 3 * self.heads, self._width() // self.heads)
            rotate(every[:, :, : 2 * self.heads], positions, direction)

    def backward(self, saved: tuple[Array, Heads, StepOrder], delta: Array) -> Array:
        return saved[2].put(_moved(self._backward_heads(saved, delta), self.weight))

    def backward_parameters(self, saved: tuple[Array, Heads, StepOrder], delta: Array) -> None:
        self._backward_heads(saved, delta)

    def _backward_heads(self, saved: tuple[Array, Heads, StepOrder], delta: Array) -> Array:
        x, (qkv, _, lengths, y, logs), order = saved
        check_delta(self, delta, x.shape)
        delta = order.take_real(delta)
        _accumulate(y, delta, self.output_weight, self.output_bias)
        moved, dqkv = _moved(delta, self.output_weight), np.zeros_like(qkv)
        kernels.attention_backward(
            qkv, qkv, lengths, self._width(), self.heads, self.causal, y, logs, moved, dqkv, dqkv
        )
        self._rotate(dqkv, order.positions(), -1)  # turned back
        _accumulate(x, dqkv, self.weight, self.bias)
        return dqkv

    def attention_weights(self, x: Array) -> Array:
        """The attention map A (B, H, T, T) of inputs x (B, T, F): how much each step (row) looks at each other one."""
        order = StepOrder.of(x, None)
        qkv = self._projected(x, order.positions())
        return attention_weights(qkv, qkv, self._width(), self.heads, self.causal)

    def start(self, batch: int) -> Array:
        """The keys and values of the steps so far (B, 0, 2E)."""
        if not self.causal:
            raise ConfigurationError(f"{self}: step: it looks at later steps, too: use causal=True, or predict")
        return np.zeros((batch, 0, 2 * self._width()), self.weight.value.dtype)

    def step(self, x: Array, state: Array) -> tuple[Array, Array]:
        """One step of ``predict``; the keys and values of earlier steps are not computed again."""
        qkv = self._projected(x[:, None], np.array([state.shape[1]]))
        seen = np.concatenate([state, qkv[:, :, self._width() :]], axis=1)
        lengths = np.full(len(x), seen.shape[1])
        y, _ = kernels.attention(qkv, seen, lengths, self._width(), self.heads, False)
        return _with_bias(y, self.output_weight, self.output_bias)[:, 0], seen


def attention_weights(q: Array, kv: Array, width: int, heads: int, causal: bool) -> Array:
    """softmax(q kᵀ / √D) for each sample and head; the arrays as in ``kernels.attention``."""
    start, size = kv.shape[2] - 2 * width, width // heads

    def split(array: Array) -> Array:
        return array.reshape(*array.shape[:2], heads, size).swapaxes(1, 2)

    scores = split(q[:, :, :width]) @ split(kv[:, :, start : start + width]).swapaxes(-1, -2)
    scores /= scores.dtype.type(np.sqrt(size))
    if causal:
        scores[..., np.triu(np.ones(scores.shape[-2:], bool), 1)] = -np.inf
    return kernels.softmax(scores)


@define(eq=False)
class CrossAttention(Layer[SavedOfBoth]):
    """Multi-head cross-attention: as ``SelfAttention``, with the queries from x, and keys and values from the memory m,
    the output of the encoder of an ``EncoderDecoder``: q = x W + b, [k, v] = m M + c.

    Shapes: x and y (B, T, F), m (B, S, G), W (F, E), M (G, 2E), O (E, F), with E = H·D, the width; A (T, S).

    Gradients: as in ``SelfAttention``; ∂L/∂m is accumulated for the encoder.

    Args:
        heads: H.
        width: E; F by default.
        weight_init: the initializer of W, M and O; the biases begin as zeros.

    Raises:
        ConfigurationError: by ``build``, outside of an ``EncoderDecoder``; if the heads do not divide the width.

    >>> from deepbp.layers import Builder, CrossAttention, Dense, EncoderDecoder
    >>> layer = EncoderDecoder(Dense(4), [Dense(6), CrossAttention(2)], source_steps=3)
    >>> Builder(rng=0).build(layer, (8, 2))  # 3 steps for the encoder, and 5 for the decoder
    (5, 6)

    Source: Bahdanau, Cho & Bengio 2015; Vaswani et al. 2017.
    """

    formula = Formula(
        "join_heads(A @ v) @ output_weight + output_bias",
        where={
            "q": "split_heads(x @ weight + bias, heads)",
            "z": "memory @ memory_weight + memory_bias",
            "k": "split_heads(part(z, 0, 2), heads)",
            "v": "split_heads(part(z, 1, 2), heads)",
            "A": f"softmax({_SCORES})",
        },
        where_back={**_BACK, "dq": "join_heads(S @ k)", "dz": f"beside({_OF_KEYS_AND_VALUES})"},
        backward="dq @ weight.T",
        gradients={
            "weight": "step_products(x, dq)",
            "bias": "feature_sum(dq)",
            "memory": "dz @ memory_weight.T",
            "memory_weight": "step_products(memory, dz)",
            "memory_bias": "feature_sum(dz)",
            **_OUTPUT,
        },
        symbols={**_LETTERS, "memory": "m", "memory_weight": "M", "memory_bias": "c", "dq": "∂L/∂q"},
    )
    any_length = takes_memory = True

    heads: int = field(validator=positive_int)
    width: int | None = field(default=None, kw_only=True, validator=optional(positive_int))
    weight_init: Initializer = field(factory=GlorotUniform, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter = field(init=False, default=UNBUILT)
    memory_weight: Parameter = field(init=False, default=UNBUILT)
    memory_bias: Parameter = field(init=False, default=UNBUILT)
    output_weight: Parameter = field(init=False, default=UNBUILT)
    output_bias: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        memory = builder.memory_shape
        if len(input_shape) != 2:
            raise ShapeError(f"expects sequences, samples of shape (steps, features), got {input_shape}")
        if memory is None or len(memory) != 2:
            raise ConfigurationError(
                f"{self}: expected to stand in the decoder of an EncoderDecoder, whose encoder returns sequences"
            )
        width = _head_width(self, input_shape[1])
        self.weight = builder.parameter((input_shape[1], width), self.weight_init)
        self.bias = builder.parameter((width,), Zeros())
        self.memory_weight = builder.parameter((memory[1], 2 * width), self.weight_init)
        self.memory_bias = builder.parameter((2 * width,), Zeros())
        self.output_weight = builder.parameter((width, input_shape[1]), self.weight_init)
        self.output_bias = builder.parameter((input_shape[1],), Zeros())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, SavedOfBoth]:
        raise ConfigurationError(f"{self}: forward: there is no memory: run the EncoderDecoder around it")

    def forward_with(self, x: Array, context: Context) -> tuple[Array, SavedOfBoth]:
        if context.memory is None:
            raise ConfigurationError(f"{self}: forward: there is no memory: run the EncoderDecoder around it")
        order, seen = StepOrder.of(x, context.mask), StepOrder.of(context.memory.value, context.memory_mask)
        x, memory = order.take(x), seen.take(context.memory.value)
        q, kv = _with_bias(x, self.weight, self.bias), _with_bias(memory, self.memory_weight, self.memory_bias)
        y, logs = kernels.attention(q, kv, seen.lengths, q.shape[2], self.heads, False)
        output = _with_bias(y, self.output_weight, self.output_bias)
        return order.put(output), (x, memory, (q, kv, seen.lengths, y, logs), order, seen, context.memory)

    def predict_with(self, x: Array, context: Context) -> Array:
        return self.forward_with(x, context)[0]

    def backward(self, saved: SavedOfBoth, delta: Array) -> Array:
        return saved[3].put(_moved(self._backward_heads(saved, delta), self.weight))

    def backward_parameters(self, saved: SavedOfBoth, delta: Array) -> None:
        self._backward_heads(saved, delta)

    def _backward_heads(self, saved: SavedOfBoth, delta: Array) -> Array:
        x, memory, (q, kv, lengths, y, logs), order, seen, held = saved
        check_delta(self, delta, x.shape)
        delta = order.take_real(delta)
        _accumulate(y, delta, self.output_weight, self.output_bias)
        dq, dkv = np.zeros_like(q), np.zeros_like(kv)
        moved = _moved(delta, self.output_weight)
        kernels.attention_backward(q, kv, lengths, q.shape[2], self.heads, False, y, logs, moved, dq, dkv)
        _accumulate(x, dq, self.weight, self.bias)
        _accumulate(memory, dkv, self.memory_weight, self.memory_bias)
        held.accumulate(seen.put(_moved(dkv, self.memory_weight)))
        return dq


@lru_cache(maxsize=16)
def sinusoids(steps: int, features: int, dtype: np.dtype[Any]) -> Array:
    """p[t, 2i] = sin(t / 10000^(2i / F)), p[t, 2i + 1] = cos(…), read-only."""
    angle = np.arange(steps)[:, None] / 10000.0 ** (np.arange(0, features, 2) / features)
    table = np.empty((steps, features))
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)[:, : features // 2]
    table = table.astype(dtype)
    table.flags.writeable = False
    return table


@define(eq=False)
class Positions(Layer[None]):
    """Positional encoding: y[t] = x[t] + p[t], so that attention can tell steps apart.

    Shapes: x and y (B, T, F), p (T, F). Backpropagated gradient: δ; for learned positions, ∂L/∂p = Σ δ over the
    samples. Weight decay does not apply to p.

    Args:
        kind: "learned" for a trainable table, or "sinusoidal" for p[t, 2i] = sin(t / 10000^(2i/F)) and p[t, 2i + 1] =
            cos(t / 10000^(2i/F)), which continue for sequences of any length.
        table_init: the initializer of a learned table.

    Raises:
        ShapeError: by ``build``, for samples that are not (steps, features), and for learned positions of an unknown
            number of steps.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, Positions
    >>> layer = Positions("sinusoidal")
    >>> _ = Builder(dtype="float64").build(layer, (None, 2))
    >>> layer.predict(np.zeros((1, 2, 2))).round(3)
    array([[[0.   , 1.   ],
            [0.841, 0.54 ]]])

    Source: Vaswani et al. 2017; Gehring et al. 2017 for learned positions.
    """

    formula = Formula("x + table", backward="delta", gradients={"table": "batch_sum(delta)"}, symbols={"table": "P"})
    any_length = stepwise = True

    kind: Literal["learned", "sinusoidal"] = field(default="learned", validator=one_of("learned", "sinusoidal"))
    table_init: Initializer = field(factory=lambda: Normal(std=0.02), kw_only=True, validator=instance_of(Initializer))
    table: Parameter | None = field(init=False, default=None)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if len(input_shape) != 2:
            raise ShapeError(f"expects sequences, samples of shape (steps, features), got {input_shape}")
        if self.kind == "learned":
            if type(input_shape[0]) is AnySize:
                raise ShapeError(
                    f"learned positions need to know the number of steps, got {input_shape}: use "
                    "Positions('sinusoidal'), or give the number in input_shape=..."
                )
            self.table = builder.parameter(input_shape, self.table_init, decay=False)
        return input_shape

    def stated_formula(self) -> Formula | None:
        return (
            self.formula if self.kind == "learned" else evolve(self.formula, forward="x + sinusoids(x)", gradients={})
        )

    def _at(self, steps: slice, x: Array) -> Array:
        if self.table is not None:
            return self.table.value[steps]
        return sinusoids(steps.stop, x.shape[-1], x.dtype)[steps]

    def forward(self, x: Array) -> tuple[Array, None]:
        return x + self._at(slice(0, x.shape[1]), x), None

    def backward(self, saved: None, delta: Array) -> Array:
        self.backward_parameters(saved, delta)
        return delta.copy()

    def backward_parameters(self, saved: None, delta: Array) -> None:
        if self.table is not None:
            self.table.accumulate(delta.sum(axis=0))

    def start(self, batch: int) -> int:
        """The position of the first step."""
        return 0

    def step(self, x: Array, state: int) -> tuple[Array, int]:
        """One step of ``predict``."""
        if self.table is not None and state >= len(self.table.value):
            raise ConfigurationError(f"{self}: step: learned positions end with step {len(self.table.value) - 1}")
        return x + self._at(slice(state, state + 1), x), state + 1
