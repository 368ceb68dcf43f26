"""Exclusive or, the smallest problem that a network without a hidden layer cannot solve.

The example runs the same training with and without a hidden layer. With a hidden layer, the network predicts all four
rows; without one, it predicts a probability of 50 % for each.
"""

import numpy as np

from deepbp import Sequential
from deepbp.layers import Dense, Layer, Sigmoid, Tanh
from deepbp.losses import SigmoidBinaryCrossEntropy
from deepbp.optimizers import Adam
from deepbp.typing import Array

SEED = 0
EPOCHS = 500
CERTAIN = 0.9  # least probability of the target

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([[0], [1], [1], [0]])


def train(*layers: Layer[Array]) -> Sequential:
    """Return a network of these layers, trained on all four rows."""
    net = Sequential(layers, input_shape=2, rng=SEED)
    net.fit(X, Y, loss=SigmoidBinaryCrossEntropy(), optimizer=Adam(0.05), epochs=EPOCHS, batch_size=None)
    return net


def probability(net: Sequential) -> Array:
    """Return P(a xor b = 1) for each row: the sigmoid of the network's output, which is a logit."""
    return Sigmoid().predict(net.predict(X))[:, 0]


def main() -> int:
    """Train and print both networks; returns 1 if the hidden layer does not make the difference."""
    deep, shallow = probability(train(Dense(8), Tanh(), Dense(1))), probability(train(Dense(1)))
    print("         P(a xor b = 1)")
    print("a  b  a xor b  with a hidden layer  without")
    for (a, b), target, one, other in zip(X, Y[:, 0], deep, shallow, strict=True):
        print(f"{a}  {b}  {target:7}  {one:19.1%}  {other:7.1%}")
    right = np.where(Y[:, 0] == 1, deep, 1 - deep) > CERTAIN
    if not right.all() or np.abs(shallow - 0.5).max() > 0.01:
        print(f"missed: expected at least {CERTAIN:.0%} for all targets with a hidden layer, and 50 % without")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
