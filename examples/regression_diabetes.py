"""Regression with cross-validation: a network and a linear model predict the progression of diabetes.

The data set has ten measurements of 442 patients. In 5-fold cross-validation, models predict each patient once,
without having seen this patient in training. On so few and noisy samples, little can be learned beyond linear
relations. The example shows that a network of three layers, regularized by weight decay, is about as good as the
linear model.
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
    """Train on (x, y) and predict; both are standardized with the statistics of the training data."""
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
    """Compare in 5-fold cross-validation; returns 1 if the network is worse than the linear model."""
    x, y = map(np.asarray, load_diabetes(return_X_y=True))
    linear, net = np.empty_like(y), np.empty_like(y)
    print("R² on held-out patients\nfold   linear network")
    for fold, (seen, held_out) in enumerate(KFold(5, shuffle=True, random_state=SEED).split(x), start=1):
        linear[held_out] = LinearRegression().fit(x[seen], y[seen]).predict(x[held_out])
        net[held_out] = predict_with_net(x[seen], y[seen], x[held_out])
        print(f"{fold:4}   {r2_score(y[held_out], linear[held_out]):6.3f} {r2_score(y[held_out], net[held_out]):7.3f}")
    of_linear, of_net = r2_score(y, linear), r2_score(y, net)
    print(f" all   {of_linear:6.3f} {of_net:7.3f}")
    comparison = "higher" if of_net > of_linear else "lower"
    print(f"the R² of the network is {abs(of_net - of_linear):.3f} {comparison} than that of the linear model")
    if of_linear - of_net > LARGEST_SHORTFALL:
        print(f"missed: expected at most {LARGEST_SHORTFALL} lower")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
