"""Model a language, character by character: a GRU and a transformer learn to write like Python's documentation.

Both networks predict the next character of the texts of Python's own ``help``. The measure is bits a character on the
last tenth of the texts: 8 for a guess among all bytes, about 4.7 for one by frequencies alone. The short run takes some
seconds; ``--full`` trains larger networks for about two minutes on one core. The networks then write on, one step at a
time, and the picture shows what the heads of the transformer look at.
"""

import sys
from collections import Counter
from math import log
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from matplotlib.figure import Figure

from deepbp import Sequential, Trainer
from deepbp.layers import GELU, GRU, Dense, Embedding, Layer, LayerNorm, Positions, Residual, SelfAttention
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.optimizers.schedules import Cosine, Warmup
from deepbp.plots import attention_map
from deepbp.typing import Array

STEPS = 120
LARGEST_BITS = {"GRU": 4.0, "transformer": 4.0}
FULL_STEPS = 1500
FULL_LARGEST_BITS = {"GRU": 2.2, "transformer": 2.05}
PICTURE = Path(__file__).parents[1] / "output" / "characters.png"


def read() -> tuple[str, Array]:
    """The characters that occur often, with � for all others, and the texts as their numbers."""
    text = "".join(topics[name] for name in sorted(topics))
    often = sorted(character for character, count in Counter(text).items() if count >= 20)
    numbers = {character: number for number, character in enumerate([*often, "�"])}
    return "".join(numbers), np.array([numbers.get(character, len(often)) for character in text])


def recurrent(characters: int, width: int) -> Sequential:
    """Embedding, GRU, and scores for the next character."""
    layers = [Embedding(characters, width // 2), GRU(width, return_sequences=True), Dense(characters)]
    return Sequential(layers, input_shape=(None,), rng=0)


def transformer(characters: int, width: int, blocks: int) -> Sequential:
    """Blocks of causal attention and of a network for each step, both with skip connections."""
    layers: list[Layer] = [Embedding(characters, width), Positions("sinusoidal")]
    for _ in range(blocks):
        layers.append(Residual([LayerNorm(), SelfAttention(4, causal=True)]))
        layers.append(Residual([LayerNorm(), Dense(4 * width), GELU(), Dense(width)]))
    return Sequential([*layers, LayerNorm(), Dense(characters)], input_shape=(None,), rng=0)


def train(net: Sequential, data: Array, steps: int, batch: int, length: int, rate: float) -> None:
    """Train on windows at random places."""
    schedule = Warmup(steps // 10, then=Cosine(rate, steps - steps // 10, end=rate / 20))
    trainer = Trainer(net, SoftmaxCrossEntropy(), Adam(schedule), clip_norm=1.0)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        windows = data[rng.integers(0, len(data) - length, batch)[:, None] + np.arange(length + 1)]
        trainer.step(windows[:, :-1].astype(np.float32), windows[:, 1:])


def bits(net: Sequential, data: Array, length: int, windows: int) -> float:
    """Bits a character on windows of new text."""
    starts = np.linspace(0, len(data) - length - 1, windows).astype(int)
    new = data[starts[:, None] + np.arange(length + 1)]
    return net.evaluate(new[:, :-1], new[:, 1:], loss=SoftmaxCrossEntropy(), batch_size=64)["loss"] / log(2)


def write(net: Sequential, known: str, start: str, length: int) -> str:
    """Continue a text, one step at a time, with characters drawn by their probabilities."""
    rng, state, text = np.random.default_rng(0), net.start(1), start
    for place in range(len(start) + length - 1):
        scores, state = net.step(np.array([known.index(text[place])]), state)
        if place >= len(start) - 1:
            shares = np.exp(1.5 * (scores[0] - scores[0].max()).astype(np.float64))
            text += known[rng.choice(len(known), p=shares / shares.sum())]
    return text


def draw(net: Sequential, known: str, text: str) -> None:
    """Draw the attention maps of the four heads of the last block."""
    position = max(i for i, layer in enumerate(net.layers) if "SelfAttention" in repr(layer))
    numbers = np.array([[known.index(character) for character in text]])
    norm, attention = net.layers[position].body.layers
    weights = attention.attention_weights(norm.predict(net[:position].predict(numbers)))
    figure = Figure(figsize=(13, 13), layout="constrained")
    for head, axes in enumerate(figure.subplots(2, 2).flat):
        attention_map(weights[0, head], text.replace("\n", "↵").replace(" ", "␣"), ax=axes).set_title(f"head {head}")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=80)


def main(full: bool = False) -> int:
    """Train both, let them write, draw; returns 1 if they need too many bits."""
    known, data = read()
    ends = len(data) * 9 // 10
    steps, batch, length = (FULL_STEPS, 32, 64) if full else (STEPS, 16, 32)
    nets = {
        "GRU": recurrent(len(known), 128 if full else 48),
        "transformer": transformer(len(known), 64 if full else 32, 3 if full else 1),
    }
    print(f"{len(data):,} characters, {len(known)} of them different")
    reached = {}
    for name, net in nets.items():
        train(net, data[:ends], steps, batch, length, 0.004 if full else 0.015)
        reached[name] = bits(net, data[ends:], length, 300 if full else 40)
        parameters = sum(parameter.value.size for parameter in net.parameters())
        print(f"\n{name}: {parameters:,} parameters, {reached[name]:.2f} bits a character; it writes:")
        print(write(net, known, "The statement", length - 13))  # as long as the windows that it has seen
    draw(nets["transformer"], known, "Raises an exception if the name")
    print(f"\nattention maps: {PICTURE}")
    for name, largest in (FULL_LARGEST_BITS if full else LARGEST_BITS).items():
        if reached[name] > largest:
            print(f"missed: expected at most {largest} bits a character from the {name}")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(full="--full" in sys.argv))
