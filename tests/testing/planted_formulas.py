"""Correct layers, losses and optimizers with a wrong stated formula."""

import numpy as np
from attrs import define, evolve, frozen
from planting import Planted, planter
from right_layers import Square

from deepbp.layers import Dense, Formula, LossFormula, RMSNorm, Sigmoid, SiLU, Sine, Tanh, UpdateFormula
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.losses import SumSquaredError as SumOfSquares
from deepbp.optimizers import SGD, Adam
from deepbp.typing import Array

LAYER_FORMULAS: list[Planted] = []
LOSS_FORMULAS: list[Planted] = []
OPTIMIZER_FORMULAS: list[Planted] = []
planted_layer, planted_loss, planted_optimizer = map(planter, (LAYER_FORMULAS, LOSS_FORMULAS, OPTIMIZER_FORMULAS))


@planted_layer("formula", r"∂L/∂x = 'delta \* \(y \* \(y - 1\)\)' is not what backward gives: it is the negative of it")
@define(eq=False)
class WrongSignInTheDerivative(Sigmoid):
    formula = Formula("1 / (1 + exp(-x))", derivative="y * (y - 1)")


@planted_layer("formula", r"y = '1 / \(1 \+ exp\(x\)\)' is not what forward gives \(at")
@define(eq=False)
class WrongSignInForward(Sigmoid):
    formula = Formula("1 / (1 + exp(x))", derivative="y * (1 - y)")


@planted_layer("formula", r"∂L/∂weight = '-x.T @ delta' is not what backward gives: it is the negative of it")
@define(eq=False)
class WrongSignInTheGradient(Dense):
    units: int = 2

    def stated_formula(self) -> Formula:
        return evolve(self.formula, gradients={"weight": "-x.T @ delta", "bias": "batch_sum(delta)"})


@planted_layer("formula", r"∂L/∂bias = 'batch_sum\(-delta\)' is not what backward gives: it is the negative")
@define(eq=False)
class WrongSignInTheBias(Dense):
    units: int = 2

    def stated_formula(self) -> Formula:
        return evolve(self.formula, gradients={"bias": "batch_sum(-delta)"})


@planted_layer("formula", r"∂L/∂weight = 'delta.T @ x' is not what backward gives \(got shape")
@define(eq=False)
class TransposedGradient(Dense):
    units: int = 2

    def stated_formula(self) -> Formula:
        return evolve(self.formula, gradients={"weight": "delta.T @ x"})


@planted_layer("formula", r"states a gradient of 'wait'; the parameters are: weight, bias")
@define(eq=False)
class MisspeltParameter(Dense):
    units: int = 2

    def stated_formula(self) -> Formula:
        return evolve(self.formula, gradients={"wait": "x.T @ delta"})


@planted_layer("formula", r"lacks the term delta \* y")
@define(eq=False)
class ForgottenTerm(SiLU):
    formula = Formula("x * sigmoid(x)", derivative="sigmoid(x) - y * sigmoid(x)")


@planted_layer("formula", r"have the term .*, where the formula states ")
@define(eq=False)
class WrongTerm(RMSNorm):
    def stated_formula(self) -> Formula:
        return evolve(self.formula, backward=self.formula.backward.replace("/ (row_mean", "/ 2 / (row_mean", 1))


@planted_layer("formula", r"∂L/∂x: backward does not give what the rules derive from 'sin\(x\)': delta \* cos\(x\)")
@define(eq=False)
class StatesForwardAlone(Sine):
    formula = Formula("sin(x)")
    w0: float = 1.0

    def stated_formula(self) -> Formula:
        return self.formula

    def backward(self, z: Array, delta: Array) -> Array:
        return -delta * np.cos(z)


@planted_layer("formula", r"y = 'z\*\*2' cannot be evaluated: .*name 'z' is not defined; it may use .*x")
@define(eq=False)
class UnknownName(Square):
    formula = Formula("z**2")


@planted_layer("formula", r"y = 'x if 1 else x' cannot be evaluated: .*cannot be set in type")
@define(eq=False)
class CannotBePrinted(Tanh):
    formula = Formula("x if 1 else x")


@planted_layer("formula", r"∂L/∂x = 'delta \* \(x\)' is not what backward gives \(at")
@define(eq=False)
class ForgottenTwoInTheDerivative(Square):
    formula = Formula("x**2", derivative="x")


@planted_loss("formula", r"∂L/∂prediction = '2 \* scale \* \(target - prediction\)' .* it is the negative of it")
@frozen
class WrongSignInTheSignal(SumOfSquares):
    formula = LossFormula("scale * total((prediction - target)**2)", "2 * scale * (target - prediction)")


@planted_loss("formula", r"L = 'scale \* total\(\(prediction \+ target\)\*\*2\)' is not what forward gives")
@frozen
class WrongSignInTheValue(SumOfSquares):
    formula = LossFormula("scale * total((prediction + target)**2)", "2 * scale * (prediction - target)")


@planted_loss("formula", r"∂L/∂prediction = 'softmax\(prediction\) - target' is not what backward gives")
@frozen
class ForgottenMean(SoftmaxCrossEntropy):
    formula = evolve(SoftmaxCrossEntropy.formula, delta="softmax(prediction) - target")


@planted_optimizer("formula", r"w = 'w \+ rate \* g' is not what step, at step 0, gives")
@frozen
class WrongSignInTheUpdate(SGD):
    def stated_formula(self) -> UpdateFormula:
        return UpdateFormula((("w", "w + rate * g"),))


@planted_optimizer("formula", r"square = 'beta2 \* square \+ \(1 - beta2\) \* g' is not what step, at step 0, gives")
@frozen
class ForgottenSquare(Adam):
    def stated_formula(self) -> UpdateFormula:
        mean, (name, _), step = super().stated_formula().assignments
        return UpdateFormula((mean, (name, "beta2 * square + (1 - beta2) * g"), step))


@planted_optimizer("formula", r"w = .* is not what step, at step 0, gives")
@frozen
class EpsilonInsideTheRoot(Adam):
    epsilon: float = 1e-3

    def stated_formula(self) -> UpdateFormula:
        mean, square, _ = super().stated_formula().assignments
        corrected = "(mean / (1 - beta1**t)) / sqrt(square / (1 - beta2**t) + epsilon)"
        return UpdateFormula((mean, square, ("w", f"w - rate * {corrected}")))
