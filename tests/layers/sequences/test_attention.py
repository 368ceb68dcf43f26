"""Attention: values against formulas written out and PyTorch, what a step may see, and positions."""

from typing import Any

import numpy as np
import pytest
from references import attention, built, results

from deepbp import Sequential
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.layers import (
    CrossAttention,
    Dense,
    Embedding,
    EncoderDecoder,
    LayerNorm,
    Positions,
    ReLU,
    Residual,
    SelfAttention,
)

SIZES = [(2, 5, 8, 2, False), (3, 7, 6, 3, True), (1, 1, 4, 1, True), (13, 3, 4, 1, False), (2, 101, 6, 2, True)]


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize(("batch", "steps", "features", "heads", "causal"), SIZES[:4])
def test_outputs_are_those_of_the_formula(
    batch: int, steps: int, features: int, heads: int, causal: bool, rng: np.random.Generator
) -> None:
    layer = built(SelfAttention(heads, causal=causal), (steps, features))
    x = rng.standard_normal((batch, steps, features))
    np.testing.assert_allclose(layer.predict(x), attention(layer, x), rtol=0, atol=1e-13)


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize(("batch", "steps", "features", "heads", "causal"), SIZES)
def test_gradients_are_those_of_pytorch(
    batch: int, steps: int, features: int, heads: int, causal: bool, rng: np.random.Generator
) -> None:
    torch = pytest.importorskip("torch")
    layer = built(SelfAttention(heads, causal=causal), (steps, features))
    peer = torch.nn.MultiheadAttention(features, heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.from_numpy(layer.weight.value.T))
        peer.in_proj_bias.copy_(torch.from_numpy(layer.bias.value))
        peer.out_proj.weight.copy_(torch.from_numpy(layer.output_weight.value.T))
        peer.out_proj.bias.copy_(torch.from_numpy(layer.output_bias.value))
    x, delta = rng.standard_normal((2, batch, steps, features))
    y, moved, *_ = results(layer, x, delta)
    inputs = torch.from_numpy(x).requires_grad_()
    mask = ~torch.tril(torch.ones(steps, steps, dtype=torch.bool)) if causal else None
    output = peer(inputs, inputs, inputs, attn_mask=mask, need_weights=False)[0]
    output.backward(torch.from_numpy(delta))
    for found, expected in (
        (y, output.detach()),
        (moved, inputs.grad),
        (layer.weight.grad.T, peer.in_proj_weight.grad),
        (layer.bias.grad, peer.in_proj_bias.grad),
        (layer.output_weight.grad.T, peer.out_proj.weight.grad),
        (layer.output_bias.grad, peer.out_proj.bias.grad),
    ):
        size = max(1.0, float(np.abs(found).max()))
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-12 * size)


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize("rotary", [False, True])
def test_a_causal_layer_sees_nothing_later(rotary: bool, rng: np.random.Generator) -> None:
    layer = built(SelfAttention(2, causal=True, rotary=rotary), (60, 8))
    x = rng.standard_normal((2, 60, 8))
    changed = x.copy()
    changed[:, 50:] = rng.standard_normal((2, 10, 8))
    one, other = layer.predict(x), layer.predict(changed)
    np.testing.assert_array_equal(one[:, :50], other[:, :50])
    assert (np.abs(one[:, 50:] - other[:, 50:]).max(axis=(0, 2)) > 1e-3).all()


@pytest.mark.usefixtures("kernel_form")
def test_without_positions_the_order_of_the_steps_does_not_matter(rng: np.random.Generator) -> None:
    x, order = rng.standard_normal((3, 9, 6)), rng.permutation(9)
    plain, rotary = (built(SelfAttention(3, rotary=rotary), (9, 6)) for rotary in (False, True))
    np.testing.assert_allclose(plain.predict(x[:, order]), plain.predict(x)[:, order], rtol=0, atol=1e-13)
    assert np.abs(rotary.predict(x[:, order]) - rotary.predict(x)[:, order]).max() > 1e-3


def test_rotary_attention_depends_on_distances_alone(rng: np.random.Generator) -> None:
    layer = built(SelfAttention(2, causal=True, rotary=True), (None, 8))
    x = rng.standard_normal((1, 4, 8))
    row = layer.attention_weights(x)[0, :, 3]
    later = np.concatenate([np.zeros((1, 5, 8)), x], axis=1)  # the same steps at later positions
    shifted = layer.attention_weights(later)[0, :, 8, 5:]
    np.testing.assert_allclose(shifted / shifted.sum(axis=-1, keepdims=True), row, rtol=0, atol=1e-13)


def test_rows_of_an_attention_map_sum_to_1(rng: np.random.Generator) -> None:
    layer = built(SelfAttention(2, causal=True), (5, 4))
    weights = layer.attention_weights(rng.standard_normal((3, 5, 4)))
    assert weights.shape == (3, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=0, atol=1e-14)
    assert not np.triu(weights, 1).any()


@pytest.mark.usefixtures("kernel_form")
def test_steps_of_a_transformer_are_those_of_a_whole_sequence(rng: np.random.Generator) -> None:
    block = [
        Residual([LayerNorm(), SelfAttention(2, causal=True, rotary=True)]),
        Residual([LayerNorm(), Dense(12), ReLU(), Dense(8)]),
    ]
    net = Sequential(
        [Embedding(9, 8), Positions("sinusoidal"), *block, Dense(9)], input_shape=(None,), rng=0, dtype="float64"
    )
    x = rng.integers(0, 9, (2, 7))
    state: Any = net.start(2)
    for t in range(7):
        y, state = net.step(x[:, t], state)
        np.testing.assert_allclose(y, net.predict(x[:, : t + 1])[:, -1], rtol=0, atol=1e-13)
    with pytest.raises(ConfigurationError, match="it looks at later steps"):
        SelfAttention(2).start(1)


def test_the_memory_is_what_cross_attention_looks_at(rng: np.random.Generator) -> None:
    layer = built(EncoderDecoder(Dense(4), CrossAttention(2), source_steps=3), (5, 4))
    x = rng.standard_normal((2, 5, 4))
    cross, encoder = layer.decoder, layer.encoder
    memory = x[:, :3] @ encoder.weight.value + encoder.bias.value
    queries = x[:, 3:] @ cross.weight.value + cross.bias.value
    keys, values = np.split(memory @ cross.memory_weight.value + cross.memory_bias.value, 2, axis=2)
    heads = []
    for part in (slice(0, 2), slice(2, 4)):
        e = np.exp(queries[..., part] @ keys[..., part].swapaxes(1, 2) / np.sqrt(2))
        heads.append(e / e.sum(axis=2, keepdims=True) @ values[..., part])
    expected = np.concatenate(heads, axis=2) @ cross.output_weight.value + cross.output_bias.value
    np.testing.assert_allclose(layer.predict(x), expected, rtol=0, atol=1e-13)


def test_cross_attention_outside_of_a_decoder_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected to stand in the decoder of an EncoderDecoder"):
        Sequential([CrossAttention(2)], input_shape=(3, 4))
    with pytest.raises(ShapeError, match="expects samples of more than 5 steps"):
        Sequential([EncoderDecoder(Dense(2), CrossAttention(1), source_steps=5)], input_shape=(5, 4))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected a width that 3 heads divide, got 4"):
        Sequential([SelfAttention(3)], input_shape=(2, 4))
    with pytest.raises(ConfigurationError, match="rotary: expected heads of even size, got 3"):
        Sequential([SelfAttention(2, rotary=True)], input_shape=(2, 6))


def test_positions(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 4, 3))
    waves = built(Positions("sinusoidal"), (None, 3)).predict(x) - x
    expected = [[f(t / 10000 ** (2 * (i // 2) / 3)) for i, f in enumerate((np.sin, np.cos, np.sin))] for t in range(4)]
    np.testing.assert_allclose(waves, np.broadcast_to(expected, waves.shape), rtol=0, atol=1e-15)
    learned = built(Positions(), (4, 3))
    np.testing.assert_allclose(learned.predict(x), x + learned.table.value, rtol=0, atol=0)
    assert not learned.table.is_decayed
    with pytest.raises(ShapeError, match="learned positions need to know the number of steps"):
        Sequential([Positions()], input_shape=(None, 3))
