"""What the sizes of signals mean, in words: vanishing, exploding, dead, saturated; and what usually helps."""

from collections.abc import Iterator, Sequence

import numpy as np
from attrs import frozen

from deepbp.errors import ConfigurationError
from deepbp.training.signals import Signals
from deepbp.typing import Array

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
