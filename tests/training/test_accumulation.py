"""Several batches make one update, whose gradients are those of all their samples at once."""

from typing import Any

import numpy as np
import pytest
from problems import PROBLEMS, SQUARES, Problem, values

from deepbp import Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.optimizers import SGD, Adam
from deepbp.training import Callback
from deepbp.typing import Array

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


class Updates(Callback):
    """Keeps each update's loss, and the weights behind it."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.weights: list[Array] = []

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        self.losses.append(loss)
        self.weights.append(trainer.parameters.values.copy())


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("clip", [{}, {"clip_norm": 0.1}, {"clip_value": 0.01}])
def test_small_batches_add_up_to_large_ones(problem: Problem, clip: dict[str, float]) -> None:
    small, large = Updates(), Updates()
    for updates, size, accumulate in ((small, 4, 2), (large, 8, 1)):  # 23 rows: 4 and 4, 4 and 4, 4 and 3
        history = problem.network().fit(
            problem.x,
            problem.y,
            loss=problem.loss,
            optimizer=Adam(0.01),
            batch_size=size,
            accumulate=accumulate,
            epochs=2,
            callbacks=[updates],
            sample_weight=np.linspace(0.5, 2, 23),
            rng=3,
            **clip,  # type: ignore[arg-type]
        )
        assert history.epochs == 2
    assert len(small.losses) == 6
    np.testing.assert_allclose(small.losses, large.losses, rtol=1e-12)
    np.testing.assert_allclose(small.weights, large.weights, rtol=1e-9)


def test_what_is_left_over_at_the_end_of_an_epoch_is_an_update() -> None:
    updates = Updates()
    trainer = Trainer(SQUARES.network(), LOSS, SGD(0.01), accumulate=100, callbacks=[updates])
    whole = Trainer(SQUARES.network(), LOSS, SGD(0.01))
    trainer.fit(X, Y, epochs=2, batch_size=5, shuffle=False)
    whole.fit(X, Y, epochs=2, batch_size=None)
    assert trainer.steps == len(updates.losses) == 2
    np.testing.assert_allclose(trainer.parameters.values, whole.parameters.values, rtol=1e-12)
    assert trainer.history["loss"] == pytest.approx(whole.history["loss"], rel=1e-12)


def test_a_step_by_hand_is_one_update() -> None:
    one, other = SQUARES.network(), SQUARES.network()
    Trainer(one, LOSS, SGD(0.01), accumulate=4).step(X, Y)
    Trainer(other, LOSS, SGD(0.01)).step(X, Y)
    assert values(one) == values(other)


def test_clip_value_bounds_each_number() -> None:
    clipped, plain = (Trainer(SQUARES.network(), LOSS, SGD(0.0), **c) for c in ({"clip_value": 0.3}, {}))  # type: ignore[arg-type]
    clipped.step(X, Y)
    plain.step(X, Y)
    grads = plain.parameters.grads
    assert np.abs(grads).max() > 0.3
    np.testing.assert_array_equal(clipped.parameters.grads, np.clip(grads, -0.3, 0.3))
    both = Trainer(SQUARES.network(), LOSS, SGD(0.0), clip_value=0.3, clip_norm=0.5)
    both.step(X, Y)
    cut = np.clip(grads, -0.3, 0.3)
    np.testing.assert_allclose(both.parameters.grads, cut * 0.5 / np.linalg.norm(cut), rtol=1e-12)


@pytest.mark.parametrize("value", [0, -3, 2.5, None, "64", True])
def test_accumulate_is_a_whole_number_of_at_least_1(value: Any) -> None:
    with pytest.raises(
        (ConfigurationError, ArgumentTypeError), match="Trainer: accumulate: expected a whole number of"
    ):
        Trainer(SQUARES.network(), LOSS, SGD(0.1), accumulate=value)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), "1", True])
def test_clip_value_is_above_0(value: Any) -> None:
    with pytest.raises((ConfigurationError, ArgumentTypeError), match="Trainer: clip_value: expected a number above 0"):
        Trainer(SQUARES.network(), LOSS, SGD(0.1), clip_value=value)
