"""The statements of one training step, made of the stated formulas, which a page carries out after each change."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import accumulate
from typing import Any

import numpy as np
from attrs import define, evolve, field, frozen

from deepbp.derivation.explore.statements import (
    COUNT,
    LOSS,
    RATE,
    RATES,
    TARGET,
    WEIGHTS,
    Equations,
    Line,
    Statement,
    after,
    gradient_name,
    key,
    share_name,
    stable,
    variables,
    weighted,
)
from deepbp.derivation.expressions import Expression
from deepbp.derivation.steps import (
    OperationStep,
    PenaltyStep,
    Step,
    derivative,
    error_signal,
    uses_of,
)
from deepbp.derivation.trace import Trace, changes
from deepbp.errors import ConfigurationError
from deepbp.formulas.javascript import literal
from deepbp.formulas.language import ANY_ZEROS, in_time
from deepbp.formulas.printer import Symbol
from deepbp.layers import SliceSteps
from deepbp.optimizers import SGD
from deepbp.parameters import ParameterVector
from deepbp.testing.comparisons import values_of_fields
from deepbp.typing import Array

MOST_PARAMETERS = 500
MOST_NUMBERS = 2000  # of one array
MOST_RATES = 1000  # of a schedule; later steps have the last of them


@frozen(eq=False)
class Recomputation:
    """All numbers of a step from those that a reader may change.

    Attributes:
        inputs: the values that no statement makes: data, parameters, masks that were drawn, the optimizer's state.
        lines: statements in the order in which they are carried out.
        editable: the names of inputs that a reader may change, with the words for their tables.
        kept: for each input that a step of training changes, the name of its next value.
        values: of all names, as Python computes them.
    """

    inputs: dict[str, Any]
    lines: tuple[Line, ...]
    editable: tuple[str, ...]
    kept: dict[str, str]
    values: dict[str, Any] = field(factory=dict)

    def source(self) -> str:
        """The statements as the body of a JavaScript function of ``v``."""
        written_lines: list[str] = []
        for line in self.lines:
            if isinstance(line, Statement):
                written_lines.append(line.source())
                continue
            zeros = "".join(f"v[{literal(one.name)}] = " for one in line.statements)
            body = "\n  ".join(one.source() for one in line.statements)
            written_lines.append(f"{zeros}null;\nfor (let round = 0; round < {line.rounds}; round++) {{\n  {body}\n}}")
        return "\n".join(written_lines)

    def state(self) -> dict[str, Any]:
        """The inputs in JSON: numbers, and arrays by shape and numbers."""
        arrays = {name: np.asarray(value) for name, value in self.inputs.items()}
        return {name: {"shape": list(a.shape), "data": a.ravel().tolist()} for name, a in arrays.items()}

    def run(self) -> dict[str, Any]:
        """All values, computed in Python."""
        arrays = {name: np.asarray(value) for name, value in self.inputs.items()}
        known: dict[str, Any] = {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in arrays.items()}
        for line in self.lines:
            statements = (line,) if isinstance(line, Statement) else line.statements
            if isinstance(line, Equations):
                known |= {one.name: ANY_ZEROS for one in statements}
            for _ in range(1 if isinstance(line, Statement) else line.rounds):
                for one in statements:
                    known[one.name] = one.value(known)
        return known


def recomputation(trace: Trace) -> Recomputation | str:
    """The statements of a step; a sentence instead if there are none, or they do not give the numbers of the trace."""
    count = sum(parameter.value.size for parameter in trace.network.parameters())
    if count > MOST_PARAMETERS:
        return f"Numbers can be changed in pages of up to {MOST_PARAMETERS} parameters; this network has {count:,}."
    largest = max(one.output.size for one in trace.steps)
    if max(largest, trace.data.x.size) > MOST_NUMBERS:
        return f"Numbers can be changed in pages of arrays with up to {MOST_NUMBERS:,} numbers."
    if trace.target.dtype.kind == "f" and np.isnan(trace.target).any():
        return "Numbers cannot be changed here: targets are missing, which the loss leaves out."
    try:
        made = _Statements(trace).made()
    except _NoFormulaError as reason:
        return f"Numbers cannot be changed here: {reason}."
    except (ConfigurationError, KeyError, ValueError, TypeError, IndexError):
        return "Numbers cannot be changed here: a formula of this network has no form in JavaScript."
    exact = trace.prediction.dtype == np.float64
    stated, computed = expected(trace), made.values
    wrong = next((name for name, array in stated.items() if not _agree(computed.get(name), array, exact)), None)
    if wrong is not None:
        return f"Numbers cannot be changed here: the stated formulas alone do not give {wrong} of this step."
    if not all(np.isfinite(np.asarray(value, dtype=float)).all() for value in made.inputs.values()):
        return "Numbers cannot be changed here: there are infinite ones among them."
    return made


class _NoFormulaError(Exception):
    """Something that states no formula, in words."""


def expected(trace: Trace) -> dict[str, Array]:
    """The arrays of a trace by the names of their statements."""
    arrays: dict[str, Array] = {LOSS: np.asarray(trace.loss)}
    for position, one in enumerate(trace.steps):
        arrays[key(one.step.output)] = one.output
        arrays |= {
            share_name(trace, position, index): array
            for index, array in enumerate(one.passed_back)
            if not isinstance(one.step, PenaltyStep)
        }
        arrays |= {gradient_name(trace, position, name): array for name, array in one.gradients.items()}
    penalties = {one.step.output for one in trace.steps if isinstance(one.step, PenaltyStep)}
    arrays |= {key(error_signal(s)): array for s, array in trace.error_signals.items() if s not in penalties}
    if trace.updated:
        arrays |= {after(symbol): trace.updated[name] for name, symbol, _ in changes(trace)}
    return arrays


def _agree(one: Any, other: Array, exact: bool) -> bool:
    """Whether two arrays are the same but for rounding; a step in float32 is computed in float64 here."""
    first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    tolerance, floor = (1e-9, 1e-6) if exact else (1e-4, 1e-2)
    if first.size != second.size:
        return False
    difference = np.abs(first.ravel() - second.ravel())
    return bool((difference <= tolerance * (np.abs(second).max(initial=0) + floor)).all())


@define
class _Statements:
    """The statements of a trace in the making."""

    trace: Trace
    inputs: dict[str, Any] = field(factory=dict)
    lines: list[Line] = field(factory=list)

    @property
    def letters(self) -> list[Step]:
        return [one.step for one in self.trace.steps]

    def made(self) -> Recomputation:
        trace, letters = self.trace, self.letters
        self.inputs |= {key(letters[0].input): trace.data.x, TARGET: np.asarray(trace.target)}
        symbols = {symbol: None for one in trace.steps for symbol in one.step.parameters.values()}
        for one in trace.steps:
            self.inputs |= {key(one.step.parameters[name]): array for name, array in one.parameters.items()}
        for position, step in enumerate(letters):
            self._forward(position, step)
        self._loss()
        for position, step in reversed(list(enumerate(letters))):
            self._backward(position, step)
        self._sum(letters[0].input)
        for symbol in symbols:
            shares = [
                gradient_name(trace, i, name)
                for i, step in enumerate(letters)
                for name, own in step.parameters.items()
                if own == symbol
            ]
            self._added(key(derivative(symbol)), shares)
        kept = self._update()
        editable = (key(letters[0].input), TARGET, *([WEIGHTS] if WEIGHTS in self.inputs else []), *map(key, symbols))
        made = Recomputation(self.inputs, tuple(self.lines), editable, kept)
        made.source()  # raises what has no form in JavaScript
        return evolve(made, values=made.run())

    def _state(
        self, name: str, expression: Expression, names: Mapping[str, str], literals: Mapping[str, Any]
    ) -> Statement:
        """A statement whose variables are looked up among names, and then among the fields of a layer or a loss."""
        stable_form = stable(expression)
        found: dict[str, str] = {}
        plain: dict[str, Any] = {}
        for one in variables(stable_form):
            if one in names:
                found[one] = names[one]
            elif one in literals:
                value = literals[one]
                if isinstance(value, np.ndarray):
                    found[one] = f"{name}: {one}"
                    self.inputs[found[one]] = value
                else:
                    plain[one] = value.tolist() if isinstance(value, np.generic) else value
            else:
                raise _NoFormulaError(f"{one} is not known")
        return Statement(name, stable_form, found, plain)

    def _add(self, name: str, expression: Expression, names: Mapping[str, str], literals: Mapping[str, Any]) -> None:
        self.lines.append(self._state(name, expression, names, literals))

    def _added(self, name: str, parts: Sequence[str]) -> None:
        """A sum of values, unless it is the only one, which has this name already."""
        if list(parts) != [name]:
            letters = {f"part{i}": part for i, part in enumerate(parts)}
            self._add(name, " + ".join(letters), letters, {})

    def _equations(self, position: int, step: Step, equations: Mapping[str, str]) -> None:
        statements = [
            self._state(f"{position}: {name}", text, *self._names(position, step)) for name, text in equations.items()
        ]
        if in_time(equations.values()):
            self.lines.append(Equations(tuple(statements), 1 + self.trace.steps[position].input.shape[1]))
        else:
            self.lines += statements

    def _names(self, position: int, step: Step) -> tuple[dict[str, str], dict[str, Any]]:
        """The names in the formulas of a step, and the values of its layer's fields."""
        one, formula = self.trace.steps[position], step.formula
        names = {"x": key(step.input), "y": key(step.output), "delta": key(step.delta)}
        names |= dict(zip(["memory"], map(key, step.inputs[1:]), strict=False))
        names |= {name: key(symbol) for name, symbol in step.parameters.items()}
        if formula is not None:
            names |= {name: f"{position}: {name}" for name in (*formula.where, *formula.where_back, *one.drawn)}
        shapes = {"input_shape": one.input.shape, "output_shape": one.output.shape}
        return names, values_of_fields(step.layer) | shapes

    def _forward(self, position: int, step: Step) -> None:
        one, output = self.trace.steps[position], key(step.output)
        if isinstance(step, OperationStep):
            names = dict(zip(step.names, map(key, step.inputs), strict=True))
            self._add(output, _stated(step.operation.forward_formula(step.input_shapes), step), names, {})
        elif isinstance(step, PenaltyStep):
            self._penalty(output, step, "value")
        elif "padding" in step.condition:
            raise _NoFormulaError(
                f"layer {step.place}, {step.layer}, leaves out padding, which its formula does not state"
            )
        elif step.formula is None:
            raise _NoFormulaError(f"layer {step.place}, {step.layer}, states no formula")
        elif "each step" in step.condition and "@" in step.formula.forward:
            raise _NoFormulaError(f"layer {step.place}, {step.layer}, runs on each step alone")
        else:
            self.inputs |= {f"{position}: {name}": array for name, array in one.drawn.items()}
            self._equations(position, step, step.formula.where)
            self._add(output, step.formula.forward, *self._names(position, step))

    def _penalty(self, name: str, step: PenaltyStep, which: str) -> None:
        penalty = step.penalty
        if penalty is None or penalty.formula is None:
            raise _NoFormulaError(f"layer {step.place}, {step.layer}, adds to the loss without a formula")
        fields = values_of_fields(penalty) | {"samples": len(self.trace.data)}
        text = step._mean(getattr(penalty.formula, which))
        self._add(name, text, {"w": key(step.penalized_signal)}, fields)

    def _loss(self) -> None:
        loss, prediction = self.trace.loss_function, self.trace.prediction
        formula = loss.stated_formula()
        if formula is None:
            raise _NoFormulaError(f"{loss} states no formula")
        names = {"prediction": key(self.trace.last_signal), "target": TARGET}
        fields = values_of_fields(loss) | {"n": prediction.size, "classes": prediction.shape[-1]}
        fields |= {name: np.asarray(value) for name, value in fields.items() if isinstance(value, tuple)}
        fields["rows"] = prediction.size // prediction.shape[-1]
        if self.inputs[TARGET].dtype.kind in "iu":
            names["target"] = "y, one-hot"
            self._add(names["target"], "one_hot(y, classes)", {"y": TARGET}, fields)
        penalties = [key(step.output) for step in self.letters if isinstance(step, PenaltyStep)]
        value = f"{LOSS} of the predictions" if penalties else LOSS
        stated, delta, weight = formula.value, formula.delta, self.trace.data.sample_weight
        if weight is not None:
            self.inputs[WEIGHTS] = weight.reshape(-1, *(1,) * (prediction.ndim - 1))
            names["sample_weight"] = WEIGHTS
            stated, delta = weighted(stated), f"sample_weight * ({delta})"
        self._add(value, stated, names, fields)
        self._added(LOSS, [value, *penalties])
        self._add(self._start(), delta, names, fields)

    def _start(self) -> str:
        """The name of what the loss passes back."""
        whole, last = key(error_signal(self.trace.last_signal)), self.trace.last_signal
        return f"{whole} from the loss" if uses_of(self.letters, last) else whole

    def _sum(self, signal: Symbol) -> None:
        """The error signal of a signal: all that its uses pass back."""
        shares = [
            share_name(self.trace, self.letters.index(step), index) for step, index in uses_of(self.letters, signal)
        ]
        start = [self._start()] if signal == self.trace.last_signal else []
        if start + shares:
            self._added(key(error_signal(signal)), start + shares)

    def _backward(self, position: int, step: Step) -> None:
        if isinstance(step, PenaltyStep):
            for name in step.parameters:
                self._penalty(gradient_name(self.trace, position, name), step, "gradient")
            for index in range(len(step.inputs)):
                self._penalty(share_name(self.trace, position, index), step, "gradient")
            return
        self._sum(step.output)
        if isinstance(step, OperationStep):
            names = {**dict(zip(step.names, map(key, step.inputs), strict=True)), "delta": key(step.delta)}
            for index in range(len(step.inputs)):
                self._slice_or_merge(position, step, index, names)
            return
        formula = step.formula
        assert formula is not None
        if not formula.passed_back or any(name not in formula.gradients for name in step.parameters):
            raise _NoFormulaError(f"layer {step.place}, {step.layer}, states no formula of its backward pass")
        self._equations(position, step, formula.where_back)
        for name in step.parameters:
            self._add(gradient_name(self.trace, position, name), formula.gradients[name], *self._names(position, step))
        for index, text in enumerate((formula.passed_back, formula.gradients.get("memory", ""))[: len(step.inputs)]):
            self._add(share_name(self.trace, position, index), text, *self._names(position, step))

    def _slice_or_merge(self, position: int, step: OperationStep, index: int, names: Mapping[str, str]) -> None:
        name, text = (
            share_name(self.trace, position, index),
            _stated(step.operation.backward_formula(index, step.input_shapes), step),
        )
        if not step.is_slice:
            self._add(name, text, names, {})
            return
        if isinstance(step.operation, SliceSteps):
            self._add(name, "into_steps(delta, start, x0)", names, {"start": step.operation.start})
            return
        start, stop, width = step.operation.start, step.operation.stop, step.input_shapes[0][-1]  # type: ignore[attr-defined]
        outer = self.trace.steps[position].input.shape[:-1]
        sides = {f"side{i}": np.zeros((*outer, n)) for i, n in enumerate((start, width - stop)) if n}
        parts = [*(["side0"] * (start > 0)), text, *(["side1"] * (stop < width))]
        self._add(name, f"concat({', '.join(parts)})" if sides else text, names, sides)

    def _update(self) -> dict[str, str]:
        """The statements of the update; returns what is kept for the next step."""
        trace, kept = self.trace, dict[str, str]()
        optimizer = SGD(1.0) if trace.optimizer is None else trace.optimizer
        stated = optimizer.stated_formula()
        rate: Any = getattr(optimizer, "learning_rate", 1.0)
        follows = callable(rate)
        number: Any = rate(0) if follows else rate
        if stated is None:
            raise _NoFormulaError(f"{optimizer} states no formula")
        self.inputs |= {RATE: float(number), COUNT: 1}
        vector = ParameterVector(deepcopy(trace.network).named_trainable_parameters())
        first = {name: value for name, value in optimizer.start(vector).items() if name != "step"}
        sizes = [parameter.value.size for parameter in vector.parameters]
        ends = zip(vector.names, sizes, accumulate(sizes), strict=True)
        places = {name: slice(end - n, end) for name, n, end in ends}
        fields, held = values_of_fields(optimizer), trace.network.named_parameters()
        for path, symbol, change in changes(trace):
            parameter = held[path]
            names = {"w": key(symbol), "g": key(derivative(symbol)), "rate": RATE, "t": COUNT}
            own = dict(fields)
            if "weight_decay" in own and not parameter.is_decayed:
                own["weight_decay"] = 0.0
            for name, value in first.items():
                names[name] = f"{name} of {key(symbol)}"
                self.inputs[names[name]] = (
                    value[places[path]].reshape(parameter.value.shape) if np.ndim(value) else value
                )
            for number, (name, text) in enumerate(stated.assignments):
                made = after(symbol) if name == "w" else f"{name} {number} of {key(symbol)}"
                self._add(made, text, names, own)
                if name in first:
                    kept[f"{name} of {key(symbol)}"] = made
                names[name] = made
            self._add(key(change), "new - old", {"new": after(symbol), "old": key(symbol)}, {})
            kept[key(symbol)] = after(symbol)
        if follows:  # a schedule: the next rate is that of the next step
            self.inputs[RATES] = np.array([float(rate(step)) for step in range(MOST_RATES)])
            self._add(
                f"{RATE} after", "nth(rates, minimum(t, last))", {"rates": RATES, "t": COUNT}, {"last": MOST_RATES - 1}
            )
            kept[RATE] = f"{RATE} after"
        self._add(f"{COUNT} after", "t + 1", {"t": COUNT}, {})
        return {**kept, COUNT: f"{COUNT} after"}


def _stated(formula: str, step: OperationStep) -> str:
    if not formula:
        raise _NoFormulaError(f"layer {step.whole}, {step.kind}, states no formula")
    return formula
