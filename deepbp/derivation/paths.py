"""The paths from one weight to the loss: single factors as long as one neuron is meant, then sums over neurons."""

import ast
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from deepbp.derivation.backward import OUTER_PRODUCT, THROUGH_WEIGHTS, backward_row, output_signal
from deepbp.derivation.document import Block, Equations, Paragraph, Row, Values
from deepbp.derivation.expressions import Math, alone, tree
from deepbp.derivation.numbering import Step, derivative
from deepbp.derivation.numbers import LARGEST
from deepbp.derivation.trace import Trace, TraceStep
from deepbp.layers.configuration import configuration
from deepbp.layers.formula import evaluate
from deepbp.layers.typeset import Symbol

Index: TypeAlias = tuple[int, ...]

_SUM_OF_SIGNAL = ast.dump(tree("batch_sum(delta)"))
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def entry(symbol: Symbol, index: Index) -> Symbol:
    """One number of an array: W¹ becomes W₁,₂¹."""
    return Symbol(symbol.letter + ",".join(str(i).translate(_SUBSCRIPTS) for i in index), symbol.number)


def rounded(value: Any) -> str:
    """A number among others in a formula."""
    return f"{float(value):.6g}"


def paths(trace: Trace, position: int, name: str, index: Index) -> list[Block]:
    """What one use of a weight gives: for one sample down the whole chain, then for all samples."""
    used = trace.steps[position]
    step, weight = used.step, entry(used.step.parameters[name], index)
    stated = step.formula.gradients.get(name, "0") if step.formula is not None else "0"
    kind = ast.dump(tree(stated))
    if kind not in (OUTER_PRODUCT, _SUM_OF_SIGNAL):
        remark = f"from layer {step.place}, {type(step.layer).__name__}, which is not taken apart"
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
    start = output_signal([one.step for one in trace.steps], trace.loss_function)
    return [
        Equations((_factors(trace, position, weight, unit),)),
        Paragraph((f"In numbers, from the loss down to the weight, for sample {sample}, whose share is the largest:",)),
        Values(start.math, trace.steps[-1].delta[sample], start.remark),
        *reversed(list(_chain(trace, position, sample, unit))),
        Values(Math((product, *numbers), symbols), shares[sample], f"the share of sample {sample}"),
        Paragraph(("For all samples, whose shares are added:",)),
        Values(Math((product,), symbols), shares, "one for each sample"),
    ]


def _factors(trace: Trace, position: int, weight: Symbol, unit: Index) -> Row:
    """∂L/∂w as a product of derivatives, up to the next layer that mixes neurons."""
    symbols = {"L": Symbol("L"), "w": weight, "y": entry(trace.steps[position].step.output, unit)}
    factors, here = ["partial(y, w)"], "y"
    for i, later in enumerate(trace.steps[position + 1 :]):
        if not _elementwise(later.step):
            break
        symbols[f"y{i}"] = entry(later.step.output, unit)
        factors.append(f"partial(y{i}, {here})")
        here = f"y{i}"
    product = " * ".join([*factors, f"partial(L, {here})"])
    return Row(Math(("partial(L, w)", f"batch_sum({product})"), symbols), "", "added over the samples")


def _chain(trace: Trace, position: int, sample: int, unit: Index | None) -> Iterator[Values]:
    """What each layer behind the weight passes back, from the weight towards the loss."""
    for later in trace.steps[position + 1 :]:
        step = later.step
        row = backward_row(step)
        if unit is None:
            yield Values(Math(row.math.sides[:2], row.math.symbols), later.delta_input[sample], row.remark)
        elif _elementwise(step):
            yield _through_slope(later, sample, unit)
        elif step.formula is not None and ast.dump(tree(step.formula.passed_back or "0")) == THROUGH_WEIGHTS:
            yield _through_weights(later, sample, unit)
            unit = None
        else:
            value = later.delta_input[(sample, *unit)]
            yield Values(alone(entry(step.delta_input, unit)), value, row.remark)
            unit = None


def _through_slope(later: TraceStep, sample: int, unit: Index) -> Values:
    step, place = later.step, (sample, *unit)
    assert step.formula is not None
    names = {**configuration(step.layer), **later.parameters, "x": later.input, "y": later.output}
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
    """One path for each neuron that the number goes on to; the most important ones are shown."""
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
