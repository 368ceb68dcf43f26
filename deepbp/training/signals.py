"""Monitoring of signals: sizes of activations, error signals and gradients by layer, and a diagnosis of them."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from attrs import define, field, frozen

from deepbp._plain_text import printable
from deepbp._rich import ShownText
from deepbp.errors import ConfigurationError, DeepBPError
from deepbp.errors.validators import optional, positive_int
from deepbp.formulas.language import Formula, evaluate
from deepbp.layers import Layer, SliceColumns, SliceSteps
from deepbp.layers.observed_pass import FlatNode, NodeRecord, ObservedPass, flattened
from deepbp.losses import Loss
from deepbp.training.data import Data
from deepbp.training.trainer import Callback, Trainer
from deepbp.typing import Array, ArrayLike

FLAT = 0.05  # of the steepest slope: below it an activation counts as saturated
_GRID = np.linspace(-20.0, 20.0, 4001)


@frozen(eq=False)
class Signals:
    """Sizes of the signals of L layers after a step of a training; each array has shape (L,).

    Attributes:
        step: the number of updates before the measurement.
        loss: the loss of the measured samples, without penalties.
        activations: root mean square of each layer's output.
        error_signals: root mean square of δ = ∂L/∂(the layer's output).
        gradients: root mean square of ∂L/∂(the layer's parameters); NaN for a layer without parameters, and for one
            whose parameters an earlier layer shares.
        dead: share of the units whose slope is 0 for every sample; NaN if the layer states no derivative.
        saturated: share of the activations whose slope is below 5 % of the steepest slope; NaN for functions that do
            not saturate on both sides, such as ReLU.

    >>> import numpy as np
    >>> from deepbp import Sequential, Trainer
    >>> from deepbp.layers import Dense, ReLU
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> from deepbp.training import SignalMonitor
    >>> trainer = Trainer(Sequential([Dense(2), ReLU()], input_shape=2, rng=0), MeanSquaredError(), SGD(0.1))
    >>> signals = SignalMonitor(np.ones((3, 2)), np.ones((3, 2))).look(trainer)
    >>> signals.step, signals.activations.shape, bool(np.isnan(signals.gradients[1]))
    (0, (2,), True)
    """

    step: int
    loss: float
    activations: Array
    error_signals: Array
    gradients: Array
    dead: Array
    saturated: Array


def observed(model: Layer[Any]) -> list[FlatNode]:
    """The layers and merges that a monitor records, in forward order, composites taken apart.

    Columns that are sliced off for a branch, and penalties, are left out: neither changes a number of a signal.
    """
    return [node for node in flattened(model) if _is_recorded(node)]


def _is_recorded(node: FlatNode) -> bool:
    return node.is_signal and not isinstance(node.operation, SliceColumns | SliceSteps)


def measure(model: Layer[Any], loss: Loss[Any], data: Data, step: int) -> Signals:
    """Run the samples forward and backward through a copy, so that nothing in the model changes."""
    run = ObservedPass.of(deepcopy(model))
    with np.errstate(all="ignore"):  # sizes that are not finite are part of the answer
        value, saved = loss.forward(run.forward(data.x), data.y, data.sample_weight)
        run.backward(loss.backward(saved))
        records = [record for record in run.records if _is_recorded(record.node)]
        return Signals(
            step,
            value,
            np.array([_size(record.output) for record in records]),
            np.array([_size(record.delta) for record in records if record.delta is not None]),
            np.array(_gradient_sizes(run)),
            *np.array([_inactive(record) for record in records]).T,
        )


def _size(*arrays: Array) -> float:
    """Root mean square, in float64 because squares of small float32 numbers are 0; NaN for no numbers."""
    count = sum(array.size for array in arrays)
    total = sum(float(np.sum(np.square(array, dtype=np.float64))) for array in arrays)
    return float(np.sqrt(total / count)) if count else float("nan")


def _gradient_sizes(run: ObservedPass) -> list[float]:
    """One for each recorded node; a parameter that is used several times counts at its first use."""
    totals = run.parameter_gradients()
    recorded = (record for record in run.records if _is_recorded(record.node))
    return [_size(*(totals.pop(id(p)) for p in one.parameters.values() if id(p) in totals)) for one in recorded]


def _inactive(record: NodeRecord) -> tuple[float, float]:
    """The share of dead units, and that of saturated activations."""
    layer = record.node.layer
    formula = layer.stated_formula() if record.node.operation is None else None
    if formula is None or not formula.derivative:
        return float("nan"), float("nan")
    upstream = np.ones_like(record.node.merged(record.output))
    slopes = np.abs(layer.backward(record.saved, upstream))  # elementwise: ones give the slopes
    steepest = _steepest_of_squashing(formula)
    saturated = float("nan") if steepest is None else float(np.mean(slopes < FLAT * steepest))
    return float(np.mean((slopes == 0).all(axis=0))), saturated


def _steepest_of_squashing(formula: Formula) -> float | None:
    """The steepest slope of a function that saturates on both sides; None for other functions."""
    try:
        names = {"x": _GRID, "y": evaluate(formula.forward, {"x": _GRID})}
        slopes = np.abs(np.broadcast_to(evaluate(formula.derivative, names), _GRID.shape).astype(float))
    except ConfigurationError:  # the formula depends on parameters
        return None
    steepest = float(slopes.max())
    return steepest if max(slopes[0], slopes[-1]) < FLAT * steepest else None


LARGE_FACTOR = 1000.0  # between first and last layer: healthy networks stay within one or two powers of ten
MANY_DEAD = 0.4  # in healthy ReLU networks, too, some units are 0 for a few dozen samples
MANY_SATURATED = 0.6

REMEDIES = {
    "not finite": "a lower learning rate, clip_norm=1.0, smaller first weights, inputs scaled to about ±1",
    "no error signal": "nothing, if the loss is as low as it can be; else a loss on logits in place of one behind a "
    "saturated activation, and smaller first weights",
    "vanishing": "ReLU with weight_init=HeNormal(), or Tanh with weight_init=Orthogonal(), in place of Sigmoid; "
    "fewer layers; paths that lead around layers",
    "exploding": "smaller first weights, such as GlorotUniform() for Tanh and HeNormal() for ReLU; clip_norm=1.0; "
    "a lower learning rate",
    "fading": "larger first weights: HeNormal() for ReLU, Orthogonal() for Tanh; inputs scaled to about ±1",
    "growing": "smaller first weights: HeNormal() for ReLU, GlorotUniform() for Tanh; a lower learning rate",
    "dead units": "a lower learning rate, weight_init=HeNormal(), inputs scaled to about ±1, or an activation with a "
    "slope on both sides, such as Tanh",
    "saturated": "smaller first weights, inputs scaled to about ±1, a lower learning rate, or ReLU",
}


@frozen
class Finding:
    """One symptom: its kind, a key of ``REMEDIES``, and its description."""

    kind: str
    text: str


def findings(layers: Sequence[str], signals: Signals) -> list[Finding]:
    """The symptoms in one measurement."""
    sizes = np.stack([signals.activations, signals.error_signals, np.nan_to_num(signals.gradients, nan=0.0)])
    overflowed = ~np.isfinite(sizes).all(axis=0)
    if overflowed.any() or not np.isfinite(signals.loss):
        where = f"first at layer {layers[int(overflowed.argmax())]}" if overflowed.any() else "in the loss itself"
        return [Finding("not finite", f"a number became infinite or NaN, {where}")]
    return list(_findings(layers, signals))


def _findings(layers: Sequence[str], signals: Signals) -> Iterator[Finding]:
    """The symptoms, causes before their effects."""
    hidden = np.arange(len(layers)) < len(layers) - 1  # a saturated output may be a confident, correct prediction
    saturated = hidden & (signals.saturated > MANY_SATURATED)
    dead = hidden & (signals.dead > MANY_DEAD) & ~saturated
    if dead.any():
        shares = _shares(layers, signals.dead, dead)
        yield Finding("dead units", f"units that pass no error signal, whatever the sample: {shares}")
    if saturated.any():
        shares = _shares(layers, signals.saturated, saturated)
        yield Finding("saturated", f"activations where the slope is below 5% of the steepest: {shares}")

    trained = np.flatnonzero(~np.isnan(signals.gradients))
    first, last = (int(trained[0]), int(trained[-1])) if len(trained) else (0, 0)
    near, far = signals.error_signals[last], signals.error_signals[first]
    if near == 0:
        yield Finding("no error signal", f"δ is 0 at layer {layers[last]} already, so nothing is learned")
    elif far * LARGE_FACTOR < near or far > near * LARGE_FACTOR:
        path = f"the error signal is {near:.1e} at layer {layers[last]} and {_compared(far, near)} at "
        path += f"layer {layers[first]}"
        if far < near:
            yield Finding("vanishing", f"{path}: the first layers hardly learn")
        else:
            yield Finding("exploding", f"{path}: updates of the first layers throw away what was learned")
    if last > first:  # up to the last hidden layer, as the size of the output depends on the targets
        shallow, deep = signals.activations[first], signals.activations[last - 1]
        path = f"activations are {shallow:.1e} after layer {layers[first]} and {_compared(deep, shallow)} after "
        path += f"layer {layers[last - 1]}"
        if deep * LARGE_FACTOR < shallow:
            yield Finding("fading", f"{path}: the last layers hardly see the input")
        elif deep > shallow * LARGE_FACTOR:
            yield Finding("growing", f"{path}: small changes of the input throw the output far")


def report(layers: Sequence[str], records: Sequence[Signals]) -> str:
    """The symptoms of the last measurement, their start and the usual remedies; then the symptoms that have passed."""
    if not records:
        raise ConfigurationError("SignalMonitor: has seen nothing yet: give callbacks=[monitor] to fit")
    seen = [{finding.kind: finding for finding in findings(layers, signals)} for signals in records]
    first, last = records[0], records[-1]
    lines = [
        f"Signals of {len(layers)} layers, looked at {len(records)} times, steps {first.step} to {last.step}: "
        f"loss {first.loss:.4g} before, {last.loss:.4g} after."
    ]
    for kind, finding in seen[-1].items():
        start = len(seen) - 1
        while start and kind in seen[start - 1]:
            start -= 1
        since = f"since step {records[start].step}" if start else "from the start"
        lines += [f"{kind}, {since}: {finding.text}.", f"    What usually helps: {REMEDIES[kind]}."]
    for kind in dict.fromkeys(kind for kinds in seen for kind in kinds if kind not in seen[-1]):
        until = max(record.step for record, kinds in zip(records, seen, strict=True) if kind in kinds)
        lines.append(f"{kind}, until step {until}: has passed.")
    if len(lines) == 1:
        lines.append("Nothing unusual: error signals and activations keep their size, and no layer is shut.")
    return "\n".join(lines)


def _compared(size: float, other: float) -> str:
    """A size, and its ratio to another size, in words."""
    if size == 0 or other == 0:
        return f"{size:.1e}" if size else "0"
    factor, word = (other / size, "smaller") if size < other else (size / other, "larger")
    return f"{size:.1e}, {factor:.1e} times {word},"


def _shares(layers: Sequence[str], shares: Array, which: Array) -> str:
    """The three layers with the largest shares, and the number of others."""
    worst: list[int] = sorted(np.flatnonzero(which).tolist(), key=lambda i: -shares[i])
    listed = ", ".join(f"{shares[i]:.0%} of layer {layers[i]}" for i in worst[:3])
    return listed + (f", and {len(worst) - 3} more" if len(worst) > 3 else "")


@define(eq=False)
class SignalMonitor(Callback):
    """Callback that records the sizes of activations, error signals and gradients by layer, on a few fixed samples.

    It also records the shares of dead and of saturated units. ``report`` lists symptoms, such as vanishing gradients,
    with the usual remedies; ``deepbp.plots.signals`` plots the records. Composite layers are taken apart. Measurements
    run on a copy of the model, so training is identical, bit for bit, with and without the monitor.

    Args:
        x, y: the measured samples, a few dozen of the training samples.
        every: number of steps between measurements; None measures after each epoch. The states before and after
            training are always measured.

    Attributes:
        layers: names of the recorded layers, such as ``"0 Dense"``, in forward order.
        records: one ``Signals`` for each measurement.

    Raises:
        ConfigurationError: if the monitor is used for a second network.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.callbacks import SignalMonitor
    >>> from deepbp.layers import Dense, Residual, Tanh
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> x, y = np.eye(3), np.ones((3, 3))
    >>> net = Sequential([Residual([Dense(3), Tanh()])], input_shape=3, rng=0)
    >>> history = net.fit(x, y, loss=MeanSquaredError(), optimizer=SGD(0.1), callbacks=[monitor := SignalMonitor(x, y)])
    >>> monitor.layers, [record.step for record in monitor.records]
    (('0.body.0 Dense', '0.body.1 Tanh', '0 Residual'), [0, 1])
    """

    x: ArrayLike = field(repr=False)
    y: ArrayLike = field(repr=False)
    every: int | None = field(default=None, validator=optional(positive_int))
    layers: tuple[str, ...] = field(default=(), init=False, repr=False)
    records: list[Signals] = field(factory=list, init=False, repr=False)
    _model: Layer[Any] | None = field(default=None, init=False, repr=False)
    _trainer: Any = field(default=None, init=False, repr=False)
    _before: int = field(default=0, init=False, repr=False)  # steps made by earlier trainers

    def look(self, trainer: Trainer) -> Signals:
        """Measure and record the present state. ``fit`` does so; call it yourself between calls of ``Trainer.step``."""
        self._attach(trainer)
        step = self._before + trainer.steps
        if not self.records or self.records[-1].step != step:
            try:
                data = Data.of(trainer.model, trainer.loss, self.x, self.y)
            except DeepBPError as error:
                raise error.placed("SignalMonitor") from None
            self.records.append(measure(trainer.model, trainer.loss, data, step))
        return self.records[-1]

    def report(self) -> str:
        """Return the symptoms and their usual remedies. Raises ConfigurationError before the first measurement."""
        return ShownText(printable(report(self.layers, self.records)))

    def on_fit_start(self, trainer: Trainer) -> None:
        self.look(trainer)

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if self.every is not None and trainer.steps % self.every == 0:
            self.look(trainer)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        if self.every is None:
            self.look(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        self.look(trainer)

    def _attach(self, trainer: Trainer) -> None:
        if trainer is self._trainer:
            return
        if self._model not in (None, trainer.model):
            raise ConfigurationError("SignalMonitor: watches another network already: make one for each network")
        if self.records:  # a new trainer continues the training: continue the step count
            self._before = self.records[-1].step - trainer.steps
        self._model, self._trainer = trainer.model, trainer
        self.layers = tuple(f"{node.place} {type(node.layer).__name__}".lstrip() for node in observed(trainer.model))
