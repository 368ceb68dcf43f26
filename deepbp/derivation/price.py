"""What is added to the loss: penalties, as steps of their own."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from deepbp.derivation.expressions import with_values
from deepbp.derivation.step import Forms, Step
from deepbp.layers import Penalty
from deepbp.layers.pen import Symbol


@frozen(eq=False)
class Price(Step):
    """A number that is added to the loss: a penalty of the parameter "w", or of outputs.

    ``penalty`` is None where a layer adds something by itself, whose gradients are then in what that layer passes back.
    """

    penalty: Penalty | None

    @property
    def symbols(self) -> Mapping[str, Symbol]:
        return {"w": self.paid_for, "y": self.output, "samples": Symbol("B")}

    @property
    def paid_for(self) -> Symbol:
        """What is penalised: W¹, or a¹."""
        return self.parameters.get("w") or self.inputs[0]

    def made(self) -> Forms:
        penalty = self.penalty
        if penalty is None:
            return ("f(w)",), {**self.symbols, "f": Symbol(f"{self.kind}.penalty")}
        if penalty.formula is None:
            return (self._mean("f(w)"),), {**self.symbols, "f": Symbol(type(penalty).__name__)}
        return (with_values(self._mean(penalty.formula.value), penalty),), dict(self.symbols)

    def passed_back(self, index: int = 0) -> Forms:
        return self._derivative()

    def gradient(self, name: str) -> Forms:
        return self._derivative()

    def _derivative(self) -> Forms:
        penalty = self.penalty
        assert penalty is not None, "such a layer passes its own back"
        if penalty.formula is None:
            return (self._mean("prime(w)"),), {**self.symbols, "prime": Symbol(f"{type(penalty).__name__}′")}
        return (with_values(self._mean(penalty.formula.gradient), penalty),), dict(self.symbols)

    def _mean(self, expression: str) -> str:
        """Of outputs, the mean over the samples."""
        return expression if self.parameters else f"({expression}) / samples"


def layers_in(steps: Sequence[Step]) -> list[Step]:
    """Without the penalties: what makes signals."""
    return [step for step in steps if not isinstance(step, Price)]


def last_signal(steps: Sequence[Step]) -> Symbol:
    """The network's output."""
    return layers_in(steps)[-1].output
