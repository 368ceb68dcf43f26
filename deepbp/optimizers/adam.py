"""Adam and its variants."""

from collections.abc import Iterator
from math import sqrt
from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import fraction, non_negative, positive, rate_or_schedule
from deepbp.formulas.language import UpdateFormula
from deepbp.kernels import unchecked as kernels
from deepbp.kernels.blocks import average, average_square, blocks
from deepbp.optimizers.optimizer import DECAY, Descent, Schedule, State, decay, lower_decay
from deepbp.parameters import ParameterVector
from deepbp.typing import Array

MEANS = (("mean", "beta1 * mean + (1 - beta1) * g"), ("square", "beta2 * square + (1 - beta2) * g**2"))
STEP = "w - rate * (mean / (1 - beta1**t)) / (sqrt(square / (1 - beta2**t)) + epsilon)"


@frozen
class Adam(Descent):
    """Adam: m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − η m̂ / (√v̂ + ε).

    The means are corrected for their start at 0: m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). In an ``Embedding`` with
    ``sparse_gradient=True``, only rows that occur in a batch are updated (lazy Adam).

    Args:
        learning_rate: η, a number or a schedule, a callable of the step.
        beta1, beta2: the decay rates of both means.
        epsilon: ε, outside the root, added to the corrected root, as in the paper (PyTorch's convention, too).

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, adam = ParameterVector([Parameter(np.array([1.0, 1.0]))]), optimizers.Adam(0.1)
    >>> parameters.grads[:] = [4.0, -0.5]
    >>> adam.step(parameters, adam.start(parameters))
    >>> parameters.values.round(6)  # the first step is η sgn(g)
    array([0.9, 1.1])

    Source: Kingma & Ba 2015, algorithm 1.
    """

    _decay = DECAY
    _counts: ClassVar[bool] = True
    _arrays: ClassVar[tuple[str, ...]] = ("mean", "square")

    learning_rate: float | Schedule = field(default=0.001, validator=rate_or_schedule)
    beta1: float = field(default=0.9, validator=fraction)
    beta2: float = field(default=0.999, validator=fraction)
    epsilon: float = field(default=1e-8, validator=positive)

    def stated_formula(self) -> UpdateFormula:
        return self._update(*MEANS, ("w", STEP))

    def _takes_sparse(self) -> bool:
        return type(self) is Adam  # a user's subclass and the variants may change rows without a gradient

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        # m̂ / (√v̂ + ε) = m / (√v + ε c) · c / (1 − β₁ᵗ), with c = √(1 − β₂ᵗ): no corrected copies of m and v
        rate, epsilon = self._corrected(state["step"] + 1, rate)
        mean, square = state["mean"], state["square"]
        kernels.adam(parameters.values, grads, mean, square, rate, self.beta1, self.beta2, epsilon)

    def _lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        if type(self) not in (Adam, AdamW):
            return None
        w, g, m, v = parameters.values, parameters.grads, state["mean"], state["square"]
        decayed = lower_decay(parameters, getattr(self, "weight_decay", 0.0))
        return [*decayed, ("adam", w, g, m, v, g.size, float(self.beta1), float(self.beta2), float(self.epsilon))]

    def _corrected(self, t: int, rate: float) -> tuple[float, float]:
        """The rate and ε with which the uncorrected means give the step of the corrected ones."""
        correction = sqrt(1 - self.beta2**t)
        return rate * correction / (1 - self.beta1**t), self.epsilon * correction

    def _averaged(
        self, parameters: ParameterVector, grads: Array, state: State, *others: Any, scratch: int = 1
    ) -> Iterator[Any]:
        """Blocks of (w, g, m, v, others, scratch arrays) in which m and v are updated already."""
        arrays = (parameters.values, grads, state["mean"], state["square"], *others)
        for block in blocks(*arrays, scratch=scratch):
            average(block[2], self.beta1, block[1], block[-1])
            average_square(block[3], self.beta2, block[1], block[-1])
            yield block


@frozen
class AdamW(Adam):
    """Adam with decoupled weight decay, w ← w − η λ w, which does not depend on the size of the gradient.

    Args:
        learning_rate, beta1, beta2, epsilon: as in ``Adam``.
        weight_decay: λ, for parameters of two or more dimensions only: not for biases.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, adam = ParameterVector([Parameter(np.array([[1.0]]))]), optimizers.AdamW(0.1, weight_decay=0.5)
    >>> adam.step(parameters, adam.start(parameters))  # the gradient is 0
    >>> parameters.values  # 1 − η λ
    array([0.95])

    Source: Loshchilov & Hutter 2019, algorithm 2, with the schedule multiplier in η (PyTorch's convention).
    """

    weight_decay: float = field(default=0.01, validator=non_negative)

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        decay(parameters, rate * self.weight_decay)
        super()._move(parameters, grads, state, rate)


@frozen
class AMSGrad(Adam):
    """AMSGrad: Adam with the largest v so far, u ← max(u, v), in its place: w ← w − η m̂ / (√û + ε).

    û = u / (1 − β₂ᵗ): both means are corrected as in Adam (PyTorch's convention, and Keras's up to ε), but not in the
    paper.

    Args:
        learning_rate, beta1, beta2, epsilon: as in ``Adam``.
        weight_decay: λ, decoupled as in ``AdamW``, for parameters of two or more dimensions only.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, amsgrad = ParameterVector([Parameter(np.array([1.0]))]), optimizers.AMSGrad(0.1)
    >>> parameters.grads[:] = 4.0
    >>> amsgrad.step(parameters, state := amsgrad.start(parameters))
    >>> parameters.values, state["largest"].round(6)  # 1 − η, and (1 − β₂) g²
    (array([0.9]), array([0.016]))

    Source: Reddi, Kale & Kumar 2018, algorithm 2.
    """

    _arrays = ("mean", "square", "largest")

    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        largest = ("largest", "maximum(largest, square)")
        return self._update(*MEANS, largest, ("w", STEP.replace("square", "largest")), symbols={"largest": "u"})

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        decay(parameters, rate * self.weight_decay)
        rate, epsilon = self._corrected(state["step"] + 1, rate)
        kernels.amsgrad(
            parameters.values,
            grads,
            state["mean"],
            state["square"],
            state["largest"],
            rate,
            self.beta1,
            self.beta2,
            epsilon,
        )

    def _lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        w, g, m, v, u = parameters.values, parameters.grads, state["mean"], state["square"], state["largest"]
        row = ("amsgrad", w, g, m, v, u, g.size, float(self.beta1), float(self.beta2), float(self.epsilon))
        return [*lower_decay(parameters, self.weight_decay), row]


@frozen
class NAdam(Adam):
    """Adam with Nesterov momentum: m and v as in Adam, and w ← w − η n / (√v̂ + ε).

    n = μₜ₊₁ m / (1 − pₜ₊₁) + (1 − μₜ) g / (1 − pₜ) applies the momentum of the next step already in this one, with
    μₜ = β₁ (1 − ½ · 0.96^(t ψ)) and pₜ = μ₁ μ₂ … μₜ.

    Args:
        learning_rate, beta1, beta2, epsilon: as in ``Adam``.
        psi: ψ, how fast the momentum μ rises from β₁/2 to β₁; Keras's is 1.
        weight_decay: λ, decoupled as in ``AdamW``, for parameters of two or more dimensions only.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, nadam = ParameterVector([Parameter(np.array([1.0]))]), optimizers.NAdam(0.1, beta1=0.0)
    >>> parameters.grads[:] = 4.0
    >>> nadam.step(parameters, nadam.start(parameters))
    >>> parameters.values  # without momentum n = g, and the first step is η sgn(g)
    array([0.9])

    Source: Dozat 2016, algorithm 2, with the decay rate β₁ for m and v̂ as in Adam (PyTorch's convention, and Keras's);
    in the paper, m decays with μₜ, and v̂ has a further factor β₂.
    """

    psi: float = field(default=0.004, validator=non_negative)
    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        step = "(after * mean / (1 - product * after) + (1 - now) * g / (1 - product))"
        return self._update(
            *MEANS,
            ("now", "beta1 * (1 - 0.96**(t * psi) / 2)"),
            ("after", "beta1 * (1 - 0.96**((t + 1) * psi) / 2)"),
            ("product", "product * now"),
            ("w", f"w - rate * {step} / (sqrt(square / (1 - beta2**t)) + epsilon)"),
            symbols={"now": "μ", "after": "μ′", "product": "p", "psi": "ψ"},
        )

    def start(self, parameters: ParameterVector) -> State:
        return {**super().start(parameters), "product": 1.0}

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        t = state["step"] + 1
        now, after = self._momentum(t), self._momentum(t + 1)
        product = state["product"] * now
        correction = sqrt(1 - self.beta2**t)
        of_mean = rate * correction * after / (1 - product * after)
        of_gradient = rate * correction * (1 - now) / (1 - product)
        decay(parameters, rate * self.weight_decay)
        for w, g, m, v, ahead, scratch in self._averaged(parameters, grads, state, scratch=2):
            np.multiply(m, of_mean, out=ahead)
            np.multiply(g, of_gradient, out=scratch)
            ahead += scratch
            np.sqrt(v, out=scratch)
            scratch += self.epsilon * correction
            ahead /= scratch
            w -= ahead
        state["product"] = product

    def _momentum(self, t: int) -> float:
        return float(self.beta1 * (1 - 0.5 * 0.96 ** (t * self.psi)))


MIN_LENGTH = 5
"""ρ must exceed this, the number of gradients that v is a mean of, before the step is divided by √v̂."""


@frozen
class RAdam(Adam):
    """Rectified Adam: w ← w − η r m̂ / (√v̂ + ε) where ρ > 5, else w ← w − η m̂; m̂ and v̂ as in Adam.

    ρ = ρ₀ − 2 t β₂ᵗ / (1 − β₂ᵗ), with ρ₀ = 2 / (1 − β₂) − 1, is the number of gradients that v averages over. The
    factor r = √((ρ − 4) (ρ − 2) ρ₀ / ((ρ₀ − 4) (ρ₀ − 2) ρ)), which rises to 1, compensates for the variance of v.

    Args:
        learning_rate, beta1, beta2, epsilon: as in ``Adam``. For β₂ ≤ 2/3, ρ never exceeds 5.
        weight_decay: λ, decoupled as in ``AdamW``, for parameters of two or more dimensions only.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters, radam = ParameterVector([Parameter(np.array([1.0]))]), optimizers.RAdam(0.1)
    >>> parameters.grads[:] = 4.0
    >>> radam.step(parameters, radam.start(parameters))
    >>> parameters.values.round(6)  # ρ = 1 in the first step: 1 − η g
    array([0.6])

    Source: Liu et al. 2020, algorithm 2, with 5 in place of 4 as in the authors' code (PyTorch's convention, too).
    """

    weight_decay: float = field(default=0.0, validator=non_negative)

    def stated_formula(self) -> UpdateFormula:
        rectified = "(length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)"
        adaptive = f"(length > {MIN_LENGTH}) * rectifier / (sqrt(square / (1 - beta2**t)) + epsilon)"
        return self._update(
            *MEANS,
            ("longest", "2 / (1 - beta2) - 1"),
            ("length", "longest - 2 * t * beta2**t / (1 - beta2**t)"),
            ("rectifier", f"sqrt(maximum({rectified}, 0))"),
            ("w", f"w - rate * (mean / (1 - beta1**t)) * ({adaptive} + (length <= {MIN_LENGTH}))"),
            symbols={"length": "ρ", "longest": "ρ₀", "rectifier": "r"},
        )

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        t = state["step"] + 1
        rectifier = self._rectifier(t)
        decay(parameters, rate * self.weight_decay)
        super()._move(parameters, grads, state, rate * rectifier)  # with a rate of 0, only the means move
        if not rectifier:
            parameters.values -= rate / (1 - self.beta1**t) * state["mean"]

    def _rectifier(self, t: int) -> float:
        """The factor r, or 0 where ρ does not exceed its minimum."""
        longest = 2 / (1 - self.beta2) - 1
        length = longest - 2 * t * self.beta2**t / (1 - self.beta2**t)
        if length <= MIN_LENGTH:
            return 0.0
        return sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
