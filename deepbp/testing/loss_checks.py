"""Conformance checks of losses."""

import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from math import isfinite, prod
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen

from deepbp._validation import as_shape
from deepbp.errors import ArgumentTypeError, ShapeError, shown
from deepbp.formulas.algebra import ONE
from deepbp.losses import Loss
from deepbp.testing import comparisons
from deepbp.testing.check import Check, CheckFailure, Stages, as_seed, checks_of, run_all
from deepbp.testing.comparisons import expect_agreement, expect_same, stated_value, values_of_fields
from deepbp.testing.configuration import CHECKS
from deepbp.testing.derived_formulas import Rules
from deepbp.testing.diagnosis import GradientSample
from deepbp.testing.gradients import expect_gradient, numeric_gradient
from deepbp.typing import Array, Seed, Shape, ShapeLike

__tracebackhide__ = True  # pytest shows no frames of this module

Draw: TypeAlias = Callable[[np.random.Generator, Shape], Array]
"""Draws predictions or targets of a shape that includes the batch axis."""

ROWS = 5


@frozen
class LossCase:
    """Test case: a loss, with functions that draw its predictions and targets."""

    subject: Loss[Any]
    output_shape: Shape
    predictions: Draw
    targets: Draw
    seed: int

    def rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    def pair(self, stream: int = 0, dtype: str = "float64", rows: int = ROWS) -> tuple[Array, Array]:
        """Draw predictions, and targets that the loss has prepared as for a network; each stream gives others."""
        shape = (rows, *self.output_shape)
        prediction, target = self.predictions(self.rng(stream), shape), self.targets(self.rng(stream + 100), shape)
        return prediction.astype(dtype), self.subject.prepare_target(target, self.output_shape, np.dtype(dtype))

    def weights(self, stream: int = 0) -> Array:
        return self.rng(stream + 200).uniform(0.5, 2, ROWS)

    def alone(self, prediction: Array, target: Array) -> list[float]:
        """The losses of the single samples, times the number of samples that each one counts for in a mean."""
        rows = [(prediction[i : i + 1], target[i : i + 1]) for i in range(ROWS)]
        counts = [self.subject._samples(*row) if self.subject.reduction == "mean" else 1 for row in rows]
        return [self.subject.forward(*row)[0] * count for row, count in zip(rows, counts, strict=True)]

    def gradient(self, prediction: Array, target: Array, weight: Array | None = None) -> Array:
        return self.subject.backward(self.subject.forward(prediction, target, weight)[1])


def targets_are_prepared(case: LossCase) -> None:
    """``prepare_target`` converts the targets, as before a training, to an array with an entry for each sample."""
    try:
        _, target = case.pair()
    except ShapeError as error:
        raise CheckFailure(
            f"prepare_target, which fit calls first, takes no such targets: {error}\n"
            "if targets have another shape than predictions, override prepare_target, as docs/extending.md explains"
        ) from None
    if not isinstance(target, np.ndarray) or target.ndim == 0 or len(target) != ROWS:
        got = f"shape {target.shape}" if isinstance(target, np.ndarray) else repr(target)
        raise CheckFailure(f"prepare_target: expected an array with {ROWS} entries, one for each sample, got {got}")


def forward_and_backward_run(case: LossCase) -> None:
    """``forward`` returns (loss, saved), and ``backward`` an array of the prediction's shape."""
    prediction, target = case.pair()
    pair: Any = case.subject.forward(prediction, target)
    if type(pair) is not tuple or len(pair) != 2:
        raise CheckFailure(f"forward: expected the pair (loss, saved), returned {shown(pair)}")
    if not isinstance(pair[0], Real):
        raise CheckFailure(f"forward: expected the loss as one number, returned {shown(pair[0])}: end with float(...)")
    if not isfinite(float(pair[0])):
        raise CheckFailure(
            f"forward: expected a finite loss for ordinary data, got {pair[0]}: predictions=... and targets=... say "
            "what the loss takes"
        )
    delta: Any = case.subject.backward(pair[1])
    if not isinstance(delta, np.ndarray) or delta.shape != prediction.shape:
        got = f"shape {delta.shape}" if isinstance(delta, np.ndarray) else repr(delta)
        raise CheckFailure(f"backward: expected an array of the prediction's shape {prediction.shape}, got {got}")


def sample_weights_multiply_shares(case: LossCase) -> None:
    """Each sample's weight multiplies its share of the loss: all ones change nothing, all twos double the loss."""
    prediction, target = case.pair()
    plain = case.subject.forward(prediction, target)[0]
    for factor in (1.0, 2.0):
        value = case.subject.forward(prediction, target, np.full(ROWS, factor))[0]
        if abs(value - factor * plain) > 1e-10 * max(1.0, abs(plain)):
            raise CheckFailure(
                f"sample_weight of {factor:g} for each sample: expected {factor:g} times the loss, "
                f"{factor * plain:.9g}, got {value:.9g}: weights multiply each sample's share"
            )
    weight = case.weights()
    alone = np.array(case.alone(prediction, target))
    shares = alone * (plain / (alone.sum() or 1))  # works for means and sums; reduction_as_stated tells them apart
    value, expected = case.subject.forward(prediction, target, weight)[0], float(weight @ shares)
    if abs(value - expected) > 1e-10 * max(1.0, abs(expected)):
        raise CheckFailure(
            f"sample_weight: expected the weighted sum of the samples' shares, {expected:.9g}, got {value:.9g}: "
            "each sample's own loss is multiplied by its own weight"
        )


def reduction_as_stated(case: LossCase) -> None:
    """The loss of a batch is the mean or the sum of its samples' losses, as ``reduction`` states."""
    prediction, target = case.pair()
    value = case.subject.forward(prediction, target)[0]
    total = float(np.sum(case.alone(prediction, target)))
    mean = total / (case.subject._samples(prediction, target) or 1)
    stated = case.subject.reduction
    if stated not in ("mean", "sum"):
        raise CheckFailure(f"reduction: expected 'mean' or 'sum', got {shown(stated)}")
    expected = mean if stated == "mean" else total
    if abs(value - expected) > 1e-10 * max(1.0, abs(total)):
        other, found = ("sum", total) if stated == "mean" else ("mean", mean)
        is_other = abs(value - found) <= 1e-10 * max(1.0, abs(found))
        raise CheckFailure(
            f"reduction = {stated!r}, but the loss of a batch, {value:.9g}, is not the {stated} of its samples' "
            f"losses, {expected:.9g}{f': it is their {other}' if is_other else ''}"
        )


def shapes_must_match(case: LossCase) -> None:
    """Shapes (N, 1) and (N,) raise an error instead of broadcasting to (N, N)."""
    prediction, target = case.pair()
    pairs = [(prediction, target[:, 0])] if target.shape == (ROWS, 1) != prediction.shape else []
    if target.shape == prediction.shape:
        column, row = np.full((ROWS, 1), 0.5), np.full(ROWS, 0.5)
        pairs = [(column, row), (row, column)]
    for one, other in pairs:
        try:
            case.subject.forward(one, other)
        except (ValueError, TypeError, IndexError):
            continue
        raise CheckFailure(
            f"forward: a prediction of shape {one.shape} and a target of shape {other.shape} are taken, and broadcast: "
            "call deepbp.losses.loss.check_same_shape first, or compare the shapes"
        )


def gradient(case: LossCase) -> None:
    """``backward`` returns ∂L/∂prediction."""
    _expect_gradient(case, weighted=False)


def weighted_gradient(case: LossCase) -> None:
    """``backward`` returns ∂L/∂prediction also with sample weights."""
    try:
        _expect_gradient(case, weighted=False)
    except CheckFailure:
        return  # wrong without weights, too: the other check reports it
    _expect_gradient(case, weighted=True)


def _expect_gradient(case: LossCase, *, weighted: bool) -> None:
    prediction, target = case.pair()
    weight = case.weights() if weighted else None

    def loss(perturbed: Array) -> float:
        return float(case.subject.forward(perturbed, target, weight)[0])

    expect_gradient(
        f"∂L/∂prediction{' with sample_weight' if weighted else ''}",
        case.gradient(prediction.copy(), deepcopy(target), weight),
        loss,
        prediction,
        case.rng(11),
        lambda: [_measure(case, stream, weighted=weighted) for stream in (0, 1)],
        {
            "the batch size": ROWS,
            "the number of a sample's outputs": prod(case.output_shape),
            "the number of all outputs": prediction.size,
        },
    )


def _measure(case: LossCase, stream: int, *, weighted: bool) -> GradientSample:
    prediction, target = case.pair(stream)
    weight = case.weights(stream) if weighted else None
    terms = {"prediction": prediction}
    if target.shape == prediction.shape[:-1] and target.dtype.kind in "iu" and target.min() >= 0:
        terms["target"] = np.eye(prediction.shape[-1])[target]
    elif target.shape == prediction.shape:
        terms |= {"target": np.asarray(target), "(prediction − target)": prediction - target}
    probability = case.subject.probabilities(prediction)
    if probability is not None and probability is not prediction:
        terms["probability"] = probability
    weighting = {} if weight is None else {"sample_weight": weight.reshape(-1, *(1,) * (prediction.ndim - 1))}
    numeric = numeric_gradient(lambda perturbed: float(case.subject.forward(perturbed, target, weight)[0]), prediction)
    return GradientSample(
        case.gradient(prediction.copy(), deepcopy(target), weight),
        numeric,
        {f"the {name}": array for name, array in terms.items()} | weighting,
        {
            f"is the {name} of all samples in every row: each sample has a gradient of its own": partial(every, numeric)
            for name, every in (("mean", _mean_of_all), ("sum", _sum_of_all))
        },
        terms=terms,
    )


def _mean_of_all(gradient: Array) -> Array:
    return np.broadcast_to(gradient.mean(axis=0), gradient.shape)


def _sum_of_all(gradient: Array) -> Array:
    return np.broadcast_to(gradient.sum(axis=0), gradient.shape)


def forward_twice_then_backward_of_the_first(case: LossCase) -> None:
    """Another ``forward`` may run between ``forward`` and ``backward``."""
    (first, target), (second, other) = case.pair(), case.pair(1)
    alone = case.gradient(first, target).copy()
    _, saved = case.subject.forward(first, target)
    case.subject.forward(second, other)
    message = "∂L/∂prediction changes when another forward ran before backward: return what it needs, in saved"
    expect_same(case.subject.backward(saved), alone, message)


def nothing_is_written(case: LossCase) -> None:
    """Neither pass modifies predictions, targets, weights or saved values."""
    prediction, target = case.pair()
    weight = case.weights()
    for weights in (None, weight):
        given = [prediction, target] if weights is None else [prediction, target, weights]
        before = comparisons.copies(given)
        _, saved = case.subject.forward(prediction, target, weights)
        kept = comparisons.copies(saved)
        case.subject.backward(saved)
        for name, array, then in zip(("the prediction", "the target", "sample_weight"), given, before, strict=False):
            if not comparisons.unchanged(array, [then]):
                raise CheckFailure(f"forward or backward wrote into {name}: make a new array")
        if not comparisons.unchanged(saved, kept):
            raise CheckFailure("backward wrote into saved: make a new array")
        with comparisons.read_only(given):
            _, saved = case.subject.forward(prediction, target, weights)
            with comparisons.read_only(saved):
                case.subject.backward(saved)


def dtype_is_kept(case: LossCase) -> None:
    """The gradient has the prediction's dtype, and results in float32 agree with those in float64."""
    (single, target), (double, double_target) = case.pair(dtype="float32"), case.pair()
    for weight in (None, case.weights().astype("float32")):
        delta = case.gradient(single, target, weight)
        if delta.dtype != np.float32:
            raise CheckFailure(
                f"backward returns {delta.dtype} for a float32 prediction: a float64 array or NumPy scalar got in, "
                "use Python numbers or arrays of the prediction's dtype"
            )
        expected = case.gradient(double, double_target, None if weight is None else weight.astype("float64"))
        expect_same(delta, expected, "∂L/∂prediction in float32 is another number than in float64", 1e-3)


def extreme_predictions(case: LossCase) -> None:
    """Predictions of ±1e4, probabilities of 0 and 1, and subnormal numbers cause no warning and no infinity."""
    largest = {"probabilities": (0.0, 1.0), "rates": (0.0, 1e4)}.get(case.subject.expects, (-1e4, 1e4))
    for dtype in ("float32", "float64"):
        _, target = case.pair(dtype=dtype)
        shape = (ROWS, *case.output_shape)
        for low, high in (largest, (0.0, 0.0), (0.0, float(np.finfo(dtype).smallest_subnormal))):
            prediction = case.rng(40).choice([low, high], shape).astype(dtype)
            what = f"predictions of {low:g} and {high:g}, {dtype}"
            try:
                with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
                    warnings.simplefilter("error")
                    value, saved = case.subject.forward(prediction, target)
                    delta = case.subject.backward(saved)
            except (FloatingPointError, Warning) as error:
                raise CheckFailure(f"{what}: {error}: rewrite the formula so that nothing overflows") from error
            if not np.isfinite(value) or not np.isfinite(delta).all():
                raise CheckFailure(f"{what}: the loss or its gradient is not finite")


def formula(case: LossCase) -> None:
    """The stated formulas give the loss and its gradient."""
    stated = case.subject.stated_formula()
    if stated is None:
        return
    prediction, target = case.pair()
    rows = [(prediction[i : i + 1], target[i : i + 1]) for i in range(ROWS)]
    counted = [case.subject._counted(*row, None, weighted=False)[1] for row in rows]
    complete = [i for i in range(ROWS) if counted[i].size == target[i].size and not np.isnan(counted[i]).any()]
    if not complete:
        return
    prediction, target = prediction[complete], target[np.array(complete)]
    value, saved = case.subject.forward(prediction.copy(), deepcopy(target))
    delta = case.subject.backward(saved)
    if target.shape == prediction.shape[:-1] and target.dtype.kind in "iu":
        target = np.eye(prediction.shape[-1])[target]
    names = {
        **values_of_fields(case.subject),
        "prediction": prediction,
        "target": target,
        "n": prediction.size,
        "rows": prediction.size // prediction.shape[-1],
        "classes": prediction.shape[-1],
    }
    expect_agreement("L", stated.value, stated_value("L", stated.value, names), np.asarray(value), "forward")
    derivative = stated_value("∂L/∂prediction", stated.delta, names)
    try:
        expect_agreement("∂L/∂prediction", stated.delta, derivative, delta, "backward")
    except CheckFailure as failure:
        rules = Rules(stated.value, ("prediction",), names, ONE)
        raise CheckFailure(f"{failure}{rules.explain('prediction', stated.delta)}") from None


STAGES: Stages = (
    (targets_are_prepared,),
    (forward_and_backward_run,),
    (nothing_is_written,),
    (
        gradient,
        weighted_gradient,
        formula,
        sample_weights_multiply_shares,
        reduction_as_stated,
        shapes_must_match,
        forward_twice_then_backward_of_the_first,
        dtype_is_kept,
        extreme_predictions,
        *CHECKS,
    ),
)


def loss_checks(
    loss: Loss[Any],
    output_shape: ShapeLike = (3,),
    *,
    predictions: Draw | None = None,
    targets: Draw | None = None,
    rng: Seed = None,
) -> Iterator[Check]:
    """Yield the conformance checks of a loss, lazily: no code of the loss runs before ``Check.run``.

    >>> from deepbp.losses import Huber
    >>> from deepbp.testing import loss_checks
    >>> [check.name for check in loss_checks(Huber())][3:6]
    ['gradient', 'weighted_gradient', 'formula']

    Args:
        output_shape: shape of one sample's prediction.
        predictions, targets: functions ``(rng, shape)`` that draw the data; the shape, of the predictions, includes
            the batch axis. Targets are whatever ``fit`` takes: ``prepare_target`` converts them. The defaults depend on
            ``loss.expects``: normal numbers for values; probabilities, or normal numbers for logits and scores, with
            one-hot targets; rates, or normal numbers for log-rates, with counts as targets.
        rng: seed or generator of the random numbers in the checks. None means the same numbers in each call.
    """
    if not isinstance(loss, Loss):
        raise ArgumentTypeError(f"loss: expected an instance of deepbp.losses.Loss, got {shown(loss)}")
    predictions = predictions or _PREDICTIONS.get(loss.expects, _normal)
    targets = targets or _TARGETS.get(loss.expects, _one_hot)
    case = LossCase(loss, as_shape(output_shape, "output_shape"), predictions, targets, as_seed(rng))
    return checks_of(f"{loss} on outputs of shape {case.output_shape}", case, STAGES)


def check_loss(
    loss: Loss[Any],
    output_shape: ShapeLike = (3,),
    *,
    predictions: Draw | None = None,
    targets: Draw | None = None,
    rng: Seed = None,
) -> None:
    """Run all conformance checks of a loss; see ``loss_checks`` for the arguments.

    >>> from deepbp.losses import Huber
    >>> from deepbp.testing import check_loss
    >>> check_loss(Huber())  # returns None if all checks pass

    Raises:
        CheckFailure: if a check fails, with one report of all failures.
    """
    run_all(loss_checks(loss, output_shape, predictions=predictions, targets=targets, rng=rng))


def _probabilities(rng: np.random.Generator, shape: Shape) -> Array:
    """Draw probabilities away from 0 and 1; the rows sum to 1 if there are several outputs."""
    values = rng.uniform(0.2, 0.8, shape)
    return values / values.sum(axis=-1, keepdims=True) if shape[-1] > 1 else values


def _one_hot(rng: np.random.Generator, shape: Shape) -> Array:
    """Draw one-hot rows, or binary targets if there is one output."""
    if shape[-1] == 1:
        return rng.integers(0, 2, shape).astype(np.float64)
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def _normal(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_normal(shape)


def _rates(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.5, 4, shape)


def _counts(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.poisson(2, shape).astype(np.float64)


_PREDICTIONS: dict[str, Draw] = {"probabilities": _probabilities, "rates": _rates}
_TARGETS: dict[str, Draw] = {"values": _normal, "rates": _counts, "log-rates": _counts}
