"""The handwritten derivation for two layers and deepbp give the same numbers for 1500 steps.

The network is 3-4-1 without biases; the loss is the sum of squared errors. The handwritten loop adds the negative
gradient, 2(y − ŷ) …; deepbp computes the gradient, 2(ŷ − y) …, and its optimizer subtracts it.
"""

import numpy as np

from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Array

SEED = 0
STEPS = 1500
LARGEST_DIFFERENCE = 1e-10

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
Y = np.array([[0], [1], [1], [0]], dtype=float)


def sigmoid(z: Array) -> Array:
    """σ(z)."""
    a: Array = 1 / (1 + np.exp(-z))
    return a


def sigmoid_derivative(a: Array) -> Array:
    """σ′(z), expressed by the output a = σ(z)."""
    derivative: Array = a * (1 - a)
    return derivative


def by_hand(weights1: Array, weights2: Array) -> tuple[float, Array, Array]:
    """Return the loss, and the weight changes d₁ and d₂, by the formulas of the handwritten pages."""
    layer1 = sigmoid(X @ weights1)
    output = sigmoid(layer1 @ weights2)
    signal = 2 * (Y - output) * sigmoid_derivative(output)
    d2 = layer1.T @ signal
    d1 = X.T @ (signal @ weights2.T * sigmoid_derivative(layer1))
    return float(np.sum((Y - output) ** 2)), d1, d2


def main() -> int:
    """Train by hand and with deepbp, and print both; returns 1 if the weights differ."""
    first, second = Dense(4, use_bias=False), Dense(1, use_bias=False)
    net = Sequential([first, Sigmoid(), second, Sigmoid()], input_shape=3, rng=SEED, dtype="float64")
    trainer = Trainer(net, SumSquaredError(), SGD(learning_rate=1.0))
    weights1, weights2 = first.weight.value.copy(), second.weight.value.copy()

    print("step   loss by hand       loss by deepbp")
    first_changes = 0.0
    for step in range(STEPS):
        loss, d1, d2 = by_hand(weights1, weights2)
        weights1 += d1
        weights2 += d2
        deepbp_loss = trainer.step(X, Y)
        if step == 0:
            first_changes = max(np.abs(d1 + first.weight.grad).max(), np.abs(d2 + second.weight.grad).max())
        if step % 250 == 0 or step == STEPS - 1:
            print(f"{step:4}   {loss:.14f}   {deepbp_loss:.14f}")

    print("\ninput      target   by hand            by deepbp")
    hand = sigmoid(sigmoid(X @ weights1) @ weights2)
    for x, target, one, other in zip(X, Y, hand[:, 0], net.predict(X)[:, 0], strict=True):
        print(f"{x.astype(int)}       {target[0]:.0f}   {one:.14f}   {other:.14f}")

    difference = max(np.abs(weights1 - first.weight.value).max(), np.abs(weights2 - second.weight.value).max())
    print(f"\nlargest difference between d1, d2 and the negative gradients, first step: {first_changes:.1e}")
    print(f"largest difference of the weights after {STEPS} steps: {difference:.1e}")
    if not difference <= LARGEST_DIFFERENCE:
        print(f"missed: expected a difference of at most {LARGEST_DIFFERENCE:.0e}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
