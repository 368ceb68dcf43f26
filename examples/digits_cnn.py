"""Classify handwritten digits by convolution: 98 % accuracy on 360 held-out digits, without augmentation of the others.

Two convolutions find strokes, wherever they are, and max pooling keeps the strongest of each place. The picture
``output/digits_cnn.png`` shows the kernels of the first convolution, and what they find in a digit.
"""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from deepbp import History, Sequential
from deepbp.layers import BatchNorm, Conv2D, Dense, Flatten, MaxPool2D, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.metrics import Accuracy
from deepbp.optimizers import Adam
from deepbp.optimizers.schedules import Cosine
from deepbp.plots import learning_curves, weight_images
from deepbp.typing import Array

SEED = 0
EPOCHS = 10
BATCH_SIZE = 32
LEARNING_RATE = 0.005
LEAST_ACCURACY = 0.98
PICTURE = Path(__file__).parent.parent / "output" / "digits_cnn.png"


def train(x: Array, y: Array, held_out: tuple[Array, Array], seed: int = SEED) -> tuple[Sequential, History]:
    """Train, and return the network and its history; the held-out digits serve for monitoring only."""
    net = Sequential(
        [
            *(Conv2D(16, 3, padding="same"), BatchNorm(), MaxPool2D(2), ReLU()),  # 8 × 8 places, then 4 × 4
            *(Conv2D(32, 3, padding="same"), BatchNorm(), MaxPool2D(2), ReLU()),  # 2 × 2
            *(Flatten(), Dense(10)),
        ],
        input_shape=x.shape[1:],
        rng=seed,
    )
    history = net.fit(
        x,
        y,
        loss=SoftmaxCrossEntropy(),
        optimizer=Adam(Cosine(LEARNING_RATE, EPOCHS * ceil(len(x) / BATCH_SIZE))),
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        validation_data=held_out,
        metrics=[Accuracy()],
    )
    return net, history


def draw(net: Sequential, history: History, digit: Array) -> None:
    """Draw the learning curves, the kernels of the first layer, and its feature maps of one digit."""
    figure = Figure(figsize=(13, 8), layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False)[:, 0]
    loss, accuracy = upper.subplots(1, 2)
    learning_curves(history, ax=loss).set_yscale("log")
    learning_curves(history, "accuracy", ax=accuracy)
    image, kernels, maps = lower.subplots(1, 3)
    image.imshow(digit[:, :, 0], cmap="gray_r")
    image.set_title("a held-out digit")
    image.set_axis_off()
    weight_images(net[0], ax=kernels).set_title("the 16 kernels of the first convolution")
    weight_images(net[0].predict(digit[None])[0], ax=maps).set_title("what they find in the digit")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=100)


def main() -> int:
    """Train, show, draw; returns 1 if the accuracy is below 98 %."""
    x, y = load_digits(return_X_y=True)
    images = (x / 16).astype(np.float32).reshape(-1, 8, 8, 1)  # samples, rows, columns, and one channel
    parts: list[Any] = train_test_split(images, y, test_size=0.2, stratify=y, random_state=0)
    x, x_held_out, y, y_held_out = parts
    net, history = train(x, y, (x_held_out, y_held_out))
    print(net.summary())
    draw(net, history, x_held_out[0])
    wrong = int((net.predict(x_held_out).argmax(axis=1) != y_held_out).sum())
    accuracy = 1 - wrong / len(y_held_out)
    print(f"\naccuracy on {len(y_held_out)} held-out digits: {accuracy:.2%}, {wrong} misclassified")
    print(f"kernels and feature maps: {PICTURE}")
    if accuracy < LEAST_ACCURACY:
        print(f"missed: expected an accuracy of at least {LEAST_ACCURACY:.0%}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
