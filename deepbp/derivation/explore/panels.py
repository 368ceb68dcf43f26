"""The panels of a step: the input, each layer in forward order, the loss, and the update."""

import numpy as np

from deepbp.derivation.backward import backward_row, gradient_rows, output_signal
from deepbp.derivation.document import Row
from deepbp.derivation.explore.figures import number
from deepbp.derivation.explore.panel import LOSS, TEXT, Half, Panel, Quantity
from deepbp.derivation.expressions import Math, with_values
from deepbp.derivation.forward import PREDICTION, forward_row, loss_rows
from deepbp.derivation.numbering import steps
from deepbp.derivation.step import Step, derivative
from deepbp.derivation.trace import Trace
from deepbp.layers.typeset import Symbol
from deepbp.typing import Shape

TARGET = Symbol("y")


def panels(trace: Trace) -> list[Panel]:
    """All panels, with the stages numbered as the step goes: forward, loss, backward, update."""
    own = steps(trace.network)  # with the parameters as they were in this step
    layers = [_layer(trace, position, one) for position, one in enumerate(own)]
    update = [_update(trace)] if any(one.parameters for one in own) else []
    return [_input(trace), *layers, _loss(trace), *update]


def _input(trace: Trace) -> Panel:
    first = trace.steps[0].step
    half = Half(
        stage=0,
        direction="forward",
        heading="Forward",
        title=f"Forward: the input {TEXT.symbol(first.input)}, samples of shape {first.input_shape}",
        quantities=[Quantity(first.input, trace.steps[0].input)],
        note="The samples, one in each row. The first layer takes them as they are.",
    )
    return Panel("The input", [half], 0, first.input, "input", _size(first.input_shape))


def _layer(trace: Trace, position: int, own: Step) -> Panel:
    traced, step = trace.steps[position], trace.steps[position].step
    kind = type(step.layer).__name__
    output, delta, passed = (TEXT.symbol(symbol) for symbol in (step.output, step.delta, step.delta_input))
    found = " and ".join(TEXT.symbol(derivative(symbol)) for symbol in step.parameters.values())
    forward = Half(
        stage=position + 1,
        direction="forward",
        heading="Forward",
        title=f"Forward: layer {step.place}, {kind}, makes {output}, of shape {step.output_shape}",
        rows=[_forward(step)],
        quantities=[
            Quantity(step.input, traced.input),
            *(
                Quantity(step.parameters[name], p.value, samples=False)
                for name, p in own.layer.named_parameters().items()
            ),
            Quantity(step.output, traced.output),
        ],
        note="" if step.formula else "This layer states no formula: it is a black box.",
    )
    backward = Half(
        stage=2 * len(trace) + 2 - position,
        direction="backward",
        heading="Backward",
        title=f"Backward: layer {step.place}, {kind}, takes {delta} and passes back {passed}"
        + (f"; it finds {found}" if found else ""),
        rows=[*gradient_rows([step]).values(), backward_row(step)],
        quantities=[
            Quantity(step.delta, traced.delta),
            *(Quantity(derivative(step.parameters[n]), g, samples=False) for n, g in traced.gradients.items()),
            Quantity(step.delta_input, traced.delta_input),
        ],
        note="" if position else f"No layer stands before this one: training does not need its {passed}.",
    )
    title = f"Layer {step.place}: {step.layer}"
    return Panel(title, [forward, backward], position + 1, step.output, kind, _size(step.output_shape))


def _forward(step: Step) -> Row:
    """An activation's letter and what it means, in one line."""
    row = forward_row(step)
    if step.formula is None or not step.formula.function:
        return row
    meant = Math((with_values(step.formula.forward, step.layer),), row.math.symbols)
    if row.math.written(TEXT).endswith(f"= {meant.written(TEXT)}"):
        return row  # a letter that stands for itself, such as tanh
    return Row(Math((*row.math.sides, *meant.sides), row.math.symbols))


def _loss(trace: Trace) -> Panel:
    last, value = trace.steps[-1], number(trace.loss)
    output, delta = last.step.output, last.step.delta
    letters = {"prediction": PREDICTION, "output": output, "loss": LOSS, "value": Symbol(value)}
    forward = Half(
        stage=len(trace) + 1,
        direction="forward",
        heading="Forward",
        title=f"Forward: the loss, {type(trace.loss_function).__name__}, is {value}",
        rows=[
            Row(Math(("prediction", "output"), letters)),
            loss_rows(trace.loss_function)[0],
            Row(Math(("loss", "value"), letters)),
        ],
        quantities=[Quantity(PREDICTION, last.output), Quantity(TARGET, np.asarray(trace.target))],
    )
    backward = Half(
        stage=len(trace) + 2,
        direction="backward",
        heading="Backward",
        title=f"Backward: the error signal starts with {TEXT.symbol(delta)}",
        rows=[output_signal([one.step for one in trace.steps], trace.loss_function)],
        quantities=[Quantity(delta, last.delta)],
    )
    return Panel(f"The loss: {trace.loss_function}", [forward, backward], len(trace) + 1, LOSS, "loss", value)


def _update(trace: Trace) -> Panel:
    """The end: what an optimizer does with the gradients."""
    parameters = {symbol: None for one in trace.steps for symbol in one.step.parameters.values()}
    half = Half(
        stage=2 * len(trace) + 3,
        direction="",
        heading="Every gradient is known",
        title="The update: every gradient is known, and each parameter takes a step against its own",
        rows=[
            Row(Math(("w", "w - rate * g"), {"w": symbol, "rate": Symbol("η"), "g": derivative(symbol)}, "←"))
            for symbol in parameters
        ],
        note="Only now do the parameters change, for all gradients belong to the values of the way forward. This is "
        "gradient descent with the learning rate η; other optimizers make more of the same gradients.",
    )
    return Panel("The update", [half])


def _size(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "1"
