"""Quantile regression: prediction intervals for the progression of diabetes.

The data set has ten measurements of 442 patients. The network has three outputs, the 10 %, 50 % and 90 % quantiles, so
that 80 % of the patients should lie between the first and the last. In 5-fold cross-validation, networks predict each
patient once, without having seen this patient in training. The example shows that the coverage is close to 80 %, that
the intervals differ between patients, and that they are better than one interval for all.
"""

import numpy as np
from sklearn.datasets import load_diabetes

from deepbp import Sequential
from deepbp.layers import Dense, Tanh
from deepbp.losses import Quantile
from deepbp.optimizers import AdamW
from deepbp.training import k_fold
from deepbp.typing import Array

SEED = 0
EPOCHS = 60
QUANTILES = (0.1, 0.5, 0.9)
SHARE = 0.8
LARGEST_DIFFERENCE = 0.06  # of the coverage from 80 %
LOSS = Quantile(QUANTILES)


def predict_quantiles(x: Array, y: Array, x_held_out: Array) -> Array:
    """Train on (x, y) and predict; all are standardized with the statistics of the training data."""
    center, spread, level, range_ = x.mean(axis=0), x.std(axis=0), y.mean(), y.std()
    net = Sequential([Dense(16), Tanh(), Dense(len(QUANTILES))], input_shape=x.shape[1:], rng=SEED)
    net.fit(
        (x - center) / spread,
        ((y - level) / range_).reshape(-1, 1),
        loss=LOSS,
        optimizer=AdamW(0.003, weight_decay=1.0),
        epochs=EPOCHS,
    )
    predicted: Array = net.predict((x_held_out - center) / spread) * range_ + level
    return np.sort(predicted, axis=1)  # prevents quantile crossing


def pinball(predicted: Array, y: Array) -> float:
    """Return the pinball loss in the units of y."""
    return LOSS.forward(predicted, y.reshape(-1, 1))[0]


def main() -> int:
    """Predict all patients; returns 1 if a result is worse than expected."""
    x, y = map(np.asarray, load_diabetes(return_X_y=True))
    predicted, constant = np.empty((len(y), 3)), np.empty((len(y), 3))
    for seen, held_out in k_fold(len(y), folds=5, rng=SEED):
        predicted[held_out] = predict_quantiles(x[seen], y[seen], x[held_out])
        constant[held_out] = np.quantile(y[seen], QUANTILES)
    low, middle, high = predicted.T
    print("patient    10 %   50 %   90 %   actual")
    for patient in range(0, 100, 10):
        print(f"{patient:7}  {low[patient]:6.0f} {middle[patient]:6.0f} {high[patient]:6.0f}   {y[patient]:.0f}")
    share, width = np.mean((low <= y) & (y <= high)), high - low
    net, same = pinball(predicted, y), pinball(constant, y)
    print(f"coverage {share:.1%}; widths of the intervals from {width.min():.0f} to {width.max():.0f}")
    print(f"pinball loss {net:.2f}; with one interval for all patients {same:.2f}")
    if abs(share - SHARE) > LARGEST_DIFFERENCE or net > 0.9 * same or width.max() < 1.5 * width.min():
        print(f"missed: expected a coverage of {SHARE:.0%}, and a loss 10 % below that of one interval for all")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
