"""Fit a curve by Levenberg-Marquardt, and compare with the answer that the NIST certifies.

Real data: Misra1a of the NIST's Statistical Reference Datasets, 14 measurements of how much of a dental material's
monolayer is adsorbed at which pressure. The curve is y = b1 (1 - e^(-b2 x)). As a network it is a weight, the function
1 - e^(-z) with its derivative e^(-z), and another weight: the gradients, and the Jacobian of all residuals, come from
backpropagation. The certified values are known to eleven digits.

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
START = {"b1": 500.0, "b2": 0.0001}  # the first, and harder, of the two that the NIST proposes
CERTIFIED = {"b1": 2.3894212918e02, "b2": 5.5015643181e-04, "sum of squares": 1.2455138894e-01}
DIGITS = 6.0
ITERATIONS = 100


def adsorption() -> Sequential:
    """y = b1 (1 - e^(-b2 x)), at the start."""
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
    """Fit and compare; 1 when fewer digits agree than claimed."""
    x, y = np.reshape(PRESSURE, (-1, 1)), np.reshape(ADSORBED, (-1, 1))
    net = adsorption()
    done = fit_levenberg_marquardt(net, x, y, SumSquaredError(), max_iterations=ITERATIONS)
    b2, b1 = (parameter.value.item() for parameter in net.parameters())
    reached = {"b1": b1, "b2": b2, "sum of squares": net.evaluate(x, y, loss=SumSquaredError())["loss"]}
    print(f"{done.epochs - 1} iterations from b1 = {START['b1']:g}, b2 = {START['b2']:g}\n")
    print(f"{'':15} {'certified':>18} {'reached':>18}   digits that agree")
    agree = {}
    for name, certified in CERTIFIED.items():
        agree[name] = -np.log10(max(abs(reached[name] - certified) / certified, 1e-16))
        print(f"{name:15} {certified:18.10e} {reached[name]:18.10e}   {agree[name]:.1f}")
    if min(agree.values()) < DIGITS:
        print(f"missed: at least {DIGITS:g} digits should agree")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
