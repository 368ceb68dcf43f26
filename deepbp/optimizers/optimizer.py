"""The contract of an optimizer, and what the update rules here share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from itertools import accumulate, groupby
from math import isfinite, prod
from numbers import Real
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import numpy as np

from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, NonFiniteError, shown
from deepbp.errors.validators import ExplainedArguments
from deepbp.formulas.language import UpdateFormula
from deepbp.parameters import Members, ParameterVector, Part
from deepbp.sparse_parameters import Touched
from deepbp.typing import Array, Shape

State: TypeAlias = dict[str, Any]
"""What an optimizer keeps between steps: arrays and counters, by name.

>>> from deepbp import ParameterVector, Sequential
>>> from deepbp.layers import Dense
>>> from deepbp.optimizers import Adam, State
>>> parameters = ParameterVector.of(Sequential([Dense(2)], input_shape=3).parameters())
>>> state: State = Adam().start(parameters)
>>> sorted(state)
['mean', 'square', 'step']
"""

Schedule: TypeAlias = Callable[[int], float]
"""The learning rate as a function of the step, which counts from 0.

>>> from deepbp.optimizers import SGD, Schedule
>>> halved: Schedule = lambda step: 0.1 * 0.5 ** (step // 100)
>>> SGD(halved).learning_rate(250)
0.025
"""


Names: TypeAlias = Sequence[str]


class Optimizer(ExplainedArguments, ABC):
    """Base class of optimizers, which change the parameters by their gradients.

    A subclass is an ``attrs.frozen`` class: an optimizer is configuration, and everything that changes is in the state,
    which the trainer keeps.

    >>> import numpy as np
    >>> from attrs import frozen
    >>> from deepbp.optimizers import Optimizer
    >>> @frozen
    ... class SignDescent(Optimizer):
    ...     learning_rate: float
    ...     def step(self, parameters, state):
    ...         parameters.values -= self.rate(state["step"]) * np.sign(parameters.grads)
    ...         state["step"] += 1
    >>> SignDescent(0.1).start(None), SignDescent(0.1).rate(5)
    ({'step': 0}, 0.1)
    """

    _restores: ClassVar[bool] = False  # whether ``step`` itself raises NonFiniteError, with values and state as before

    learning_rate: Any  # a number or a Schedule; Any, so that a subclass may declare one of the two

    def stated_formula(self) -> UpdateFormula | None:
        """The formula of a step in this configuration, which ``derivation`` prints and the checks evaluate."""
        return None

    def start(self, parameters: ParameterVector) -> State:
        """The state before the first step. Arrays in it have the length of ``parameters.values``."""
        return {"step": 0}

    @abstractmethod
    def step(self, parameters: ParameterVector, state: State) -> None:
        """Change ``parameters.values`` in place, given ``parameters.grads``, and increment ``state["step"]``."""

    def lower(self, parameters: ParameterVector, state: State) -> "list[tuple[Any, ...]] | None":
        """The instructions of a step in a program; None, the default, runs ``step`` as a function of Python."""
        return None

    def _restart(self, parameters: ParameterVector) -> State:
        """As ``start``, after parameters were frozen or unfrozen."""
        return self.start(parameters)

    def _sections(self, names: Names, shapes: Sequence[Shape]) -> list[tuple[str, "Optimizer", Names, Sequence[Shape]]]:
        """The parts of a state: a prefix of its keys, the optimizer, and the parameters that arrays are made up of."""
        return [("", self, names, shapes)]

    def rate(self, step: int) -> float:
        """The learning rate of this step. Raises ConfigurationError unless a schedule returns a number ≥ 0."""
        given: float | Schedule = self.learning_rate
        if not callable(given):
            return given
        try:
            rate = given(step)
        except Exception as error:
            error.add_note(f"in the learning-rate schedule of {type(self).__name__}, called with step {step}")
            raise
        if not isinstance(rate, Real) or not isfinite(rate) or rate < 0:
            raise ConfigurationError(
                f"{type(self).__name__}: learning_rate: expected the schedule to return a number of at least 0, "
                f"got {shown(rate)} at step {step}"
            )
        return float(rate)


# The two kinds of weight decay, as rows of a formula: decoupled, as in AdamW, and as a part of the gradient (L2).
DECAY = ("w", "w - rate * weight_decay * w")
DECAYED_GRADIENT = ("g", "g + weight_decay * w")
SYMBOLS = {
    "beta1": "β₁",
    "beta2": "β₂",
    "epsilon": "ε",
    "mean": "m",
    "momentum": "μ",
    "rate": "η",
    "rho": "ρ",
    "square": "v",
    "velocity": "v",
    "weight_decay": "λ",
}


class Descent(Optimizer):
    """Base class of the optimizers here: a subclass states ``_move``, and its formula with ``_update``."""

    _restores = True
    _decay: ClassVar[tuple[str, str]] = DECAYED_GRADIENT
    _counts: ClassVar[bool] = False  # whether an update depends on t, as a bias correction does
    _arrays: ClassVar[tuple[str, ...]] = ()  # the names of the arrays in the state

    # A cheap test before an update whose g² do not overflow: whether another number of it may.
    _may_overflow: Any = None

    def start(self, parameters: ParameterVector) -> State:
        return zeros(parameters, *self._arrays)

    def step(self, parameters: ParameterVector, state: State) -> None:
        """One update.

        Raises NonFiniteError where a number of it overflows; values and state are then as before. Raises ContractError
        for a vector whose parameters have moved to another one, since the step would change nothing.
        """
        try:
            if parameters.outdated:
                raise ContractError(_OUTDATED)
            if parameters.sparse:
                self._step_touched(parameters, state)
                return
            rate = self.learning_rate
            if callable(rate):
                rate = self.rate(state["step"])
            grads = parameters.grads
            try:  # a finite sum of squares: no g² overflows
                large = rate > LARGE_RATE or not isfinite(grads.dot(grads))
            except (RuntimeWarning, FloatingPointError):  # an overflow, where NumPy is set to raise
                large = True
            move = self._move_each if "late" in state else self._move
            if large or (self._may_overflow is not None and self._may_overflow(parameters, state, rate)):
                move_or_restore(lambda: move(parameters, grads, state, rate), parameters, state)
            else:
                move(parameters, grads, state, rate)
            state["step"] += 1
            if not state["step"] % FLUSH_EVERY:
                flush_subnormals(state)
        except (AttributeError, KeyError, TypeError) as error:
            raise self._argument_error(parameters, state) or error from None

    def _step_touched(self, parameters: ParameterVector, state: State) -> None:
        """A step on a copy of the numbers that it may change, so that the other rows of a large table cost nothing."""
        refuse_sparse(self, parameters)
        part = Touched(parameters)
        own = {name: part.gather(value) if isinstance(value, np.ndarray) else value for name, value in state.items()}
        self.step(part, own)
        part.scatter(part.values, parameters.values)
        for name, value in own.items():
            if isinstance(value, np.ndarray):
                part.scatter(value, state[name])
            else:
                state[name] = value

    def _takes_sparse(self) -> bool:
        """Whether an update may leave out rows without a gradient."""
        return False

    def _move_each(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        """``_move`` where parameters were frozen for a while, and so have made fewer steps: each with its own t."""
        late, starts = state["late"], [0, *accumulate(map(prod, parameters.shapes))]
        before = dict(state)  # several runs of parameters may share a t
        for steps, run in groupby(range(len(parameters.shapes)), lambda position: int(late[starts[position]])):
            members = Members.of(parameters.names, parameters.shapes, list(run))
            part, place, mark = Part(parameters, members), members.runs[0], f"@{steps}" if steps else ""
            own: State = {"step": state["step"] - steps}
            for name, value in self.start(part).items():
                if isinstance(value, np.ndarray):
                    own[name] = state[name][place]
                elif name != "step":  # a number that changes with t, of which each t has its own
                    own[name] = before.get(name + mark, value)
            self._move(part, part.grads, own, rate)
            numbers = {name + mark: value for name, value in own.items() if not isinstance(value, np.ndarray)}
            state |= {name: value for name, value in numbers.items() if not name.startswith("step")}

    def lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        own = f"{type(self).__module__}.".startswith("deepbp.optimizers.")  # a user's subclass has another formula
        return self._lower(parameters, state) if own and "late" not in state else None

    def _lower(self, parameters: ParameterVector, state: State) -> list[tuple[Any, ...]] | None:
        """The instructions of ``_move``, if there are any."""
        return None

    @abstractmethod
    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        """One step with this learning rate; t of the formulas is ``state["step"] + 1``."""

    def _update(self, *rows: tuple[str, str], symbols: Mapping[str, str] = MappingProxyType({})) -> UpdateFormula:
        """The formula with these rows, after the row of weight decay where there is any."""
        decayed = (self._decay,) if getattr(self, "weight_decay", 0) else ()
        return UpdateFormula((*decayed, *rows), symbols={**SYMBOLS, **symbols})

    def _argument_error(self, parameters: Any, state: Any) -> ArgumentTypeError | None:
        """The error for the first argument of ``step`` that has the wrong type, if there is one."""
        place = f"{type(self).__name__}: step"
        if not isinstance(parameters, ParameterVector):
            return ArgumentTypeError(f"{place}: parameters: expected a ParameterVector, got {shown(parameters)}")
        names = list(self.start(parameters))
        if not isinstance(state, dict) or not state.keys() >= set(names):
            expected = f"expected what start(parameters) returns, {names}"
            return ArgumentTypeError(f"{place}: state: {expected}, got {shown(state)}")
        return None


_OUTDATED = (
    "step: expected the current vector of its parameters, got one whose parameters moved to another, such as a "
    "Trainer's, or were frozen or unfrozen: use ParameterVector.of(parameters), and start its state"
)
LARGE_RATE = 1e15
"""Above it, w − η g may overflow although the square of g does not."""


def refuse_sparse(optimizer: Optimizer, parameters: ParameterVector) -> None:
    """Raise ConfigurationError if there are sparse gradients, and the optimizer changes rows without a gradient."""
    if parameters.sparse and not (isinstance(optimizer, Descent) and optimizer._takes_sparse()):
        names = [name for name, p in zip(parameters.names, parameters.parameters, strict=True) if p.is_sparse]
        raise ConfigurationError(
            f"{optimizer!r} changes all rows of a table in each step, also those without a gradient, so that it cannot "
            f"use the sparse gradient of {', '.join(names)}: use Adam(), or Adagrad() or SGD() without momentum and "
            "weight decay, or Embedding(..., sparse_gradient=False)"
        )


def has_square(vector: Array, factor: float = 1.0) -> bool:
    """Whether the sum of the squares of these numbers times ``factor`` is finite; then each square is."""
    try:
        return isfinite(vector.dot(vector) * factor * factor)
    except (RuntimeWarning, FloatingPointError):
        return False


def move_or_restore(move: Callable[[], None], parameters: ParameterVector, state: State) -> None:
    """Make an update that may overflow.

    Raises NonFiniteError, which names the place, if a gradient, or a number of the new state or values, is not finite;
    values and state are then as before.
    """
    values, before = parameters.values.copy(), {name: copy(value) for name, value in state.items()}
    fix = "clip_norm=1.0, or inputs and targets scaled to about ±1"
    try:
        place = _not_finite("the gradient", parameters.grads, parameters)
        if not place:
            with np.errstate(all="ignore"):
                move()
            place = next(filter(None, (_not_finite(name, value, parameters) for name, value in state.items())), "")
        if not place and (place := _not_finite("the value", parameters.values, parameters)):
            fix = "a lower learning rate"
        elif place.startswith("the gradient"):
            fix = "a lower learning rate, or inputs scaled to about ±1"
        if place:
            raise NonFiniteError(
                f"the update overflowed; the first place that is not finite: {place}. "
                f"The update was not applied. Try {fix}"
            )
    except BaseException:
        parameters.values[...] = values
        for name, value in before.items():
            if isinstance(value, np.ndarray):
                state[name][...] = value
            else:
                state[name] = value
        raise


def _not_finite(name: str, array: Any, parameters: ParameterVector) -> str:
    """The first number of an array that is not finite, with the parameter that it belongs to; "" where all are."""
    if not isinstance(array, np.ndarray) or (finite := np.isfinite(array)).all():
        return ""
    place = int(np.argmin(finite))
    if array.shape != parameters.values.shape:
        return f"{name}[{place}]"
    gradient = "" if name == "the gradient" else f", whose gradient is {parameters.grads[place]:g}"
    for parameter, shape in zip(parameters.names, parameters.shapes, strict=True):
        size = prod(shape)
        if place < size:
            index = ", ".join(map(str, np.unravel_index(place, shape)))
            return f"{name} of {parameter or 'a parameter'}[{index}]{gradient}"
        place -= size
    return name


FLUSH_EVERY = 64
"""Steps between two flushes of a state, each of which takes about as long as a small network's step."""


def flush_subnormals(state: State) -> None:
    """Set numbers below the smallest normal number to 0.

    A mean whose gradients are 0 decays to such a number and, by rounding, never to 0. Several processors multiply
    subnormal numbers ten times slower than others.
    """
    for array in state.values():
        if isinstance(array, np.ndarray) and array.dtype.kind == "f":
            array[np.abs(array) < np.finfo(array.dtype).smallest_normal] = 0


def zeros(parameters: ParameterVector, *names: str) -> State:
    """A state of arrays of zeros."""
    return {"step": 0, **{name: np.zeros_like(parameters.values) for name in names}}


def decay(parameters: ParameterVector, share: float) -> None:
    """w ← w − share · w, in parameters of two or more dimensions only."""
    if share:
        parameters.values[parameters.matrices] *= 1 - share


def decay_has_square(parameters: ParameterVector, weight_decay: float) -> bool:
    """Whether the squares of g + λ w are certain to be finite."""
    return not weight_decay or (has_square(parameters.values, 2 * weight_decay) and has_square(parameters.grads, 2))


def decayed_gradient(parameters: ParameterVector, grads: Array, weight_decay: float) -> Array:
    """g + λ w, in parameters of two or more dimensions only; ``grads`` keeps ∂L/∂w."""
    if not weight_decay:
        return grads
    grads = grads.copy()
    part = parameters.matrices
    grads[part] += weight_decay * parameters.values[part]
    return grads


def lower_decay(parameters: ParameterVector, weight_decay: float) -> list[tuple[Any, ...]]:
    """The instructions of ``decay``."""
    part = parameters.values[parameters.matrices]
    return [("decay", part, part.size, float(weight_decay))] if weight_decay else []


def lower_decayed_gradient(
    parameters: ParameterVector, weight_decay: float, checked: bool = True
) -> tuple[list[tuple[Any, ...]], Array]:
    """The instructions of ``decayed_gradient``, unless the squares of its result may overflow, and the result."""
    values, grads = parameters.values, parameters.grads
    if not weight_decay:
        return [], grads
    decayed, part = np.zeros_like(grads), values[parameters.matrices]
    row = ("decayed_gradient", values, grads, decayed, grads.size, part.size, float(weight_decay))
    checks = [("check_square", values, grads.size, 2.0 * weight_decay), ("check_square", grads, grads.size, 2.0)]
    return [*(checks if checked else ()), row], decayed
