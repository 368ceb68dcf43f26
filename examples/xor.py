"""Exclusive or, the smallest problem that a network without a hidden layer cannot solve.

The same training is run with and without a hidden layer: the first gets all four rows right, the second cannot.
"""

import numpy as np

from deepbp import Sequential
from deepbp.layers import Dense, Layer, Tanh
from deepbp.losses import SigmoidBinaryCrossEntropy
from deepbp.optimizers import Adam
from deepbp.training import BinaryAccuracy
from deepbp.typing import Array

SEED = 0
EPOCHS = 500

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([[0], [1], [1], [0]])


def train(*layers: Layer[Array]) -> Sequential:
    """A network of these layers, trained on all four rows."""
    net = Sequential(layers, input_shape=2, rng=SEED)
    net.fit(X, Y, loss=SigmoidBinaryCrossEntropy(), optimizer=Adam(0.05), epochs=EPOCHS, batch_size=None)
    return net


def accuracy(net: Sequential) -> float:
    """The share of the four rows that it gets right."""
    on_logits = BinaryAccuracy(threshold=0.0)  # the net's outputs are scores; a score above 0 means 1
    return net.evaluate(X, Y, loss=SigmoidBinaryCrossEntropy(), metrics=[on_logits])["binary_accuracy"]


def main() -> int:
    """Train both networks and print them; 1 when the deep one is not right on all four rows."""
    deep = train(Dense(8), Tanh(), Dense(1))
    shallow = train(Dense(1))
    print("a  b  a xor b  score with a hidden layer  score without")
    for (a, b), target, score, flat in zip(X, Y[:, 0], deep.predict(X)[:, 0], shallow.predict(X)[:, 0], strict=True):
        print(f"{a}  {b}  {target:7}  {score:25.2f}  {flat:13.2f}")
    print(f"right: {accuracy(deep):.0%} with a hidden layer, {accuracy(shallow):.0%} without")
    if accuracy(deep) < 1:
        print("missed: with a hidden layer all four should be right")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
