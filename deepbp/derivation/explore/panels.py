"""The panels of a step: the input, each layer in forward order, the loss, and the update."""

import numpy as np

from deepbp.derivation.backward import output_signal
from deepbp.derivation.document import Row
from deepbp.derivation.explore.figures import number
from deepbp.derivation.explore.panel import LOSS, TEXT, Half, Panel, Quantity
from deepbp.derivation.explore.step_panel import size, step_panel
from deepbp.derivation.expressions import Math
from deepbp.derivation.forward import PREDICTION, value_row
from deepbp.derivation.numbering import steps
from deepbp.derivation.price import Price, last_signal
from deepbp.derivation.step import derivative, error_signal
from deepbp.derivation.trace import Trace
from deepbp.layers.pen import Symbol

TARGET = Symbol("y")


def panels(trace: Trace) -> list[Panel]:
    """All panels, with the stages numbered as the step goes: forward, loss, backward, update."""
    own = steps(trace.network)  # with the parameters as they were in this step
    layers = [step_panel(trace, position, one) for position, one in enumerate(own)]
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
    return Panel("The input", [half], 0, first.input, "input", size(first.input_shape))


def _loss(trace: Trace) -> Panel:
    done, value = [one.step for one in trace.steps], number(trace.loss)
    output = last_signal(done)
    delta, prices = error_signal(output), [one for one in trace.steps if isinstance(one.step, Price)]
    letters = {"prediction": PREDICTION, "output": output, "loss": LOSS, "value": Symbol(value)}
    forward = Half(
        stage=len(trace) + 1,
        direction="forward",
        heading="Forward",
        title=f"Forward: the loss, {type(trace.loss_function).__name__}, is {value}",
        rows=[
            Row(Math(("prediction", "output"), letters)),
            value_row(done, trace.loss_function),
            Row(Math(("loss", "value"), letters)),
        ],
        quantities=[
            Quantity(PREDICTION, trace.prediction),
            Quantity(TARGET, np.asarray(trace.target)),
            *(Quantity(one.step.output, one.output, samples=False) for one in prices),
        ],
    )
    backward = Half(
        stage=len(trace) + 2,
        direction="backward",
        heading="Backward",
        title=f"Backward: the error signal starts with {TEXT.symbol(delta)}",
        rows=[output_signal(done, trace.loss_function)],
        quantities=[Quantity(delta, trace.error_signals[output])],
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
