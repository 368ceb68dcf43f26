"""Ignored labels, weights of classes, and weights of single targets, against numbers computed one by one."""

from math import exp, isnan, log
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ConfigurationError, DataError, ShapeError
from deepbp.layers import Dense, Flatten, Reshape
from deepbp.losses import (
    CategoricalHinge,
    CrossEntropy,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
    SumSquaredError,
)
from deepbp.metrics import Accuracy, Precision
from deepbp.optimizers import SGD
from deepbp.testing import check_loss, numeric_gradient
from deepbp.typing import Array

PAD = -100
LABELS = np.array([[0, 2, PAD], [1, PAD, PAD]])
W = (0.5, 2.0, 3.0)


def by_hand(p: Array, labels: Array, w: Any, smoothing: float, focus: float = 0.0) -> float:
    """−Σ w y (1 − p)^γ ln p / N over the labels that are not padding, in plain Python."""
    total = 0.0
    for row, label in zip(p.reshape(-1, 3).tolist(), labels.reshape(-1).tolist(), strict=True):
        if label != PAD:
            y = [(1 - smoothing) * (k == label) + smoothing / 3 for k in range(3)]
            total -= sum(a * b * (1 - c) ** focus * log(c) for a, b, c in zip(w, y, row, strict=True))
    return total / labels.size


def softmax(z: Array) -> Array:
    rows = [[exp(a) / sum(map(exp, row)) for a in row] for row in z.reshape(-1, 3).tolist()]
    return np.array(rows).reshape(z.shape)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("w", [None, W])
@pytest.mark.parametrize("kind", [CrossEntropy, SoftmaxCrossEntropy])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_and_gradient(kind: Any, w: Any, smoothing: float, dtype: str, rng: np.random.Generator) -> None:
    loss = kind(class_weight=w, ignore_label=PAD, label_smoothing=smoothing)
    z = rng.normal(size=(2, 3, 3))
    prediction = z if kind is SoftmaxCrossEntropy else softmax(z)
    value, saved = loss.forward(prediction.astype(dtype), LABELS)
    assert value == pytest.approx(by_hand(softmax(z), LABELS, w or (1, 1, 1), smoothing), rel=1e-6)
    delta = loss.backward(saved)
    assert delta.dtype == dtype
    numeric = numeric_gradient(lambda moved: loss.forward(moved, LABELS)[0], prediction)
    np.testing.assert_allclose(delta, numeric, rtol=1e-5, atol=1e-6)
    assert not delta[LABELS == PAD].any()


def test_focal_loss_ignores_labels(rng: np.random.Generator) -> None:
    z, loss = rng.normal(size=(2, 3, 3)), SoftmaxFocal(2.0, W, ignore_label=PAD)
    value, saved = loss.forward(z, LABELS)
    assert value == pytest.approx(by_hand(softmax(z), LABELS, W, 0, 2.0), rel=1e-12)
    numeric = numeric_gradient(lambda moved: loss.forward(moved, LABELS)[0], z)
    np.testing.assert_allclose(loss.backward(saved), numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("labels", [LABELS, LABELS.reshape(-1)], ids=["places", "samples"])
def test_hinge_loss_ignores_labels(labels: Array, rng: np.random.Generator) -> None:
    z, loss = rng.normal(size=(*labels.shape, 3)), CategoricalHinge(ignore_label=PAD)
    pairs = zip(z.reshape(-1, 3).tolist(), labels.reshape(-1).tolist(), strict=True)
    shares = [
        max(0.0, 1 + max(a for k, a in enumerate(row) if k != label) - row[label])
        for row, label in pairs
        if label != PAD
    ]
    value, saved = loss.forward(z, labels)
    assert value == pytest.approx(sum(shares) / labels.size, rel=1e-12)
    delta = loss.backward(saved)
    np.testing.assert_allclose(
        delta, numeric_gradient(lambda moved: loss.forward(moved, labels)[0], z), rtol=1e-5, atol=1e-8
    )
    assert not delta[labels == PAD].any()
    assert loss.forward(z, np.full_like(labels, PAD))[0] == 0
    weighted = loss.forward(z, labels, np.full(len(z), 2.0))[0]
    assert weighted == pytest.approx(2 * value, rel=1e-12)
    network = Sequential([Dense(3)], input_shape=2, rng=0)
    x, y = rng.normal(size=(4, 2)), np.array([0, PAD, 2, PAD])
    known = y != PAD
    whole = network.evaluate(x, y, loss=loss, metrics=[Accuracy()])
    part = network.evaluate(x[known], y[known], loss=CategoricalHinge(), metrics=[Accuracy()])
    assert whole["loss"] == pytest.approx(part["loss"] / 2, rel=1e-6)
    assert whole["accuracy"] == part["accuracy"]


def test_pytorch_divides_by_the_weights_of_the_labels_that_count() -> None:
    # torch.nn.CrossEntropyLoss(weight, ignore_index): l = −Σ w_y ln p_y / Σ w_y over y ≠ ignore_index, as documented.
    z = np.zeros((2, 3, 3))
    loss = SoftmaxCrossEntropy(class_weight=W, ignore_label=PAD)
    sum_of_weights = W[0] + W[2] + W[1]
    assert loss.forward(z, LABELS)[0] * LABELS.size / sum_of_weights == pytest.approx(log(3), rel=1e-14)


@pytest.mark.parametrize("kind", [CrossEntropy, SoftmaxCrossEntropy])
def test_one_hot_rows_have_class_weights(kind: Any) -> None:
    check_loss(kind(class_weight=W))
    check_loss(kind(class_weight=W, label_smoothing=0.2))
    assert repr(kind(class_weight=[1, 2], ignore_label=-1)) == f"{kind.__name__}(class_weight=(1, 2), ignore_label=-1)"


@pytest.mark.parametrize("loss", [CrossEntropy(ignore_label=PAD), SoftmaxCrossEntropy(ignore_label=PAD)])
def test_a_batch_of_padding_has_loss_zero(loss: Loss[Any]) -> None:
    value, saved = loss.forward(np.full((2, 3), 1 / 3), np.array([PAD, PAD]))
    assert value == 0
    np.testing.assert_array_equal(loss.backward(saved), 0)


def test_a_masked_class_in_an_ignored_row_changes_nothing() -> None:
    z = np.array([[0.0, 1.0], [-np.inf, 1.0]])
    value, _ = SoftmaxCrossEntropy(ignore_label=PAD).forward(z, np.array([0, PAD]))
    assert value == pytest.approx((log(1 + exp(1))) / 2, rel=1e-12)


def test_other_labels_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="expected labels from 0 to 2, for the network has 3 outputs, got -1"):
        SoftmaxCrossEntropy(ignore_label=PAD, class_weight=W).forward(np.zeros((2, 3)), np.array([PAD, -1]))
    with pytest.raises(DataError, match="y: expected labels from 0 to 2, for the network has 3 outputs, got -1"):
        SoftmaxCrossEntropy(ignore_label=PAD).prepare_target([PAD, -1], (3,), np.dtype(np.float32))
    with pytest.raises(ShapeError, match="class_weight: expected one number for each output, 3 of them, got 2"):
        SoftmaxCrossEntropy(class_weight=(1, 2)).forward(np.zeros((2, 3)), np.array([0, 1]))
    with pytest.raises(ConfigurationError, match="class_weight: expected a number of at least 0"):
        SoftmaxCrossEntropy(class_weight=(1, -2))


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_training_and_metrics_leave_out_ignored_labels(batch_size: int | None) -> None:
    net = Sequential([Flatten(), Dense(9), Reshape((3, 3))], input_shape=(3, 2), rng=0)
    x = np.random.default_rng(0).normal(size=(2, 3, 2))

    def labels_seen(prediction: Array, target: Array) -> float:
        assert (target != PAD).all()
        assert len(prediction) == len(target)
        return float(target.size)

    loss = SoftmaxCrossEntropy(ignore_label=PAD)
    right = (net.predict(x).argmax(axis=-1) == LABELS)[LABELS != PAD].mean()
    lists: list[Any] = [[Accuracy(), Precision("macro")], [Accuracy(), labels_seen]]
    for metrics in lists:
        row = net.evaluate(x, LABELS, loss=loss, metrics=metrics, batch_size=batch_size)
        assert row["accuracy"] == pytest.approx(right)
    assert row["labels_seen"] == 3
    assert isnan(net.evaluate(x, LABELS * 0 + PAD, loss=loss, metrics=[Accuracy()])["accuracy"])
    history = net.fit(x, LABELS, loss=loss, optimizer=SGD(0.5), epochs=30, metrics=[Accuracy()])
    assert history["loss"][-1] < history["loss"][0]


VALUES: list[Loss[Any]] = [MeanSquaredError(), SumSquaredError(0.5), MeanAbsoluteError(), Huber()]


@pytest.mark.parametrize("loss", [*VALUES, SigmoidBinaryCrossEntropy(pos_weight=(1, 2, 3))])
def test_weights_of_single_numbers(loss: Loss[Any], rng: np.random.Generator) -> None:
    p, t, w = rng.normal(size=(4, 3)), rng.integers(0, 2, (4, 3)).astype(float), rng.uniform(0, 2, (4, 3))
    value, saved = loss.forward(p, t, w)
    total = 0.0
    for i in range(4):
        for k in range(3):  # the loss of this number alone, where the others are weighted with 0
            total += w[i, k] * loss.forward(p, t, (np.arange(12) == 3 * i + k).reshape(4, 3).astype(float))[0]
    assert value == pytest.approx(total, rel=1e-12)
    numeric = numeric_gradient(lambda moved: loss.forward(moved, t, w)[0], p)
    np.testing.assert_allclose(loss.backward(saved), numeric, rtol=1e-5, atol=1e-8)
    if isinstance(loss, MeanSquaredError):
        assert value == pytest.approx(float((w * (p - t) ** 2).sum() / 12), rel=1e-12)


@pytest.mark.parametrize("kind", [CrossEntropy, SoftmaxCrossEntropy, SoftmaxFocal])
def test_weights_of_labels(kind: Any, rng: np.random.Generator) -> None:
    p, t, w = rng.dirichlet([1, 1, 1], (2, 3)), rng.integers(0, 3, (2, 3)), rng.uniform(0, 2, (2, 3))
    value, saved = kind().forward(p, t, w)
    flat, flat_saved = kind().forward(p.reshape(6, 3), t.reshape(6), w.reshape(6))
    assert value == pytest.approx(flat, rel=1e-14)
    np.testing.assert_allclose(kind().backward(saved).reshape(6, 3), kind().backward(flat_saved), rtol=1e-14)


def test_fit_takes_weights_of_the_shape_of_y(rng: np.random.Generator) -> None:
    net = Sequential([Dense(3)], input_shape=2, rng=0)
    x, y, w = rng.normal(size=(8, 2)), rng.normal(size=(8, 3)), rng.uniform(0, 2, (8, 3))
    expected = (w * (net.predict(x) - y) ** 2).mean()
    row = net.evaluate(x, y, loss=MeanSquaredError(), sample_weight=w, batch_size=3)
    assert row["loss"] == pytest.approx(expected, rel=1e-6)
    assert net.fit(x, y, sample_weight=w, loss=MeanSquaredError(), optimizer=SGD(0.1))["loss"][0] == pytest.approx(
        expected, rel=1e-6
    )
    with pytest.raises(ShapeError, match=r"expected one weight a sample, or one for each target, shape \(8, 3\), got"):
        net.evaluate(x, y, loss=MeanSquaredError(), sample_weight=w[:, :2])
