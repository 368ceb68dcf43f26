"""One quantile or several, the shapes they take, and what a network learns from them."""

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import DataError, ShapeError
from deepbp.layers import Dense
from deepbp.losses import MeanAbsoluteError, Quantile
from deepbp.optimizers import SGD
from deepbp.testing import compare_gradients, numeric_gradient

THREE = Quantile((0.1, 0.5, 0.9))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("inner", [(), (2,)])
def test_several_at_once_are_the_mean_of_each_alone(
    inner: tuple[int, ...], weighted: bool, rng: np.random.Generator
) -> None:
    p, t = rng.normal(size=(7, *inner, 3)), rng.normal(size=(7, *inner, 1))
    weight = rng.uniform(0, 2, 7) if weighted else None
    value, saved = THREE.forward(p, t, weight)
    delta = THREE.backward(saved)
    each = [Quantile(q).forward(p[..., k : k + 1], t, weight) for k, q in enumerate((0.1, 0.5, 0.9))]
    assert value == pytest.approx(sum(one for one, _ in each) / 3, rel=1e-13)
    np.testing.assert_allclose(delta, np.concatenate([THREE.backward(s) for _, s in each], axis=-1) / 3, rtol=1e-13)
    numeric, resolution = numeric_gradient(lambda moved: THREE.forward(moved, t, weight)[0], p, return_resolution=True)
    assert compare_gradients({"p": delta}, {"p": numeric}, resolution={"p": resolution}).relative < 1e-7


@pytest.mark.parametrize("weighted", [False, True])
def test_against_scikit_learn(weighted: bool, rng: np.random.Generator) -> None:
    pinball_loss = pytest.importorskip("sklearn.metrics").mean_pinball_loss
    p, t = rng.normal(size=(7, 3)), rng.normal(size=(7, 1))
    weight = rng.uniform(0, 2, 7) if weighted else None
    learned = [pinball_loss(t, p[:, k], alpha=q, sample_weight=weight) for k, q in enumerate((0.1, 0.5, 0.9))]
    factor = 1.0 if weight is None else weight.sum() / 7  # scikit-learn divides by the sum of the weights
    assert THREE.forward(p, t, weight)[0] == pytest.approx(np.mean(learned) * factor, rel=1e-12)


def test_the_median_is_half_the_distance(rng: np.random.Generator) -> None:
    p, t = rng.normal(size=(2, 5, 3))
    (one, saved), (other, saved_distance) = Quantile().forward(p, t), MeanAbsoluteError().forward(p, t)
    assert one == pytest.approx(other / 2)
    np.testing.assert_allclose(Quantile().backward(saved), MeanAbsoluteError().backward(saved_distance) / 2)


def test_a_network_of_constants_learns_the_quantiles_of_the_data() -> None:
    y = np.random.default_rng(0).exponential(size=(400, 1))
    net = Sequential([Dense(3)], input_shape=1, rng=0, dtype="float64")
    history = net.fit(
        np.zeros((400, 1)), y, loss=THREE, optimizer=SGD(lambda t: 5 / (1 + t / 20)), epochs=400, batch_size=None
    )
    np.testing.assert_allclose(net.predict([[0.0]])[0], np.quantile(y, (0.1, 0.5, 0.9)), atol=0.02)
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ((4, 3), (4, 3), r"predictions \(B, …, 3\), one for each quantile, and targets \(B, …, 1\), got \(4, 3\) and"),
        ((4, 3), (4,), r"got \(4, 3\) and \(4,\): use target\[\.\.\., None\]"),
        ((4, 3), (3, 1), r"got \(4, 3\) and \(3, 1\)"),
        ((4,), (4, 1), r"got \(4,\) and \(4, 1\)"),
        ((4, 2), (4, 1), r"Quantile: prediction: expected one number for each output, 2 of them, got 3: \(0.1, 0.5"),
    ],
)
def test_shapes(prediction: tuple[int, ...], target: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        THREE.forward(np.zeros(prediction), np.zeros(target))
    with pytest.raises(DataError, match="expected at least one sample"):
        THREE.forward(np.zeros((0, 3)), np.zeros((0, 1)))


def test_targets_as_a_network_is_given_them() -> None:
    dtype = np.dtype(np.float32)
    assert THREE.prepare_target([[1], [2]], (3,), dtype).dtype == dtype
    assert THREE.prepare_target(np.ones((4, 2, 1)), (2, 3), dtype).shape == (4, 2, 1)
    assert Quantile(0.9).prepare_target(np.ones((4, 3)), (3,), dtype).shape == (4, 3)
    assert THREE.prepare_target([1, 2], (3,), dtype).tolist() == [[1], [2]]
    with pytest.raises(ShapeError, match=r"y: .*expects samples of shape \(1,\)"):
        THREE.prepare_target([[1, 2]], (3,), dtype)
