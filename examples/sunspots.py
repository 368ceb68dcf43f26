"""Forecast sunspots: a recurrent layer against an autoregression, from the twelve years before.

The yearly numbers of sunspots since 1700 are a classical series for forecasts. Both models learn from the years to 1920
and predict the next year from twelve years. The error is the average relative variance: the mean squared error divided
by the variance of the series, so that 1 is the error of always predicting the mean. From 1956 on, the cycles are larger
than any before, and no model that has not seen them does well.

The numbers are those of the Royal Observatory of Belgium, before their revision in 2015, which papers use.
Source: Tong & Lim 1980; Weigend, Huberman & Rumelhart 1990, "Predicting the future: a connectionist approach".
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view

from deepbp import Sequential
from deepbp.layers import GRU, Dense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam
from deepbp.typing import Array

FIRST_YEAR = 1700
# fmt: off
SUNSPOTS = np.array([
    5, 11, 16, 23, 36, 58, 29, 20, 10, 8, 3, 0, 0, 2, 11, 27, 47, 63, 60, 39, 28, 26, 22, 11, 21, 40, 78, 122, 103,
    73, 47, 35, 11, 5, 16, 34, 70, 81, 111, 101, 73, 40, 20, 16, 5, 11, 22, 40, 60, 80.9, 83.4, 47.7, 47.8, 30.7,
    12.2, 9.6, 10.2, 32.4, 47.6, 54, 62.9, 85.9, 61.2, 45.1, 36.4, 20.9, 11.4, 37.8, 69.8, 106.1, 100.8, 81.6, 66.5,
    34.8, 30.6, 7, 19.8, 92.5, 154.4, 125.9, 84.8, 68.1, 38.5, 22.8, 10.2, 24.1, 82.9, 132, 130.9, 118.1, 89.9, 66.6,
    60, 46.9, 41, 21.3, 16, 6.4, 4.1, 6.8, 14.5, 34, 45, 43.1, 47.5, 42.2, 28.1, 10.1, 8.1, 2.5, 0, 1.4, 5, 12.2,
    13.9, 35.4, 45.8, 41.1, 30.1, 23.9, 15.6, 6.6, 4, 1.8, 8.5, 16.6, 36.3, 49.6, 64.2, 67, 70.9, 47.8, 27.5, 8.5,
    13.2, 56.9, 121.5, 138.3, 103.2, 85.7, 64.6, 36.7, 24.2, 10.7, 15, 40.1, 61.5, 98.5, 124.7, 96.3, 66.6, 64.5,
    54.1, 39, 20.6, 6.7, 4.3, 22.7, 54.8, 93.8, 95.8, 77.2, 59.1, 44, 47, 30.5, 16.3, 7.3, 37.6, 74, 139, 111.2,
    101.6, 66.2, 44.7, 17, 11.3, 12.4, 3.4, 6, 32.3, 54.3, 59.7, 63.7, 63.5, 52.2, 25.4, 13.1, 6.8, 6.3, 7.1, 35.6,
    73, 85.1, 78, 64, 41.8, 26.2, 26.7, 12.1, 9.5, 2.7, 5, 24.4, 42, 63.5, 53.8, 62, 48.5, 43.9, 18.6, 5.7, 3.6, 1.4,
    9.6, 47.4, 57.1, 103.9, 80.6, 63.6, 37.6, 26.1, 14.2, 5.8, 16.7, 44.3, 63.9, 69, 77.8, 64.9, 35.7, 21.2, 11.1,
    5.7, 8.7, 36.1, 79.7, 114.4, 109.6, 88.8, 67.8, 47.5, 30.6, 16.3, 9.6, 33.2, 92.6, 151.6, 136.3, 134.7, 83.9,
    69.4, 31.5, 13.9, 4.4, 38, 141.7, 190.2, 184.8, 159, 112.3, 53.9, 37.6, 27.9, 10.2, 15.1, 47, 93.8, 105.9, 105.5,
    104.5, 66.6, 68.9, 38, 34.5, 15.5, 12.6, 27.5, 92.5, 155.4,
])
# fmt: on
YEARS_BEFORE = 12
EPOCHS = 120
SEEDS = 3
PICTURE = Path(__file__).parents[1] / "output" / "sunspots.png"


def main() -> int:
    """Train both, print their errors, and draw the forecasts; returns 1 if the recurrent layer is not better."""
    scaled = SUNSPOTS / 100
    windows = sliding_window_view(scaled, YEARS_BEFORE + 1)
    x, y = windows[:, :-1], windows[:, -1]
    years = FIRST_YEAR + YEARS_BEFORE + np.arange(len(y))
    known, next_years, large = years <= 1920, (years > 1920) & (years <= 1955), years > 1955

    with_constant = np.column_stack([x, np.ones(len(x))])
    coefficients = np.linalg.lstsq(with_constant[known], y[known], rcond=None)[0]
    linear = with_constant @ coefficients

    forecasts = []
    for seed in range(SEEDS):
        net = Sequential([GRU(8), Dense(1)], input_shape=(None, 1), rng=seed)
        net.fit(x[known][:, :, None], y[known][:, None], loss=MeanSquaredError(), optimizer=Adam(0.01), epochs=EPOCHS)
        forecasts.append(net.predict(x[:, :, None])[:, 0])

    def error(forecast: Array, part: Array) -> float:
        return float(np.mean((forecast[part] - y[part]) ** 2) / scaled.var())

    def errors(made: list[Array]) -> list[float]:
        return [float(np.mean([error(one, part) for one in made])) for part in (known, next_years, large)]

    print(f"{'average relative variance':32} 1712-1920  1921-1955  1956-1979")
    recurrent = errors(forecasts)
    rows = {"the year before": errors([x[:, -1]]), "autoregression": errors([linear])}
    for name, found in {**rows, f"GRU(8), the mean of {SEEDS} seeds": recurrent}.items():
        print(f"{name:32} {found[0]:9.3f} {found[1]:10.3f} {found[2]:10.3f}")

    draw(years, 100 * y, 100 * linear, 100 * np.mean(forecasts, axis=0))
    print(f"\nforecasts: {PICTURE}")
    if recurrent[1] >= rows["autoregression"][1]:
        print("missed: expected a smaller error of the GRU than of the autoregression in 1921-1955")
        return 1
    return 0


def draw(years: Array, sunspots: Array, linear: Array, recurrent: Array) -> None:
    """Draw the forecasts since 1900."""
    shown = years >= 1900
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(years[shown], sunspots[shown], color="black", label="sunspots")
    axes.plot(years[shown], linear[shown], "--", label="autoregression")
    axes.plot(years[shown], recurrent[shown], label="GRU")
    axes.axvline(1920.5, color="grey", linestyle=":")
    axes.set(xlabel="year; the models have not seen those behind the dotted line", ylabel="sunspots")
    axes.legend(frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    raise SystemExit(main())
