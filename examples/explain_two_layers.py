"""The handwritten pages, written out for their own network, with the numbers of one step and one weight explained.

The derivation comes from the formulas that the layers state. Its last lines are the pages' own d₂ and d₁, and the
numbers of the step are held against the pages' calculation, done here by hand.
"""

import numpy as np

from deepbp import Sequential
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import SumSquaredError
from deepbp.typing import Array

SEED = 0
LARGEST_DIFFERENCE = 1e-15
LINES = (
    "d₂ = layer1ᵀ [2(y − ŷ) · σ′(ŷ)] = −∂L/∂W²",
    "d₁ = inputᵀ { [2(y − ŷ) · σ′(ŷ)] weights2ᵀ · σ′(layer1) } = −∂L/∂W¹",
)

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
Y = np.array([[0], [1], [1], [0]], dtype=float)


def by_hand(weights1: Array, weights2: Array) -> tuple[Array, Array]:
    """The changes d₁ and d₂ of the weights, as the pages calculate them."""
    layer1 = 1 / (1 + np.exp(-(X @ weights1)))
    output = 1 / (1 + np.exp(-(layer1 @ weights2)))
    bracket = 2 * (Y - output) * output * (1 - output)
    return X.T @ (bracket @ weights2.T * layer1 * (1 - layer1)), layer1.T @ bracket


def main() -> int:
    """Print the pages; 1 when a line of them is missing or a number is another."""
    first, second = Dense(4, use_bias=False), Dense(1, use_bias=False)
    net = Sequential([first, Sigmoid(), second, Sigmoid()], input_shape=3, rng=SEED, dtype="float64")
    loss = SumSquaredError()

    pages = str(net.derivation(loss))
    trace = net.trace(X, Y, loss)
    print(pages)
    print(trace)
    print(trace.explain("0.weight", (1, 2)))

    d1, d2 = by_hand(first.weight.value, second.weight.value)
    gradients = trace["0"].gradients["weight"], trace["2"].gradients["weight"]
    difference = max(np.abs(d1 + gradients[0]).max(), np.abs(d2 + gradients[1]).max())
    print(f"\nlargest difference of d₁ and d₂, calculated by hand, from the negative gradients: {difference:.1e}")
    if missing := [line for line in LINES if line not in pages]:
        print(f"missed: the derivation should contain {missing[0]}")
        return 1
    if not difference <= LARGEST_DIFFERENCE:
        print(f"missed: the numbers should agree to {LARGEST_DIFFERENCE:.0e}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
