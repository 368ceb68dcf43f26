"""A sample's weight multiplies its share of the loss and of every gradient."""

import numpy as np
import pytest
from problems import PROBLEMS, SQUARES, Problem

from deepbp import Trainer
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Array

every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
WEIGHT = np.array([0.0, 1, 2] * 7 + [3, 0.5])


def gradient(problem: Problem, weight: Array | None = None) -> tuple[float, Array]:
    """The loss and all gradients of one full batch."""
    trainer = Trainer(problem.network(), problem.loss, SGD(0.0))
    value = trainer.step(problem.x, problem.y, weight)
    return value, trainer.parameters.grads


@pytest.mark.parametrize("loss", [SumSquaredError(), SumSquaredError(scale=0.5)])
def test_in_sums_weight_2_is_the_row_twice_and_weight_0_no_row(loss: SumSquaredError) -> None:
    counts = np.arange(len(SQUARES.x)) % 3
    rows = np.repeat(np.arange(len(SQUARES.x)), counts)
    problem = Problem(loss, None, SQUARES.y)
    weighted, repeated = gradient(problem, counts.astype(float)), gradient(problem.of(rows))
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-13)
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-12, atol=1e-13)
    assert abs(weighted[0] - gradient(problem)[0]) > 1  # not ignored


@every_problem
def test_each_share_is_multiplied_by_its_weight(problem: Problem) -> None:
    """Against the samples one by one; a mean is over the number of samples, not over the sum of weights."""
    one_by_one = [gradient(problem.of([row])) for row in range(len(problem.x))]
    divisor = 1 if problem.loss.reduction == "sum" else len(problem.x)
    value, grads = gradient(problem, WEIGHT)
    assert value == pytest.approx(sum(w * v for w, (v, _) in zip(WEIGHT, one_by_one, strict=True)) / divisor, rel=1e-12)
    expected = sum(w * g for w, (_, g) in zip(WEIGHT, one_by_one, strict=True)) / divisor
    np.testing.assert_allclose(grads, expected, rtol=1e-10, atol=1e-13)


@every_problem
def test_weights_of_one_change_nothing(problem: Problem) -> None:
    weighted, plain = gradient(problem, np.ones(len(problem.x))), gradient(problem)
    assert weighted[0] == pytest.approx(plain[0], rel=1e-14)
    np.testing.assert_allclose(weighted[1], plain[1], rtol=1e-12, atol=1e-15)


def test_a_shuffled_fit_equals_the_same_steps_by_hand() -> None:
    fitted, stepped = SQUARES.network(), SQUARES.network()
    fitted.fit(SQUARES.x, SQUARES.y, loss=SQUARES.loss, optimizer=SGD(0.01), batch_size=5, sample_weight=WEIGHT, rng=4)
    trainer = Trainer(stepped, SQUARES.loss, SGD(0.01))
    order = np.random.default_rng(4).permutation(len(SQUARES.x))
    for start in range(0, len(order), 5):
        rows = order[start : start + 5]
        trainer.step(SQUARES.x[rows], SQUARES.y[rows], WEIGHT[rows])
    for one, other in zip(fitted.parameters(), stepped.parameters(), strict=True):
        np.testing.assert_array_equal(one.value, other.value)
