"""Predict how a patient's diabetes progresses within a year, and between which two numbers it will lie.

Real data: 442 patients, ten measurements each. The network has three outputs, trained to be the 10 %, 50 % and 90 %
quantiles: eight of ten patients should lie between the first and the last. Every patient is predicted in one of five
held-out folds by a network that has not seen that patient. Claimed is that the share between is close to 80 %,
that the intervals differ from patient to patient, and that they are better than the same interval for all.
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
LARGEST_DIFFERENCE = 0.06  # of the share that lies between
LOSS = Quantile(QUANTILES)


def predict_quantiles(x: Array, y: Array, x_held_out: Array) -> Array:
    """Train on (x, y) and predict; all are scaled by what the training data say."""
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
    return np.sort(predicted, axis=1)  # so that quantiles never cross


def pinball(predicted: Array, y: Array) -> float:
    """The loss in the units of y."""
    return LOSS.forward(predicted, y.reshape(-1, 1))[0]


def main() -> int:
    """Predict all patients; 1 when a claim is missed."""
    x, y = load_diabetes(return_X_y=True)
    predicted, constant = np.empty((len(y), 3)), np.empty((len(y), 3))
    for seen, held_out in k_fold(len(y), folds=5, rng=SEED):
        predicted[held_out] = predict_quantiles(x[seen], y[seen], x[held_out])
        constant[held_out] = np.quantile(y[seen], QUANTILES)
    low, middle, high = predicted.T
    print("patient    10 %   50 %   90 %   what happened")
    for patient in range(0, 100, 10):
        print(f"{patient:7}  {low[patient]:6.0f} {middle[patient]:6.0f} {high[patient]:6.0f}   {y[patient]:.0f}")
    share, width = np.mean((low <= y) & (y <= high)), high - low
    net, same = pinball(predicted, y), pinball(constant, y)
    print(f"{share:.1%} of the patients lie between; the intervals are {width.min():.0f} to {width.max():.0f} wide")
    print(f"pinball loss {net:.2f}; with the same interval for all {same:.2f}")
    if abs(share - SHARE) > LARGEST_DIFFERENCE or net > 0.9 * same or width.max() < 1.5 * width.min():
        print(f"missed: {SHARE:.0%} should lie between, and intervals of their own be better by a tenth")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
