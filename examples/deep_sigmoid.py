"""Vanishing gradients in deep sigmoid networks: the error signal in each of 20 layers, and remedies.

Backpropagation multiplies the error signal by σ′, at most ¼, and by the weights of each layer. The picture,
``output/deep_sigmoid.png``, shows the error signal from the output to the input, for several activations and weight
initializations.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from deepbp import Sequential
from deepbp.initializers import GlorotUniform, HeNormal, Initializer, Normal, Orthogonal
from deepbp.layers import Dense, Layer, ReLU, Sigmoid, Tanh
from deepbp.typing import Array

SEED = 0
DEPTH, WIDTH, SAMPLES = 20, 64, 256
PICTURE = Path(__file__).parent.parent / "output" / "deep_sigmoid.png"

NETWORKS: dict[str, tuple[type[Layer[Array]], Initializer]] = {
    "Sigmoid, weights N(0, 0.1²)": (Sigmoid, Normal(std=0.1)),
    "Sigmoid, Glorot": (Sigmoid, GlorotUniform()),
    "Sigmoid, orthogonal with gain 4": (Sigmoid, Orthogonal(gain=4.0)),
    "Tanh, orthogonal": (Tanh, Orthogonal()),
    "ReLU, He": (ReLU, HeNormal()),
}
COLORS = ("#d55e00", "#e69f00", "#cc79a7", "#0072b2", "#009e73")
STARTING_POINT, REMEDIES = "Sigmoid, Glorot", ("Tanh, orthogonal", "ReLU, He")
LEAST_LOSS_OF_SIGNAL, LARGEST_LOSS_OF_SIGNAL = 1e6, 100.0


def signal_sizes(activation: type[Layer[Array]], weight_init: Initializer) -> list[float]:
    """Return the root mean square of δ at the output of each layer, from the first to the last."""
    rng = np.random.default_rng(SEED)
    blocks = [
        Sequential([Dense(WIDTH, weight_init=weight_init), activation()], input_shape=WIDTH, rng=rng, dtype="float64")
        for _ in range(DEPTH)
    ]
    output, saved = Sequential(blocks, input_shape=WIDTH, dtype="float64").forward(rng.normal(size=(SAMPLES, WIDTH)))
    delta = rng.normal(size=output.shape)
    sizes = []
    for block, memory in zip(reversed(blocks), reversed(saved), strict=True):
        sizes.append(float(np.sqrt(np.mean(delta**2))))
        delta = block.backward(memory, delta)
    return sizes[::-1]


def draw(sizes: dict[str, list[float]]) -> None:
    """Draw a curve for each network, on a logarithmic scale."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    for (name, values), color in zip(sizes.items(), COLORS, strict=True):
        axes.plot(range(1, DEPTH + 1), values, color=color, marker="o", markersize=4, label=name)
    axes.set_yscale("log")
    axes.set_xticks(range(1, DEPTH + 1))
    axes.set_xlabel("layer (the error signal travels from right to left)")
    axes.set_ylabel("error signal, root mean square of δ")
    axes.set_title(f"Error signals in networks of {DEPTH} layers, before training")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def main() -> int:
    """Measure, print, draw; returns 1 if the error signals do not vanish or persist as expected."""
    sizes = {name: signal_sizes(*network) for name, network in NETWORKS.items()}
    losses = {name: values[-1] / values[0] for name, values in sizes.items()}
    print(f"{'network':<33}layer {DEPTH}   layer 1   reduced by")
    for name, values in sizes.items():
        print(f"{name:<33}{values[-1]:8.1e}   {values[0]:.1e}   {losses[name]:9.2g} times")
    draw(sizes)
    print(f"picture: {PICTURE}")
    if losses[STARTING_POINT] < LEAST_LOSS_OF_SIGNAL:
        print(f"missed: expected a reduction of at least {LEAST_LOSS_OF_SIGNAL:.0e} for {STARTING_POINT}")
        return 1
    if any(losses[name] > LARGEST_LOSS_OF_SIGNAL for name in REMEDIES):
        print(f"missed: expected a reduction of at most {LARGEST_LOSS_OF_SIGNAL:.0f} for {' and '.join(REMEDIES)}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
