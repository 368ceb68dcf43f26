"""Fit a curve with the Levenberg-Marquardt algorithm, and compare the result with values certified by NIST.

The data set Misra1a of NIST's Statistical Reference Datasets has 14 measurements of monolayer adsorption at different
pressures. The model y = b1 (1 - e^(-b2 x)) is a network of a weight, the activation 1 - e^(-z) with derivative e^(-z),
and another weight. Backpropagation computes the Jacobian of the residuals. The certified values have eleven digits.

Source: https://www.itl.nist.gov/div898/strd/nls/data/misra1a.shtml
"""

import numpy as np

from deepbp import Sequential
from deepbp.initializers import Constant
from deepbp.layers import Activation, Dense
from deepbp.losses import SumSquaredError
from deepbp.training import fit_levenberg_marquardt

PRESSURE = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0]
ADSORBED = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78]
START = {"b1": 500.0, "b2": 0.0001}  # the first, more difficult start of the two that NIST suggests
CERTIFIED = {"b1": 2.3894212918e02, "b2": 5.5015643181e-04, "sum of squares": 1.2455138894e-01}
DIGITS = 6.0
ITERATIONS = 100


def adsorption() -> Sequential:
    """Return the network y = b1 (1 - e^(-b2 x)) with the initial parameters."""
    return Sequential(
        [
            Dense(1, use_bias=False, weight_init=Constant(START["b2"])),
            Activation(lambda z: -np.expm1(-z), lambda z: np.exp(-z)),
            Dense(1, use_bias=False, weight_init=Constant(START["b1"])),
        ],
        input_shape=1,
        dtype="float64",
    )


def main() -> int:
    """Fit and compare; returns 1 if too few digits agree."""
    x, y = np.reshape(PRESSURE, (-1, 1)), np.reshape(ADSORBED, (-1, 1))
    net = adsorption()
    done = fit_levenberg_marquardt(net, x, y, SumSquaredError(), max_iterations=ITERATIONS)
    b2, b1 = (parameter.value.item() for parameter in net.parameters())
    reached = {"b1": b1, "b2": b2, "sum of squares": net.evaluate(x, y, loss=SumSquaredError())["loss"]}
    print(f"{done.epochs - 1} iterations from b1 = {START['b1']:g}, b2 = {START['b2']:g}\n")
    print(f"{'':15} {'certified':>18} {'fitted':>18}   matching digits")
    agree = {}
    for name, certified in CERTIFIED.items():
        agree[name] = -np.log10(max(abs(reached[name] - certified) / certified, 1e-16))
        print(f"{name:15} {certified:18.10e} {reached[name]:18.10e}   {agree[name]:.1f}")
    if min(agree.values()) < DIGITS:
        print(f"missed: expected at least {DIGITS:g} matching digits")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
