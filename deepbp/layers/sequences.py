"""Composites for sequences: Masked, which marks padding, EncoderDecoder, and PerStep."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from attrs import define, field, frozen

from deepbp.errors import ShapeError
from deepbp.errors.validators import finite, optional, positive_int
from deepbp.layers.chain import AnyLayer, LayerLike
from deepbp.layers.inner_graph import InnerGraph, Node, Operation
from deepbp.layers.layer import Builder, Layer
from deepbp.layers.masking import Context, real_steps
from deepbp.layers.sublayers import Sublayer, as_layer, require_built_sublayers
from deepbp.parameters import Parameter
from deepbp.typing import AnySize, Array, Shape

EncoderDecoderSaved: TypeAlias = tuple[Any, Any, Parameter]


def _as_body(body: LayerLike) -> AnyLayer:
    return as_layer(body, "body")


def _as_encoder(encoder: LayerLike) -> AnyLayer:
    return as_layer(encoder, "encoder")


def _as_decoder(decoder: LayerLike) -> AnyLayer:
    return as_layer(decoder, "decoder")


@define(eq=False)
class Masked(Layer[Any]):
    """Masking: y = body(x), where steps that are padding change nothing.

    A step whose numbers all equal ``padding`` is padding; for samples of shape (T,), such as the categories of an
    ``Embedding``, each number is a step. Recurrent layers leave out these steps, wherever they stand, so that the last
    state is that of the last real step; attention does not look at them; ``GlobalAveragePool`` leaves them out. Their
    outputs in sequences are 0 there. Layers that treat each step alone, such as ``Dense``, take no notice.

    A loss needs to leave out the outputs of padding, too: give ``fit`` and ``evaluate`` the mask of ``pad_sequences``
    as ``sample_weight``.

    Padding behind the real steps needs no mask where every layer looks back only, as causal attention and a GRU that
    returns sequences do: weights of 0 in the loss are enough.

    Args:
        body: a layer, or a list of layers.
        padding: the number that marks padding. No real step may consist of it.

    Raises:
        ConfigurationError: by the passes, if a layer in the body looks at several steps and knows no mask.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.layers import GRU, Bidirectional, Masked
    >>> net = Sequential([Masked([Bidirectional(GRU(4))])], input_shape=(None, 2), rng=0, dtype="float64")
    >>> x = np.random.default_rng(0).normal(size=(1, 3, 2))
    >>> padded = np.concatenate([x, np.zeros((1, 2, 2))], axis=1)
    >>> bool(np.allclose(net.predict(padded), net.predict(x)))
    True
    """

    any_length = True
    _locates_errors = True

    body: AnyLayer = field(converter=_as_body)
    padding: float = field(default=0, kw_only=True, validator=finite)
    inner: tuple[Sublayer, ...] = field(default=(), init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if not input_shape:
            raise ShapeError("expects sequences, samples of shape (steps, ...), got ()")
        inner = Sublayer.built("body", self.body, input_shape, builder)
        self.inner = (inner,)
        return inner.output_shape

    @property
    def takes_categories(self) -> bool:
        return self.body.takes_categories

    def _context(self, x: Array) -> Context:
        return Context(real_steps(x, self.padding))

    def forward(self, x: Array) -> tuple[Array, Any]:
        return self.inner[0].forward(x, self._context(x))

    def backward(self, saved: Any, delta: Array) -> Array:
        return self.inner[0].backward(saved, delta)

    def backward_parameters(self, saved: Any, delta: Array) -> None:
        self.inner[0].backward_parameters(saved, delta)

    def penalty(self, saved: Any) -> float:
        return self.inner[0].penalty(saved)

    def has_penalty(self) -> bool:
        return self.body.has_penalty()

    def predict(self, x: Array) -> Array:
        return self.inner[0].predict(x, self._context(x))

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        body = Node("body", self.body, padding=self.padding)
        return InnerGraph(self.built.input_shape, [body], "y = body(x), without the padding")

    def start(self, batch: int) -> Any:
        return self.inner[0].start(batch)

    def step(self, x: Array, state: Any) -> tuple[Array, Any]:
        """One step of ``predict``, which is taken as real."""
        return self.inner[0].step(x, state)

    def _require_built(self) -> None:
        require_built_sublayers(self, self.inner)


@frozen
class SliceSteps(Operation):
    """Slice of the axis of steps, x[:, start:stop]; the backpropagated gradient is 0 at the other steps.

    >>> import numpy as np
    >>> from deepbp.layers import SliceSteps
    >>> SliceSteps(1, None).forward([np.array([[[1.0], [2.0], [3.0]]])])
    array([[[2.],
            [3.]]])
    """

    start: int
    stop: int | None

    def label(self) -> str:
        return f"steps from {self.start} on" if self.stop is None else f"steps {self.start} to {self.stop - 1}"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        ((steps, *rest),) = shapes
        if type(steps) is AnySize and self.stop is None:
            return shapes[0]
        end = steps if self.stop is None else self.stop
        if not 0 <= self.start < end or (type(steps) is not AnySize and end > steps):
            raise ShapeError(f"{self}: expected samples with these steps, got shape {shapes[0]}")
        return (end - self.start, *rest)

    def forward(self, inputs: Sequence[Array]) -> Array:
        return inputs[0][:, self.start : self.stop]

    def backward(self, inputs: Sequence[Array], delta: Array) -> list[Array]:
        whole = np.zeros(inputs[0].shape, delta.dtype)
        whole[:, self.start : self.stop] = delta
        return [whole]

    def forward_formula(self, shapes: Sequence[Shape]) -> str:
        return f"steps(x0, {self.start}{'' if self.stop is None else f', {self.stop}'})"

    def backward_formula(self, index: int, shapes: Sequence[Shape]) -> str:
        return "delta"

    def forward_remark(self) -> str:
        return self.label()

    def backward_remark(self, index: int, shapes: Sequence[Shape]) -> str:
        return f"{self.label()} of it"


@define(eq=False)
class EncoderDecoder(Layer[EncoderDecoderSaved]):
    """Encoder and decoder: y = decoder(x₂; encoder(x₁)), where x = [x₁, x₂] side by side along the steps.

    The encoder's output is the memory, to which each ``CrossAttention`` in the decoder attends. Backpropagated
    gradient: [encoder.backward(∂L/∂memory), decoder.backward(δ)], where ∂L/∂memory is the sum over all uses.

    Shapes: x (B, S + T, …), with S = ``source_steps``, y as the decoder's output for (T, …).

    Args:
        encoder, decoder: each a layer, or a list of layers; the encoder returns sequences (S′, G).
        source_steps: S, the number of steps for the encoder.
        padding: the number that marks padding in both, as in ``Masked``; None, the default, for none.

    Raises:
        ShapeError: by ``build``, for samples without steps for the decoder.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.layers import GRU, CrossAttention, Dense, Embedding, EncoderDecoder, Residual
    >>> words = Embedding(20, 8)
    >>> encoder = [words, GRU(8, return_sequences=True)]
    >>> decoder = [Embedding(20, 8), GRU(8, return_sequences=True), Residual(CrossAttention(2)), Dense(20)]
    >>> net = Sequential([EncoderDecoder(encoder, decoder, source_steps=4)], input_shape=(None,), rng=0)
    >>> net.predict(np.ones((2, 4 + 6))).shape
    (2, 6, 20)

    Source: Sutskever, Vinyals & Le 2014; Bahdanau, Cho & Bengio 2015.
    """

    any_length = True
    _locates_errors = True

    encoder: AnyLayer = field(converter=_as_encoder)
    decoder: AnyLayer = field(converter=_as_decoder)
    source_steps: int = field(kw_only=True, validator=positive_int)
    padding: float | None = field(default=None, kw_only=True, validator=optional(finite))
    inner: tuple[Sublayer, ...] = field(default=(), init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if not input_shape or (type(input_shape[0]) is not AnySize and input_shape[0] <= self.source_steps):
            raise ShapeError(f"expects samples of more than {self.source_steps} steps, got {input_shape}")
        steps, *rest = input_shape
        target = AnySize() if type(steps) is AnySize else steps - self.source_steps
        outside = builder.memory_shape
        encoder = Sublayer.built("encoder", self.encoder, (self.source_steps, *rest), builder)
        builder.memory_shape = encoder.output_shape
        try:
            decoder = Sublayer.built("decoder", self.decoder, (target, *rest), builder)
        finally:
            builder.memory_shape = outside
        self.inner = (encoder, decoder)
        return decoder.output_shape

    @property
    def takes_categories(self) -> bool:
        return self.encoder.takes_categories and self.decoder.takes_categories

    def _contexts(self, x: Array) -> tuple[Array, Array, Context, Context]:
        """Both inputs, and both contexts, yet without the memory."""
        source, target = x[:, : self.source_steps], x[:, self.source_steps :]
        if self.padding is None:
            return source, target, Context(), Context()
        own, other = real_steps(source, self.padding), real_steps(target, self.padding)
        return source, target, Context(own), Context(other, memory_mask=own)

    def forward(self, x: Array) -> tuple[Array, EncoderDecoderSaved]:
        encoder, decoder = self.inner
        source, target, own, other = self._contexts(x)
        value, encoded = encoder.forward(source, own)
        memory = Parameter(value)
        y, decoded = decoder.forward(target, other.with_memory(memory))
        return y, (encoded, decoded, memory)

    def backward(self, saved: EncoderDecoderSaved, delta: Array) -> Array:
        encoder, decoder = self.inner
        encoded, decoded, memory = saved
        memory.clear_grad()
        moved = decoder.backward(decoded, delta)
        return np.concatenate([encoder.backward(encoded, memory.grad), moved], axis=1)

    def backward_parameters(self, saved: EncoderDecoderSaved, delta: Array) -> None:
        encoder, decoder = self.inner
        encoded, decoded, memory = saved
        memory.clear_grad()
        decoder.backward_parameters(decoded, delta)
        encoder.backward_parameters(encoded, memory.grad)

    def penalty(self, saved: EncoderDecoderSaved) -> float:
        return sum((one.penalty(memory) for one, memory in zip(self.inner, saved[:2], strict=True)), 0.0)

    def has_penalty(self) -> bool:
        return self.encoder.has_penalty() or self.decoder.has_penalty()

    def predict(self, x: Array) -> Array:
        encoder, decoder = self.inner
        source, target, own, other = self._contexts(x)
        memory = Parameter(encoder.predict(source, own))
        return decoder.predict(target, other.with_memory(memory))

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        nodes = [
            Node("source", SliceSteps(0, self.source_steps)),
            Node("target", SliceSteps(self.source_steps, None)),
            Node("encoder", self.encoder, "source", padding=self.padding),
            Node("decoder", self.decoder, "target", padding=self.padding, memory="encoder"),
        ]
        return InnerGraph(self.built.input_shape, nodes, "y = decoder(x₂; encoder(x₁))")

    def _require_built(self) -> None:
        require_built_sublayers(self, self.inner)


@define(eq=False)
class PerStep(Layer[tuple[Any, Shape]]):
    """A layer applied to each step alone: y[t] = layer(x[t]), with the same weights at every step.

    For layers that take flat samples, or images, one by one; ``Dense`` and activations do so by themselves.

    Shapes: x (B, T, …), y (B, T, …), where the layer takes samples of the shape behind T.

    Args:
        layer: a layer, or a list of layers.

    >>> from deepbp.layers import Bilinear, Builder, PerStep
    >>> Builder().build(PerStep(Bilinear(3)), (5, 4))
    (5, 3)

    Source: Keras's ``TimeDistributed``.
    """

    any_length = stepwise = True
    _locates_errors = True

    layer: AnyLayer = field(converter=as_layer)
    inner: tuple[Sublayer, ...] = field(default=(), init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if not input_shape:
            raise ShapeError("expects sequences, samples of shape (steps, ...), got ()")
        inner = Sublayer.built("layer", self.layer, input_shape[1:], builder)
        self.inner = (inner,)
        return (input_shape[0], *inner.output_shape)

    def forward(self, x: Array) -> tuple[Array, tuple[Any, Shape]]:
        y, memory = self.inner[0].forward(_merged(x))
        return y.reshape(*x.shape[:2], *y.shape[1:]), (memory, x.shape)

    def backward(self, saved: tuple[Any, Shape], delta: Array) -> Array:
        return self.inner[0].backward(saved[0], _merged(delta)).reshape(saved[1])

    def backward_parameters(self, saved: tuple[Any, Shape], delta: Array) -> None:
        self.inner[0].backward_parameters(saved[0], _merged(delta))

    def penalty(self, saved: tuple[Any, Shape]) -> float:
        return self.inner[0].penalty(saved[0])

    def has_penalty(self) -> bool:
        return self.layer.has_penalty()

    def predict(self, x: Array) -> Array:
        y = self.inner[0].predict(_merged(x))
        return y.reshape(*x.shape[:2], *y.shape[1:])

    def inner_graph(self) -> InnerGraph:
        assert self.built is not None
        layer = Node("layer", self.layer, per_step=True)
        return InnerGraph(self.built.input_shape, [layer], "y = layer(x), each step alone")

    def _require_built(self) -> None:
        require_built_sublayers(self, self.inner)


def _merged(x: Array) -> Array:
    """(B, T, …) to (B·T, …)."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
