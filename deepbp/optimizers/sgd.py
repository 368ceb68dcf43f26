"""Gradient descent with momentum."""

from typing import Any

from attrs import field, frozen

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import boolean, fraction, non_negative, rate_or_schedule
from deepbp.formulas.language import UpdateFormula
from deepbp.kernels import unchecked as kernels
from deepbp.optimizers.optimizer import (
    SYMBOLS,
    Descent,
    Schedule,
    State,
    decayed_gradient,
    lower_decayed_gradient,
    zeros,
)
from deepbp.parameters import ParameterVector
from deepbp.typing import Array


@frozen
class SGD(Descent):
    """Stochastic gradient descent, w ← w − η g, with optional momentum and weight decay.

    With momentum μ: v ← μ v + g and w ← w − η v; with Nesterov momentum: w ← w − η (g + μ v).

    Args:
        learning_rate: η, a number or a schedule, a callable of the step.
        momentum: μ, at least 0 and below 1.
        nesterov: apply the momentum of the next step already in this one (needs a momentum).
        weight_decay: λ adds λ w to the gradient, for parameters of two or more dimensions only: not for biases.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, sgd = ParameterVector([Parameter(np.array([2.0]))]), optimizers.SGD(0.1, momentum=0.5)
    >>> parameters.grads[:] = 4.0
    >>> sgd.step(parameters, state := sgd.start(parameters))  # v = 4
    >>> sgd.step(parameters, state)  # v = 0.5 · 4 + 4
    >>> parameters.values.round(6)  # 2 − 0.1 · 4 − 0.1 · 6
    array([1.])

    Source: the notes' step 6; Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013. The velocity does not
    contain η, so a schedule takes effect at once (PyTorch's convention; Keras's differs).
    """

    learning_rate: float | Schedule = field(validator=rate_or_schedule)
    momentum: float = field(default=0.0, validator=fraction)
    nesterov: bool = field(default=False, validator=boolean)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def __attrs_post_init__(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ConfigurationError("SGD: nesterov=True needs a momentum above 0, got momentum=0.0: try 0.9")

    def stated_formula(self) -> UpdateFormula:
        gradient = "g + weight_decay * w" if self.weight_decay else "g"  # in one row, as the notes write it
        if not self.momentum:
            return UpdateFormula((("w", f"w - rate * ({gradient})"),), symbols=SYMBOLS)
        velocity = ("velocity", f"momentum * velocity + ({gradient})")
        step = f"({gradient}) + momentum * velocity" if self.nesterov else "velocity"
        return UpdateFormula((velocity, ("w", f"w - rate * ({step})")), symbols=SYMBOLS)

    def start(self, parameters: ParameterVector) -> State:
        return zeros(parameters, *["velocity"] * bool(self.momentum))

    def _takes_sparse(self) -> bool:
        return not (self.momentum or self.weight_decay)

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        if self.weight_decay:
            grads = decayed_gradient(parameters, grads, self.weight_decay)
        if self.momentum:
            kernels.sgd_momentum(parameters.values, grads, state["velocity"], rate, self.momentum, self.nesterov)
        else:
            kernels.sgd(parameters.values, grads, rate)

    def _lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        rows, grads = lower_decayed_gradient(parameters, self.weight_decay, checked=False)
        w, size = parameters.values, grads.size
        if not self.momentum:
            return [*rows, ("sgd", w, grads, size)]
        return [*rows, ("sgd_momentum", w, grads, state["velocity"], size, int(self.nesterov), float(self.momentum))]
