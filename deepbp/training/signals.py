"""Signals in a network: sizes of activations and gradients, layer by layer."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from attrs import define, field, frozen

from deepbp.errors import ConfigurationError, DeepBPError
from deepbp.errors.validators import optional, positive_int
from deepbp.formulas.language import Formula, evaluate
from deepbp.layers import Chain, Layer
from deepbp.losses import Loss
from deepbp.training.data import Data
from deepbp.training.trainer import Callback, Trainer
from deepbp.typing import Array, ArrayLike

FLAT = 0.05  # of the steepest slope: below it an activation counts as saturated
_GRID = np.linspace(-20.0, 20.0, 4001)


@frozen(eq=False)
class Signals:
    """One look at a network of L layers, each array of shape (L,).

    Attributes:
        step: how many updates had been made.
        loss: of the samples that were looked at.
        activations: root mean square of each layer's output.
        error_signals: root mean square of δ = ∂L/∂(the layer's output).
        gradients: root mean square of ∂L/∂(the layer's parameters); NaN for a layer without any of its own.
        dead: the share of units whose slope is 0 for every sample; NaN where no slope is known.
        saturated: the share of activations whose slope is below 5 % of the steepest one; NaN for a layer that is no
            squashing function, such as ReLU.
    """

    step: int
    loss: float
    activations: Array
    error_signals: Array
    gradients: Array
    dead: Array
    saturated: Array


def leaves(model: Layer[Any], place: str = "") -> Iterator[tuple[str, Layer[Any]]]:
    """The layers in the order in which they run, chains walked into, by the places that ``named_layers`` gives."""
    if isinstance(model, Chain):
        for position, layer in enumerate(model.layers):
            yield from leaves(layer, f"{place}.{position}" if place else str(position))
    else:
        yield place, model


def measure(model: Layer[Any], loss: Loss[Any], data: Data, step: int) -> Signals:
    """Run the samples forwards and backwards through a copy, so that nothing in the model changes."""
    layers = [layer for _, layer in leaves(deepcopy(model))]
    memories: list[Any] = []
    activations, error_signals, shut = [], [], []
    with np.errstate(all="ignore"):  # sizes that are not finite are part of the answer
        x = data.x
        for layer in layers:
            x, memory = layer.forward(x)
            memories.append(memory)
            activations.append(_size(x))
            shut.append(_shut(layer, memory, x))
        value, loss_saved = loss.forward(x, data.y, data.sample_weight)
        delta = loss.backward(loss_saved)
        for layer in layers:
            for parameter in layer.parameters():
                parameter.clear_grad()
        for layer, memory in zip(layers[:0:-1], memories[:0:-1], strict=True):
            error_signals.append(_size(delta))
            delta = layer.backward(memory, delta)
        error_signals.append(_size(delta))
        layers[0].backward_parameters(memories[0], delta)
        return Signals(
            step,
            value,
            np.array(activations),
            np.array(error_signals[::-1]),
            np.array(list(_gradient_sizes(layers))),
            *np.array(shut).T,
        )


def _size(*arrays: Array) -> float:
    """Root mean square, summed in float64, for the square of a small float32 is 0; NaN of nothing."""
    count = sum(array.size for array in arrays)
    total = sum(float(np.sum(np.square(array, dtype=np.float64))) for array in arrays)
    return float(np.sqrt(total / count)) if count else float("nan")


def _gradient_sizes(layers: list[Layer[Any]]) -> Iterator[float]:
    """One for each layer; a parameter that is used again counts where it is used first."""
    seen: set[int] = set()
    for layer in layers:
        own = [parameter for parameter in layer.parameters() if id(parameter) not in seen]
        seen.update(map(id, own))
        yield _size(*(parameter.grad for parameter in own))


def _shut(layer: Layer[Any], memory: Any, y: Array) -> tuple[float, float]:
    """The shares of dead units and of saturated activations."""
    formula = layer.stated_formula()
    if formula is None or not formula.derivative:
        return float("nan"), float("nan")
    slopes = np.abs(layer.backward(memory, np.ones_like(y)))  # each number by itself, so ones give the slopes
    steepest = _steepest_of_squashing(formula)
    saturated = float("nan") if steepest is None else float(np.mean(slopes < FLAT * steepest))
    return float(np.mean((slopes == 0).all(axis=0))), saturated


def _steepest_of_squashing(formula: Formula) -> float | None:
    """The steepest slope of a function that is flat on both sides; None for any other."""
    try:
        names = {"x": _GRID, "y": evaluate(formula.forward, {"x": _GRID})}
        slopes = np.abs(np.broadcast_to(evaluate(formula.derivative, names), _GRID.shape).astype(float))
    except ConfigurationError:  # it has parameters of its own
        return None
    steepest = float(slopes.max())
    return steepest if max(slopes[0], slopes[-1]) < FLAT * steepest else None


LARGE_FACTOR = 1000.0  # between the first layer and the last: a sound network stays within one or two powers of ten
MANY_DEAD = 0.4  # a sound ReLU network has some that are off for a few dozen samples
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
    """Something unusual: its kind, one of ``REMEDIES``, and what was seen."""

    kind: str
    text: str


def findings(layers: Sequence[str], signals: Signals) -> list[Finding]:
    """All that is unusual in one look."""
    sizes = np.stack([signals.activations, signals.error_signals, np.nan_to_num(signals.gradients, nan=0.0)])
    overflowed = ~np.isfinite(sizes).all(axis=0)
    if overflowed.any() or not np.isfinite(signals.loss):
        where = f"first at layer {layers[int(overflowed.argmax())]}" if overflowed.any() else "in the loss itself"
        return [Finding("not finite", f"a number became infinite or NaN, {where}")]
    return list(_findings(layers, signals))


def _findings(layers: Sequence[str], signals: Signals) -> Iterator[Finding]:
    """Causes first, then what they lead to."""
    hidden = np.arange(len(layers)) < len(layers) - 1  # a saturated output may be a sure, right answer
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
    if last > first:  # up to the last hidden layer: the output has the size of the targets
        shallow, deep = signals.activations[first], signals.activations[last - 1]
        path = f"activations are {shallow:.1e} after layer {layers[first]} and {_compared(deep, shallow)} after "
        path += f"layer {layers[last - 1]}"
        if deep * LARGE_FACTOR < shallow:
            yield Finding("fading", f"{path}: the last layers hardly see the input")
        elif deep > shallow * LARGE_FACTOR:
            yield Finding("growing", f"{path}: small changes of the input throw the output far")


def report(layers: Sequence[str], records: Sequence[Signals]) -> str:
    """The findings of the last look, since when, and what usually helps; then those that have passed."""
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
    """A size, and how many times smaller or larger than the other it is."""
    if size == 0 or other == 0:
        return f"{size:.1e}" if size else "0"
    factor, word = (other / size, "smaller") if size < other else (size / other, "larger")
    return f"{size:.1e}, {factor:.1e} times {word},"


def _shares(layers: Sequence[str], shares: Array, which: Array) -> str:
    """The three worst layers, by share and name, and how many more there are."""
    worst: list[int] = sorted(np.flatnonzero(which).tolist(), key=lambda i: -shares[i])
    listed = ", ".join(f"{shares[i]:.0%} of layer {layers[i]}" for i in worst[:3])
    return listed + (f", and {len(worst) - 3} more" if len(worst) > 3 else "")


@define(eq=False)
class SignalMonitor(Callback):
    """Records layer by layer, on a few fixed samples, the sizes of activations, error signals and gradients.

    Also the shares of dead and of saturated units; ``report`` says in words what is seen and what usually helps, and
    ``deepbp.plots.signals`` draws it. Each look runs the samples through a copy of the model, so training goes on to
    the bit as it would without.

    Args:
        x, y: the samples to look at, some dozens of those to train on.
        every: look after this many steps; None is after each epoch. The state before and after training is always
            looked at.

    Attributes:
        layers: the names of the layers, such as ``"0 Dense"``, in the order in which they run.
        records: one ``Signals`` for each look.

    Raises:
        ConfigurationError: when it is used for a second network.
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
        """Record the present state; training with ``fit`` does it by itself, steps by hand may ask for it."""
        self._watch(trainer)
        step = self._before + trainer.steps
        if not self.records or self.records[-1].step != step:
            try:
                data = Data.of(trainer.model, trainer.loss, self.x, self.y)
            except DeepBPError as error:
                raise error.placed("SignalMonitor") from None
            self.records.append(measure(trainer.model, trainer.loss, data, step))
        return self.records[-1]

    def report(self) -> str:
        """What is to be seen, in words, and what usually helps. Raises ConfigurationError before the first look."""
        return report(self.layers, self.records)

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

    def _watch(self, trainer: Trainer) -> None:
        if trainer is self._trainer:
            return
        if self._model not in (None, trainer.model):
            raise ConfigurationError("SignalMonitor: watches another network already: make one for each network")
        if self.records:  # trained again, by a new trainer: its steps are counted on
            self._before = self.records[-1].step - trainer.steps
        self._model, self._trainer = trainer.model, trainer
        self.layers = tuple(f"{place} {type(layer).__name__}".lstrip() for place, layer in leaves(trainer.model))
