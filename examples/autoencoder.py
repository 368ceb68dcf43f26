"""Compress handwritten digits to eight numbers and reconstruct them: an autoencoder with tied weights.

The decoder uses the transposed weight matrices of the encoder (weight tying). This halves the number of weights, and
each matrix receives gradients from two layers. Principal component analysis (PCA) is the best linear compression; with
ReLUs between the layers, the reconstruction error on held-out digits is at most 3/4 of PCA's. The picture,
``output/autoencoder.png``, compares ten held-out digits with both reconstructions.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from deepbp import Sequential
from deepbp.layers import Dense, ReLU, TiedDense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import AdamW
from deepbp.optimizers.schedules import Cosine, steps_per_epoch
from deepbp.typing import Array

SEED = 0
CODE, HIDDEN = 8, 128
EPOCHS = 50
BATCH_SIZE = 64
LARGEST_SHARE = 0.75  # of the error of PCA
PICTURE = Path(__file__).parent.parent / "output" / "autoencoder.png"


def autoencoder(pixels: int, seed: int) -> Sequential:
    """Return the network pixels → hidden → code → hidden → pixels, with two weight matrices."""
    to_hidden, to_code = Dense(HIDDEN), Dense(CODE)
    return Sequential(
        [to_hidden, ReLU(), to_code, TiedDense(to_code), ReLU(), TiedDense(to_hidden)], input_shape=pixels, rng=seed
    )


def train(x: Array, seed: int = SEED) -> Sequential:
    """Train the network to reproduce its input."""
    net = autoencoder(x.shape[1], seed)
    steps = EPOCHS * steps_per_epoch(len(x), BATCH_SIZE)
    optimizer = AdamW(Cosine(0.005, steps), weight_decay=0.01)
    net.fit(x, x, loss=MeanSquaredError(), optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH_SIZE)
    return net


def draw(rows: dict[str, Array]) -> None:
    """Draw one row of ten digits for each name."""
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    lines = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for (name, images), line in zip(rows.items(), lines, strict=True):
        line.suptitle(name)
        for axes, image in zip(line.subplots(1, 10), images, strict=True):
            axes.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            axes.set_axis_off()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def main() -> int:
    """Train, compare, draw; returns 1 if the weights are not tied or the error is too large."""
    x, y = load_digits(return_X_y=True)
    parts = train_test_split(x / 16, y, test_size=0.2, stratify=y, random_state=SEED)
    x, held_out, _, digits = map(np.asarray, parts)
    net = train(x)
    print(net.summary())
    shared = all(layer.weight in layer.other.parameters() for layer in net.layers if isinstance(layer, TiedDense))
    weights = [parameter for parameter in net.parameters() if parameter.value.ndim == 2]
    print(f"\n{sum(weight.value.size for weight in weights)} weights in {len(weights)} matrices, used by four layers")

    linear = PCA(CODE).fit(x)
    made = {"autoencoder": net.predict(held_out), "PCA": linear.inverse_transform(linear.transform(held_out))}
    error = {name: float(np.mean((images - held_out) ** 2)) for name, images in made.items()}
    share = error["autoencoder"] / error["PCA"]
    print(f"mean squared error on {len(held_out)} held-out digits, compressed to {CODE} numbers each")
    for name, value in error.items():
        print(f"    {name:12} {value:.4f}")
    print(f"the error of the autoencoder is {share:.0%} of that of PCA")
    shown = [int(np.flatnonzero(digits == digit)[0]) for digit in range(10)]
    captions = {name: f"{name}, mean squared error {error[name]:.4f}" for name in made}
    draw({"held-out digits": held_out[shown], **{captions[name]: made[name][shown] for name in made}})
    print(f"picture: {PICTURE}")

    if not shared or len(weights) != 2:
        print("missed: expected two weight matrices, each shared by encoder and decoder")
        return 1
    if share > LARGEST_SHARE:
        print(f"missed: expected an error of at most {LARGEST_SHARE:.0%} of that of PCA")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
