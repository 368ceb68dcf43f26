"""The explanation of one gradient entry: the chain rule along single paths, and a numeric check."""

import ast
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Self, TypeAlias

import numpy as np
from attrs import frozen

from deepbp.derivation.backward import backward_row, error_row, output_signal, path_behind
from deepbp.derivation.document import LARGEST, Block, Document, Equations, Heading, Paragraph, Row, Values, as_math
from deepbp.derivation.expressions import OUTER_PRODUCT, THROUGH_WEIGHTS, Math, alone, tree
from deepbp.derivation.recording import StepRecord, TraceStep
from deepbp.derivation.rendering import Renderable
from deepbp.derivation.steps import OperationStep, PenaltyStep, Step, derivative, error_signal, uses_of
from deepbp.errors import PositionError
from deepbp.formulas.language import evaluate
from deepbp.formulas.printer import Symbol
from deepbp.layers import Layer
from deepbp.testing.comparisons import values_of_fields
from deepbp.testing.gradients import numeric_gradient
from deepbp.typing import Array

Index: TypeAlias = tuple[int, ...]

_One: TypeAlias = tuple[Symbol, Index]  # one number of a signal
_SUM_OF_SIGNAL = ast.dump(tree("batch_sum(delta)"))
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def entry(symbol: Symbol, index: Index) -> Symbol:
    """The symbol of one entry of an array: W⁰ becomes W₁,₂⁰."""
    return Symbol(symbol.letter + ",".join(str(i).translate(_SUBSCRIPTS) for i in index), symbol.number)


def rounded(value: Any) -> str:
    """A number as text in an expression."""
    return f"{float(value):.6g}"


def paths(trace: StepRecord, position: int, name: str, index: Index) -> list[Block]:
    """The share of one use of a weight: the chain rule for one sample, then the sum over all samples."""
    used = trace.steps[position]
    step, weight = used.step, entry(used.step.parameters[name], index)
    if isinstance(step, PenaltyStep):
        (made,), symbols = step.gradient(name)
        math = Math(("partial(P, w)", made), {**symbols, "P": step.output, "w": weight})
        return [Values(math, used.gradients[name][index], "the penalty's own derivative, which adds to the loss's")]
    stated = step.formula.gradients.get(name, "0") if step.formula is not None else "0"
    kind = ast.dump(tree(stated))
    if kind not in (OUTER_PRODUCT, _SUM_OF_SIGNAL):
        remark = f"from layer {step.place}, {step.kind}, which is not taken apart"
        return [Values(alone(derivative(weight)), used.gradients[name][index], remark)]
    unit = index[-1:]
    signal = used.delta[:, unit[0]]
    symbols = {"d": entry(step.delta, unit), "x": entry(step.input, index[:1])}
    if kind == OUTER_PRODUCT:
        inputs, product = used.input[:, index[0]], "x * d"
    else:
        inputs, product = np.ones_like(signal), "d"
    shares = inputs * signal
    sample = int(np.argmax(np.abs(shares)))
    numbers = [f"{rounded(inputs[sample])} * {rounded(signal[sample])}"] * (product != "d")
    letters = [one.step for one in trace.steps]
    start = output_signal(letters, trace.loss_function)
    return [
        Equations((_factors(letters, step, weight, unit),)),
        Paragraph((f"In numbers, from the loss down to the weight, for sample {sample}, whose share is the largest:",)),
        Values(start.math, trace.error_signals[trace.last_signal][sample], start.remark),
        *reversed(list(_chain(trace, step, sample, unit))),
        Values(Math((product, *numbers), symbols), shares[sample], f"the share of sample {sample}"),
        Paragraph(("For all samples, whose shares are added:",)),
        Values(Math((product,), symbols), shares, "one for each sample"),
    ]


def _factors(letters: Sequence[Step], step: Step, weight: Symbol, unit: Index) -> Row:
    """∂L/∂w as a product of derivatives, up to the next step that mixes units, or to the first fork."""
    symbols = {"L": Symbol("L"), "w": weight, "y": entry(step.output, unit)}
    factors, here = ["partial(y, w)"], "y"
    for i, later in enumerate(path_behind(letters, step)):
        if not _elementwise(later):
            break
        symbols[f"y{i}"] = entry(later.output, unit)
        factors.append(f"partial(y{i}, {here})")
        here = f"y{i}"
    product = " * ".join([*factors, f"partial(L, {here})"])
    return Row(Math(("partial(L, w)", f"batch_sum({product})"), symbols), "", "added over the samples")


def _chain(trace: StepRecord, step: Step, sample: int, unit: Index) -> Iterator[Values]:
    """The error signals between the weight and the loss, from the weight on.

    Single entries as long as the weight acts through one entry; whole signals after a step that mixes units or a fork.
    """
    letters = [one.step for one in trace.steps]
    signal, last = step.output, trace.last_signal
    following: _One | None = (signal, unit)
    while following is not None:
        signal, unit = following
        if signal == last:
            return
        values, following = _from_one(trace, signal, sample, unit)
        yield values
    reached = [signal]
    for later in letters:
        if not isinstance(later, PenaltyStep) and any(one in reached for one in later.inputs):
            reached.append(later.output)
    for signal in reached[1:-1]:
        row = error_row(letters, signal)
        yield Values(Math(row.math.sides[:2], row.math.symbols), trace.error_signals[signal][sample], row.remark)


def _from_one(trace: StepRecord, signal: Symbol, sample: int, unit: Index) -> tuple[Values, _One | None]:
    """∂L/∂ one entry of a signal, and the single entry of the next signal through which it acts, if there is one."""
    letters = [one.step for one in trace.steps]
    uses = [(trace.steps[letters.index(step)], index) for step, index in uses_of(letters, signal)]
    uses = [(later, index) for later, index in uses if not _is_cut_away(later.step, index, unit)]
    passed, value = {"passed": entry(error_signal(signal), unit)}, trace.error_signals[signal][(sample, *unit)]
    if len(uses) > 1:
        shares = (rounded(later.passed_back[index][(sample, *unit)]) for later, index in uses)
        numbers = " + ".join(shares).replace("+ -", "- ")
        return Values(Math(("passed", numbers), passed), value, f"{len(uses)} ways lead on from here, added"), None
    if not uses:
        return Values(alone(passed["passed"]), value, "no way leads on from here"), None
    later, index = uses[0]
    step, row = later.step, backward_row(later.step, index)
    if isinstance(step, OperationStep) and (column := _output_column(step, index, unit)) is not None:
        symbols = {name: entry(symbol, unit) for name, symbol in step.symbols.items()}
        symbols |= passed | {"delta": entry(step.delta, (column,))}
        side = step.passed_back(index)[0][0] if step.operation.is_elementwise else "delta"
        return Values(Math(("passed", side), symbols), value, row.remark), (step.output, (column,))
    if _elementwise(step):
        return _through_slope(later, sample, unit), (step.output, unit)
    if step.formula is not None and ast.dump(tree(step.formula.passed_back or "0")) == THROUGH_WEIGHTS:
        return _through_weights(later, sample, unit), None
    return Values(alone(passed["passed"]), value, row.remark), None


def _is_cut_away(step: Step, index: int, unit: Index) -> bool:
    """Whether a slice leaves out this column."""
    return isinstance(step, OperationStep) and step.is_slice and _output_column(step, index, unit) is None


def _output_column(step: OperationStep, index: int, unit: Index) -> int | None:
    return step.operation.output_column(index, unit[0], step.input_shapes)


def _through_slope(later: TraceStep, sample: int, unit: Index) -> Values:
    step, place = later.step, (sample, *unit)
    assert step.formula is not None
    names = {**values_of_fields(step.layer), **later.parameters, "x": later.input, "y": later.output}
    slope = np.broadcast_to(evaluate(step.formula.derivative, names), later.output.shape)[place]
    symbols = {
        "passed": entry(step.delta_input, unit),
        "d": entry(step.delta, unit),
        "x": entry(step.input, unit),
        "prime": Symbol(f"{step.formula.function or 'f'}′"),
    }
    numbers = f"{rounded(later.delta[place])} * {rounded(slope)}"
    remark = f"times the slope of layer {step.place}, {type(step.layer).__name__}"
    return Values(Math(("passed", "d * prime(x)", numbers), symbols), later.delta_input[place], remark)


def _through_weights(later: TraceStep, sample: int, unit: Index) -> Values:
    """The sum over the units of the next layer, one path for each; only the largest terms are shown."""
    step, signal, weight = later.step, later.delta[sample], later.parameters["weight"][unit[0]]
    shown = sorted(np.argsort(-np.abs(signal * weight), kind="stable")[:LARGEST].tolist())
    symbols = {"passed": entry(step.delta_input, unit), "more": Symbol("…")}
    for k in shown:
        symbols[f"d{k}"] = entry(step.delta, (k,))
        symbols[f"w{k}"] = entry(step.parameters["weight"], (unit[0], k))
    rest = " + more" if len(shown) < len(signal) else ""
    letters = " + ".join(f"d{k} * w{k}" for k in shown) + rest
    numbers = " + ".join(f"{rounded(signal[k])} * {rounded(weight[k])}" for k in shown) + rest
    count = f"{len(signal)} paths" if len(signal) > 1 else "one path"
    remark = f"{count} through layer {step.place}{f', the {len(shown)} largest shown' if rest else ''}"
    return Values(Math(("passed", letters, numbers), symbols), later.delta_input[(sample, *unit)], remark)


def _elementwise(step: Step) -> bool:
    return step.formula is not None and bool(step.formula.derivative)


_DIFFERENCE = Math(("(L(w + h) - L(w - h)) / (2 * h)",), {"L": Symbol("L"), "w": Symbol("w"), "h": Symbol("h")})


@frozen(eq=False, repr=False)
class Explanation(Renderable):
    """The gradient of a single weight, followed by the chain rule from the loss to the weight, with a numeric check.

    ``print`` renders text, ``to_latex()`` and ``to_html()`` the other formats.

    Attributes:
        parameter, index: such as ``"0.weight"`` and ``(1, 2)``.
        gradient: ∂L/∂weight, from the trace.
        numeric: the central difference (L(w + h) − L(w − h)) / 2h in float64.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> net = Sequential([Dense(1, weight_init=Ones())], input_shape=2, rng=0)
    >>> trace = net.trace(np.array([[1.0, 2.0]]), np.array([[1.0]]), SumSquaredError())
    >>> explanation = trace.explain("0.weight", (1, 0))
    >>> explanation.gradient, round(explanation.numeric, 6)
    (8.0, 8.0)
    """

    trace: StepRecord
    parameter: str
    index: Index
    gradient: float
    numeric: float

    @classmethod
    def of(cls, trace: StepRecord, parameter: str, index: int | Index) -> Self:
        """Explain one entry of a gradient of the trace. Raises PositionError if there is no such parameter or entry."""
        if parameter not in trace.gradients:
            raise PositionError(
                f"explain: no parameter {parameter!r}: there are {', '.join(trace.gradients) or 'none'}"
            )
        gradient = trace.gradients[parameter]
        place = index if isinstance(index, tuple) else (index,)
        if len(place) != gradient.ndim or any(not -n <= i < n for i, n in zip(place, gradient.shape, strict=True)):
            raise PositionError(f"explain: {parameter} has shape {gradient.shape}, there is no entry {index}")
        exact = tuple(int(i) % n for i, n in zip(place, gradient.shape, strict=True))
        return cls(trace, parameter, exact, float(gradient[exact]), _difference(trace, parameter, exact))

    def document(self) -> Document:
        places = {
            f"{one.step.place}.{name}".lstrip("."): symbol
            for one in reversed(self.trace.steps)
            for name, symbol in one.step.parameters.items()
            if not isinstance(one.step, PenaltyStep)
        }
        symbol = places[self.parameter]
        weight, shown = entry(symbol, self.index), list(self.index)
        uses = [
            (position, name)
            for position, one in enumerate(self.trace.steps)
            for name, other in one.step.parameters.items()
            if other == symbol
        ]
        first, name = uses[0]
        blocks: list[Block] = [
            Paragraph((alone(weight), f" is entry {shown} of {self.parameter}:")),
            Values(alone(weight), self.trace.steps[first].parameters[name][self.index]),
        ]
        for position, name in uses:
            step = self.trace.steps[position].step
            if isinstance(step, PenaltyStep):
                blocks.append(Heading(f"Its penalty, {step.penalty}"))
            elif len(uses) > 1:
                blocks.append(Heading(f"Its use in layer {step.place}"))
            blocks += paths(self.trace, position, name, self.index)
        added = "the shares of all uses, added" if len(uses) > 1 else "all shares, added"
        blocks += [
            Heading("The result, and its check"),
            Values(alone(derivative(weight)), np.asarray(self.gradient), added),
            Values(_DIFFERENCE, np.asarray(self.numeric), "the difference that defines it, in float64"),
            Paragraph((f"They are {as_math(f'{abs(self.gradient - self.numeric):.1e}')} apart.",)),
        ]
        return Document(
            f"Why the gradient of {self.parameter}{shown} is {as_math(rounded(self.gradient))}", tuple(blocks)
        )


def _difference(trace: StepRecord, parameter: str, index: Index) -> float:
    """The central difference; each evaluation runs on a fresh copy, so random layers draw the same numbers."""
    x, y = _wide(trace.data.x), _wide(trace.data.y)
    weight = None if trace.data.sample_weight is None else _wide(trace.data.sample_weight)
    network = _in_float64(trace.network)

    def loss(moved: Array) -> float:
        copied = deepcopy(network)
        copied.named_parameters()[parameter].value = moved
        prediction, saved = copied.forward(x)
        return float(trace.loss_function.forward(prediction, y, weight)[0]) + copied.penalty(saved)

    with np.errstate(all="ignore"):
        start = network.named_parameters()[parameter].value.copy()
        return float(numeric_gradient(loss, start, places=[index])[index])


def _in_float64(network: Layer[Any]) -> Layer[Any]:
    copied = deepcopy(network)
    for parameter in copied.parameters():
        parameter.__setstate__((parameter.value.astype(np.float64), None, parameter.frozen, parameter.decay))
    for buffer in copied.named_buffers().values():
        object.__setattr__(buffer, "value", buffer.value.astype(np.float64))  # past the hook that keeps the dtype
    return copied


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array
