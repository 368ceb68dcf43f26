"""Gradient descent: a step against the gradient, with or without momentum."""

import numpy as np
from attrs import field, frozen

from deepbp import kernels
from deepbp.errors import ConfigurationError
from deepbp.errors.validators import boolean, fraction, non_negative
from deepbp.formulas.language import UpdateFormula
from deepbp.optimizers.optimizer import Descent, Schedule, State, decayed_gradient, rate_or_schedule
from deepbp.parameters import ParameterVector

SYMBOLS = {"rate": "η", "momentum": "μ", "velocity": "v", "weight_decay": "λ"}


@frozen
class SGD(Descent):
    """w ← w − η g. With momentum μ: v ← μ v + g and w ← w − η v; with Nesterov's: w ← w − η (g + μ v).

    Args:
        learning_rate: η, a number or a callable of the step.
        momentum: μ, at least 0 and below 1.
        nesterov: look ahead along v before the step (needs a momentum).
        weight_decay: λ adds λ w to the gradient, for parameters of two or more dimensions only: not for biases.

    Source: the notes' step 6; Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013. The velocity does not
    contain η, so that a schedule acts at once (PyTorch's convention; Keras's differs).
    """

    learning_rate: float | Schedule = field(validator=rate_or_schedule)
    momentum: float = field(default=0.0, validator=fraction)
    nesterov: bool = field(default=False, validator=boolean)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def __attrs_post_init__(self) -> None:
        if self.nesterov and self.momentum == 0:
            raise ConfigurationError("SGD: nesterov=True needs a momentum above 0, got momentum=0.0: try 0.9")

    def stated_formula(self) -> UpdateFormula:
        gradient = "g + weight_decay * w" if self.weight_decay else "g"
        if not self.momentum:
            return UpdateFormula((("w", f"w - rate * ({gradient})"),), symbols=SYMBOLS)
        velocity = ("velocity", f"momentum * velocity + ({gradient})")
        step = f"({gradient}) + momentum * velocity" if self.nesterov else "velocity"
        return UpdateFormula((velocity, ("w", f"w - rate * ({step})")), symbols=SYMBOLS)

    def start(self, parameters: ParameterVector) -> State:
        state: State = {"step": 0}
        if self.momentum:
            state["velocity"] = np.zeros_like(parameters.values)
        return state

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        grads = decayed_gradient(parameters, self.weight_decay)
        if self.momentum:
            kernels.sgd_momentum(parameters.values, grads, state["velocity"], rate, self.momentum, self.nesterov)
        else:
            kernels.sgd(parameters.values, grads, rate)
