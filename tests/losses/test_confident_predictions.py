"""Losses and gradients of confident predictions, masked classes and many terms, against float64 in another form."""

from typing import Any

import numpy as np
import pytest

from deepbp import kernels
from deepbp.losses import (
    BinaryCrossEntropy,
    CosineSimilarity,
    KLDivergence,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
    SumSquaredError,
)
from deepbp.typing import Array

CLASSES = 4


@pytest.fixture(params=["numpy", "numba"], autouse=True)
def form(request: pytest.FixtureRequest) -> Any:
    if request.param == "numba":
        pytest.importorskip("numba")
    before = kernels.current()
    yield kernels.use(request.param)
    kernels.use(before)  # type: ignore[arg-type]


def scores(gap: float) -> Array:
    """A row for each class, which is above all others by the gap; the others differ, too."""
    z = np.linspace(0, 1, CLASSES) * np.ones((CLASSES, 1))
    return (z + (gap + 1) * np.eye(CLASSES)).astype(np.float32)


def softmax_truth(z: Array, target: Array) -> tuple[float, Array]:
    """Loss and gradient by the sum over the other classes of each share, in float64."""
    wide, t = z.astype(np.longdouble), target.astype(np.longdouble)
    values: list[Any] = []
    delta = np.zeros_like(wide)
    for i, row in enumerate(wide):
        with np.errstate(over="ignore"):
            for c in np.nonzero(t[i])[0].tolist():  # −ln p_c = ln(1 + Σ_{j≠c} e^(z_j − z_c))
                values.append(t[i, c] * np.log1p(np.exp(np.delete(row - row[c], c)).sum()))
            for c in range(len(row)):  # p_c − t_c = Σ_{j≠c} (t_j p_c − t_c p_j), where Σ t = 1
                p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
                delta[i, c] = sum(t[i, j] * p[c] - t[i, c] * p[j] for j in range(len(row)) if j != c)
    return float(sum(values) / len(wide)), (delta / len(wide)).astype(np.float64)


GAPS = [0.0, 0.5, 1.0, 3.0, 8.0, 15.0, 20.0, 40.0, 60.0, 75.0]


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("kind", ["labels", "rows", "smoothed"])
def test_softmax_cross_entropy(gap: float, right: bool, kind: str) -> None:
    z = scores(gap)
    labels = np.arange(CLASSES) if right else np.roll(np.arange(CLASSES), 1)
    rows = np.eye(CLASSES, dtype=np.float32)[labels]
    loss = SoftmaxCrossEntropy(label_smoothing=0.25 if kind == "smoothed" else 0.0)
    value, saved = loss.forward(z, labels if kind == "labels" else rows)
    truth, delta = softmax_truth(z, 0.75 * rows + 0.25 / CLASSES if kind == "smoothed" else rows)
    assert value == pytest.approx(truth, rel=2e-6)
    tolerance = 0 if kind != "smoothed" else 1e-7  # p − s/C is a difference
    np.testing.assert_allclose(loss.backward(saved), delta, rtol=1e-5, atol=tolerance)
    assert not right or kind == "smoothed" or value > 0


@pytest.mark.parametrize("gap", GAPS)
def test_weights_and_places(gap: float) -> None:
    z = np.stack([scores(gap), scores(gap)[:, ::-1]])
    labels, weight = np.array([[0, 1, 2, 3], [3, 2, 1, 0]]), np.array([2.0, 0.5], np.float32)
    value, saved = SoftmaxCrossEntropy().forward(z, labels, weight)
    truths = [softmax_truth(rows, np.eye(CLASSES)[label]) for rows, label in zip(z, labels, strict=True)]
    assert value == pytest.approx((2 * truths[0][0] + 0.5 * truths[1][0]) / 2, rel=2e-6)
    wanted = np.stack([w * delta / 2 for w, (_, delta) in zip(weight, truths, strict=True)])
    np.testing.assert_allclose(SoftmaxCrossEntropy().backward(saved), wanted, rtol=1e-5)


@pytest.mark.parametrize("gap", [-80.0, *(-gap for gap in GAPS), *GAPS, 80.0])
@pytest.mark.parametrize("w", [1.0, 3.0])
@pytest.mark.parametrize("y", [0.0, 1.0, 0.75])
def test_sigmoid_binary_cross_entropy(gap: float, w: float, y: float) -> None:
    z, target = np.array([[gap]], np.float32), np.array([[y]], np.float32)
    value, saved = (loss := SigmoidBinaryCrossEntropy(pos_weight=w)).forward(z, target)
    x = np.longdouble(z[0, 0])
    up, down = np.log1p(np.exp(x)), np.log1p(np.exp(-x))
    assert value == pytest.approx(float(w * y * down + (1 - y) * up), rel=1e-6)
    wanted = float((1 - y) / (1 + np.exp(-x)) - w * y / (1 + np.exp(x)))
    assert loss.backward(saved)[0, 0] == pytest.approx(wanted, rel=1e-6, abs=2e-7 if 0 < y < 1 else 0)


@pytest.mark.parametrize("gap", [5.0, 12.0, 16.0])
def test_focal_losses(gap: float) -> None:
    """A single sample, with γ = 2: (1 − p)² ln p, and its slope by the chain rule, in float64."""
    z = scores(gap)[:1]
    value, saved = SoftmaxFocal().forward(z, np.array([0]))
    wide = z[0].astype(np.float64)
    others = np.exp(wide[1:] - wide[0])
    missed, log_p = others.sum() / (1 + others.sum()), -np.log1p(others.sum())
    assert value == pytest.approx(-(missed**2) * log_p, rel=1e-4)
    g = missed**2 * (2 * (1 - missed) * log_p / missed - 1)
    wanted = np.array([g * missed, *(-g * others * (1 - missed))])
    np.testing.assert_allclose(SoftmaxFocal().backward(saved)[0], wanted, rtol=1e-4)
    value, _ = SigmoidFocal(alpha=None).forward(np.array([[gap]], np.float32), np.array([[1.0]], np.float32))
    q = 1 / (1 + np.exp(np.float64(gap)))
    assert value == pytest.approx(-(q**2) * np.log1p(-q), rel=1e-4)


MASKED = np.array([[1.0, -np.inf, 2.0], [-np.inf, -np.inf, 0.0]], np.float32)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("target", [np.array([0, 2]), np.eye(3, dtype=np.float32)[[0, 2]]], ids=["labels", "rows"])
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SoftmaxFocal(gamma=0.0)])
def test_a_masked_class(loss: Loss[Any], target: Array) -> None:
    value, saved = loss.forward(MASKED, target)
    assert value == pytest.approx(np.log1p(np.e) / 2, rel=1e-6)
    p = 1 / (1 + np.e)
    wanted = np.array([[p - 1, 0, 1 - p], [0, 0, 0]]) / 2
    np.testing.assert_allclose(loss.backward(saved), wanted, rtol=1e-5, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_masked_class_with_a_distribution_over_the_others() -> None:
    z = np.array([[1.0, -np.inf, 1.0]], np.float32)
    value, saved = SoftmaxCrossEntropy().forward(z, np.array([[0.25, 0.0, 0.75]], np.float32))
    assert value == pytest.approx(np.log(2), rel=1e-6)
    np.testing.assert_allclose(SoftmaxCrossEntropy().backward(saved), [[0.25, 0, -0.25]], rtol=1e-6)


def test_a_masked_class_that_is_the_answer_has_an_infinite_loss() -> None:
    for target in (np.array([1]), np.array([[0.0, 1.0, 0.0]], np.float32), np.array([[0.5, 0.5, 0.0]], np.float32)):
        with np.errstate(all="ignore"):
            value, _ = SoftmaxCrossEntropy().forward(MASKED[:1], target)
        assert value == np.inf


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weight", [1.0, 2.0])
def test_infinite_scores_of_right_answers(weight: float) -> None:
    z = np.array([[-np.inf, np.inf, 0.0]], np.float32)
    loss = SigmoidBinaryCrossEntropy(pos_weight=weight)
    value, saved = loss.forward(z, np.array([[0.0, 1.0, 1.0]], np.float32))
    assert value == pytest.approx(weight * np.log(2) / 3, rel=1e-6)
    np.testing.assert_allclose(loss.backward(saved), [[0, 0, -weight / 6]], rtol=1e-6)
    assert loss.forward(-z, np.array([[0.0, 1.0, 1.0]], np.float32))[0] == np.inf


MANY = 10**7


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "loss", [MeanSquaredError(), MeanAbsoluteError(), SumSquaredError(), SigmoidBinaryCrossEntropy()]
)
def test_sums_of_many_terms(loss: Loss[Any], weighted: bool) -> None:
    """Ten million errors of ±0.1, in float32, where a running sum would be off by percents."""
    prediction = np.full((MANY, 1), 0.1, np.float32)
    target = np.zeros_like(prediction)
    weight = np.full(MANY, 0.7, np.float32) if weighted else None
    few, _ = loss.forward(prediction[:8], target[:8], None if weight is None else weight[:8])
    value, _ = loss.forward(prediction, target, weight)
    assert value / (MANY / 8 if loss.reduction == "sum" else 1) == pytest.approx(few, rel=3e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sum_of_many_cross_entropies(weighted: bool) -> None:
    z = np.zeros((MANY // 2, 2), np.float32)
    z[::2, 0] = 3.0
    weight = np.full(len(z), 0.7, np.float32) if weighted else None
    value, _ = SoftmaxCrossEntropy().forward(z, np.zeros(len(z), int), weight)
    wanted = (np.log(2) + np.log1p(np.exp(-3))) / 2 * (float(np.float32(0.7)) if weighted else 1)
    assert value == pytest.approx(wanted, rel=1e-7)


def test_binary_cross_entropy_of_probabilities() -> None:
    p, y = np.array([[1e-12, 1 - 2**-24, 1e-30]], np.float32), np.array([[0.0, 1.0, 0.0]], np.float32)
    value, saved = BinaryCrossEntropy().forward(p, y)
    wide = p.astype(np.longdouble)
    assert value == pytest.approx(float(-(y * np.log(wide) + (1 - y) * np.log1p(-wide)).mean()), rel=1e-6)
    np.testing.assert_allclose(BinaryCrossEntropy().backward(saved), [[1 / 3, -1 / 3, 1 / 3]], rtol=1e-6)


def test_divergence_of_equal_distributions_is_zero() -> None:
    p = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)
    assert KLDivergence().forward(p, p)[0] == 0


@pytest.mark.parametrize("size", [1e19, 1e30, 3e38])
def test_cosine_similarity_of_long_vectors(size: float) -> None:
    prediction, target = np.array([[0.6, 0.8], [1.0, 0.0]]), np.array([[0.8, 0.6], [1.0, 1.0]])
    wanted, _ = CosineSimilarity().forward(prediction, target)
    with np.errstate(over="ignore"):
        value, saved = CosineSimilarity().forward((prediction * size).astype(np.float32), target.astype(np.float32))
        other, _ = CosineSimilarity().forward(prediction.astype(np.float32), (target * size).astype(np.float32))
    assert value == pytest.approx(wanted, rel=1e-6)
    assert other == pytest.approx(wanted, rel=1e-6)
    delta = CosineSimilarity().backward(saved) * np.float32(size)
    _, plain = CosineSimilarity().forward(prediction, target)
    np.testing.assert_allclose(delta, CosineSimilarity().backward(plain), rtol=1e-4, atol=1e-6)
