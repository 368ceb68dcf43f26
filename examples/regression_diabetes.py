"""Predict how a patient's diabetes progresses within a year, and compare a network with a straight line.

Real data: 442 patients, ten measurements each. Every patient is predicted once, in one of five held-out folds, by
models that have not seen that patient. On so few and so noisy samples there is little beyond the linear relations:
what is claimed is that a network of three layers, held back by weight decay, does not fall behind the linear model.
"""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from deepbp import Sequential
from deepbp.layers import Dense, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import AdamW
from deepbp.typing import Array

SEED = 0
EPOCHS = 60
LARGEST_SHORTFALL = 0.02


def predict_with_net(x: Array, y: Array, x_held_out: Array) -> Array:
    """Train on (x, y) and predict; both are scaled to mean 0 and variance 1 by what the training data say."""
    center, spread, level, range_ = x.mean(axis=0), x.std(axis=0), y.mean(), y.std()
    net = Sequential([Dense(32), Tanh(), Dense(16), Tanh(), Dense(1)], input_shape=x.shape[1:], rng=SEED)
    net.fit(
        (x - center) / spread,
        ((y - level) / range_).reshape(-1, 1),
        loss=MeanSquaredError(),
        optimizer=AdamW(0.003, weight_decay=1.0),
        epochs=EPOCHS,
    )
    predicted: Array = net.predict((x_held_out - center) / spread)[:, 0] * range_ + level
    return predicted


def main() -> int:
    """Compare on five held-out folds; 1 when the net falls behind the linear model."""
    x, y = load_diabetes(return_X_y=True)
    linear, net = np.empty_like(y), np.empty_like(y)
    print("R² on held-out patients\nfold   linear    net")
    for fold, (seen, held_out) in enumerate(KFold(5, shuffle=True, random_state=SEED).split(x), start=1):
        linear[held_out] = LinearRegression().fit(x[seen], y[seen]).predict(x[held_out])
        net[held_out] = predict_with_net(x[seen], y[seen], x[held_out])
        print(f"{fold:4}   {r2_score(y[held_out], linear[held_out]):6.3f} {r2_score(y[held_out], net[held_out]):6.3f}")
    of_linear, of_net = r2_score(y, linear), r2_score(y, net)
    print(f" all   {of_linear:6.3f} {of_net:6.3f}")
    verdict = "beats" if of_net > of_linear else "does not beat"
    print(f"the net {verdict} the linear model: its R² is {abs(of_net - of_linear):.3f}", end=" ")
    print("higher" if of_net > of_linear else "lower")
    if of_linear - of_net > LARGEST_SHORTFALL:
        print(f"missed: it should be at most {LARGEST_SHORTFALL} lower")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
