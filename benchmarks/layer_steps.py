"""Training steps of networks for images, and of layers on sequences: the same in deepbp, PyTorch and JAX."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from deepbp import Sequential, Trainer
from deepbp.layers import (
    GRU,
    LSTM,
    BatchNorm,
    Builder,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    Layer,
    LayerNorm,
    MaxPool2D,
    ReLU,
    SelfAttention,
    SimpleRNN,
)
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.typing import Array

Step: TypeAlias = Callable[[], Any]
Plan: TypeAlias = list[tuple[Any, ...]]
RNG = np.random.default_rng(0)
SAME, VALID = "same", "valid"
WORDS = 1000  # rows of the table of an embedding


# deepbp


def images_of_deepbp(shape: tuple[int, ...], plan: Plan, x: Array, y: Array, threads: int = 1) -> Step:
    make: dict[str, Callable[..., Layer[Any]]] = {
        "conv": lambda filters, size, padding: Conv2D(filters, size, padding=padding),
        "relu": ReLU,
        "pool": MaxPool2D,
        "dense": Dense,
    }
    layers = [make[kind](*arguments) for kind, *arguments in plan]
    first = next(i for i, (kind, *_) in enumerate(plan) if kind == "dense")
    net = Sequential([*layers[:first], Flatten(), *layers[first:]], input_shape=shape[1:], rng=0)
    trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(), threads=threads)
    return lambda: trainer.step(x, y)


def sequence_layer(kind: str, size: int) -> Layer[Any]:
    make: dict[str, Callable[[], Layer[Any]]] = {
        "LSTM": lambda: LSTM(size, return_sequences=True),
        "GRU": lambda: GRU(size, return_sequences=True),
        "RNN": lambda: SimpleRNN(size, return_sequences=True),
        "attention": lambda: SelfAttention(size, causal=True),
    }
    return make[kind]()


def sequences_of_deepbp(kind: str, size: int, x: Array, delta: Array) -> Step:
    layer = sequence_layer(kind, size)
    Builder(0).build(layer, x.shape[1:])
    return forward_and_backward(layer, x, delta)


def forward_and_backward(layer: Layer[Any], x: Array, delta: Array) -> Step:
    parameters = layer.parameters()

    def step() -> Array:
        for parameter in parameters:
            parameter.clear_grad()
        _, saved = layer.forward(x)
        return layer.backward(saved, delta)

    return step


def normalization_of_deepbp(kind: str, x: Array, delta: Array) -> Step:
    layer: Layer[Any] = LayerNorm() if kind == "LayerNorm" else BatchNorm()
    Builder(0).build(layer, x.shape[1:])
    return forward_and_backward(layer, x, delta)


def embedding_of_deepbp(x: Array, delta: Array) -> Step:
    """The backward pass alone: the other one copies rows."""
    layer = Embedding(WORDS, delta.shape[2])
    Builder(0).build(layer, x.shape[1:])
    _, saved = layer.forward(x)
    parameters = layer.parameters()

    def step() -> None:
        for parameter in parameters:
            parameter.clear_grad()
        layer.backward_parameters(saved, delta)

    return step


# PyTorch


def images_of_pytorch(plan: Plan, x: Array, y: Array, channels_last: bool) -> Step:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    layers: list[Any] = []
    channels, places, flat = x.shape[3], x.shape[1], 0
    for kind, *arguments in plan:
        if kind == "conv":
            filters, size, padding = arguments
            layers.append(nn.Conv2d(channels, filters, size, padding=padding))
            channels, places = filters, places if padding == SAME else places - size + 1
        elif kind == "dense":
            layers += [] if flat else [nn.Flatten()]
            layers.append(nn.Linear(flat or channels * places**2, arguments[0]))
            flat = arguments[0]
        else:
            layers.append(nn.ReLU() if kind == "relu" else nn.MaxPool2d(2))
            places //= 2 if kind == "pool" else 1
    model: Any = nn.Sequential(*layers)
    images: Any = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    if channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    optimizer, loss, labels = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss(), torch.from_numpy(y)

    def step() -> float:
        optimizer.zero_grad()
        value = loss(model(images), labels)
        value.backward()
        optimizer.step()
        return float(value.item())

    return step


def sequences_of_pytorch(kind: str, size: int, x: Array, delta: Array, by_hand: bool = False) -> Step:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    signals, upstream = torch.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(delta)
    batch, steps, features = x.shape
    modules: list[Any] = []
    if kind != "attention":
        modules = [getattr(nn, kind)(features, size, batch_first=True)]
        run: Step = lambda: modules[0](signals)[0]  # noqa: E731
    elif not by_hand:
        modules = [nn.MultiheadAttention(features, size, batch_first=True)]
        mask = nn.Transformer.generate_square_subsequent_mask(steps)
        run = lambda: modules[0](  # noqa: E731
            signals, signals, signals, attn_mask=mask, is_causal=True, need_weights=False
        )[0]
    else:
        modules = [nn.Linear(features, 3 * features), nn.Linear(features, features)]

        def attend() -> Any:
            parts = modules[0](signals).view(batch, steps, 3, size, features // size).permute(2, 0, 3, 1, 4)
            seen = nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
            return modules[1](seen.transpose(1, 2).reshape(batch, steps, features))

        run = attend
    held = [signals, *(parameter for module in modules for parameter in module.parameters())]

    def step() -> Any:
        for tensor in held:
            tensor.grad = None
        run().backward(upstream)
        return signals.grad

    return step


def normalization_of_pytorch(kind: str, x: Array, delta: Array, channels_last: bool = False) -> Step:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    features = x.shape[-1]
    layer = nn.LayerNorm(features) if kind == "LayerNorm" else nn.BatchNorm2d(features)
    signals, upstream = torch.from_numpy(x), torch.from_numpy(delta)
    if kind == "BatchNorm":
        signals, upstream = signals.permute(0, 3, 1, 2), upstream.permute(0, 3, 1, 2)
        if not channels_last:
            signals, upstream = signals.contiguous(), upstream.contiguous()
    held: list[Any] = [signals.requires_grad_(), *layer.parameters()]

    def step() -> Any:
        for tensor in held:
            tensor.grad = None
        layer(signals).backward(upstream)
        return signals.grad

    return step


def embedding_of_pytorch(x: Array, delta: Array) -> Step:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    layer = nn.Embedding(WORDS, delta.shape[2])
    output, upstream = layer(torch.from_numpy(x)), torch.from_numpy(delta)

    def step() -> None:
        layer.weight.grad = None
        output.backward(upstream, retain_graph=True)

    return step


# JAX


def images_of_jax(plan: Plan, x: Array, y: Array) -> Step:
    import jax
    from jax import numpy as jnp

    weights: list[Any] = []
    channels, places, flat = x.shape[3], x.shape[1], 0
    for kind, *arguments in plan:
        if kind == "conv":
            filters, size, padding = arguments
            scale = np.sqrt(2 / (size * size * channels))
            weights.append(
                (RNG.normal(0, scale, (size, size, channels, filters)).astype("f4"), np.zeros(filters, "f4"))
            )
            channels, places = filters, places if padding == SAME else places - size + 1
        elif kind == "dense":
            inputs = flat or channels * places**2
            flat = arguments[0]
            weights.append((RNG.normal(0, np.sqrt(2 / inputs), (inputs, flat)).astype("f4"), np.zeros(flat, "f4")))
        places //= 2 if kind == "pool" else 1

    def loss(held: Any, signals: Any, labels: Any) -> Any:
        left = iter(held)
        for kind, *arguments in plan:
            if kind == "conv":
                weight, bias = next(left)
                pads, order = arguments[2].upper(), ("NHWC", "HWIO", "NHWC")
                signals = jax.lax.conv_general_dilated(signals, weight, (1, 1), pads, dimension_numbers=order) + bias
            elif kind == "dense":
                weight, bias = next(left)
                signals = signals.reshape(len(labels), -1) @ weight + bias
            elif kind == "relu":
                signals = jax.nn.relu(signals)
            else:
                windows = (1, 2, 2, 1)
                signals = jax.lax.reduce_window(signals, -jnp.inf, jax.lax.max, windows, windows, "VALID")
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(signals), labels[:, None], axis=1))

    def adam(state: Any, signals: Any, labels: Any) -> Any:
        held, first, second, steps = state
        value, grads = jax.value_and_grad(loss)(held, signals, labels)
        steps += 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**steps) / (1 - 0.9**steps)
        held = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), held, first, second)
        return value, (held, first, second, steps)

    compiled = jax.jit(adam, donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state: Any = (jax.tree.map(jnp.asarray, weights), zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros(()))
    images, labels = jnp.asarray(x), jnp.asarray(y)

    def step() -> float:
        nonlocal state
        value, state = compiled(state, images, labels)
        return float(value)

    return step


def sequences_of_jax(kind: str, size: int, x: Array, delta: Array) -> Step:
    import jax
    from jax import numpy as jnp

    batch, steps, features = x.shape

    def drawn(*shape: int) -> Any:
        return jnp.asarray(RNG.normal(0, 0.1, shape).astype("f4"))

    def recurrent(held: Any, signals: Any) -> Any:
        weight, back, bias, hidden_bias = held
        z = (signals.reshape(-1, features) @ weight + bias).reshape(batch, steps, -1).swapaxes(0, 1)

        def cell(state: Any, now: Any) -> Any:
            h, c = state
            if kind == "RNN":
                h = jnp.tanh(now + h @ back)
            elif kind == "GRU":
                r, u, n = jnp.split(now, 3, axis=1)
                r2, u2, n2 = jnp.split(h @ back, 3, axis=1)
                u = jax.nn.sigmoid(u + u2)
                h = (1 - u) * jnp.tanh(n + jax.nn.sigmoid(r + r2) * (n2 + hidden_bias)) + u * h
            else:
                i, f, g, o = jnp.split(now + h @ back, 4, axis=1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((batch, size), x.dtype)
        return jax.lax.scan(cell, (zeros, zeros), z)[1].swapaxes(0, 1)

    def attention(held: Any, signals: Any) -> Any:
        weight, output, bias, output_bias = held
        parts = (signals @ weight + bias).reshape(batch, steps, 3, size, features // size)
        seen = jax.nn.dot_product_attention(*(parts[:, :, i] for i in range(3)), is_causal=True)
        return seen.reshape(batch, steps, features) @ output + output_bias

    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}.get(kind, 0) * size
    held = (drawn(features, gates), drawn(size, gates), drawn(gates), drawn(size))
    if kind == "attention":
        held = (drawn(features, 3 * features), drawn(features, features), drawn(3 * features), drawn(features))
    apply = attention if kind == "attention" else recurrent

    def passes(held: Any, signals: Any, upstream: Any) -> Any:
        y, back = jax.vjp(apply, held, signals)
        return y, back(upstream)

    compiled, signals, upstream = jax.jit(passes), jnp.asarray(x), jnp.asarray(delta)
    return lambda: jax.block_until_ready(compiled(held, signals, upstream))
