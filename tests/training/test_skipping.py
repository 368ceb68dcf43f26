"""``non_finite="skip"``: steps that overflow are left out and counted, and leave nothing behind."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from attrs import define, field
from problems import SQUARES

from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError, NonFiniteError
from deepbp.layers import Builder, Dense, Layer
from deepbp.optimizers import SGD, Adam
from deepbp.parameters import Buffer
from deepbp.typing import Array, Shape

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


def overflowing(row: int) -> Array:
    """The inputs, of which this row overflows the squares of its loss."""
    return np.where(np.arange(23)[:, None] == row, 1e200, X)


HUGE = overflowing(3)


@define(eq=False)
class Mean(Layer[None]):
    """y = x, with a running mean of what passed in training."""

    mean: Buffer = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.mean = builder.buffer(input_shape)
        return input_shape

    def forward(self, x: Array) -> tuple[Array, None]:
        self.mean.value = 0.5 * self.mean.value + 0.5 * x.mean(axis=0)
        return x, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta

    def predict(self, x: Array) -> Array:
        return x


def network(rng: int = 0) -> Sequential:
    return Sequential([Mean(), Dense(5), Mean(), Dense(4)], input_shape=3, rng=rng, dtype="float64")


@pytest.mark.parametrize(("accumulate", "row", "group"), [(1, 3, 4), (2, 3, 8), (2, 6, 8)])
def test_updates_with_bad_batches_are_left_out(accumulate: int, row: int, group: int) -> None:
    skipping = Trainer(network(), LOSS, Adam(0.01), non_finite="skip", accumulate=accumulate)
    plain = Trainer(network(), LOSS, Adam(0.01), accumulate=accumulate)
    history = skipping.fit(overflowing(row), Y, batch_size=4, shuffle=False, epochs=2)

    def others() -> Iterator[tuple[Array, Array]]:  # after the first update, all of whose batches are left out
        for start in range(group, 23, 4):
            yield X[start : start + 4], Y[start : start + 4]

    expected = plain.fit(others, epochs=2)
    assert skipping.skipped == 2
    assert plain.skipped == 0
    assert history == expected
    np.testing.assert_array_equal(skipping.parameters.values, plain.parameters.values)
    for name, buffer in skipping.model.named_buffers().items():
        np.testing.assert_array_equal(buffer.value, plain.model.named_buffers()[name].value)
        assert np.isfinite(buffer.value).all()


@pytest.mark.parametrize("row", [3, 6, 17, 22])
def test_accumulation_skips_what_a_large_batch_skips(row: int) -> None:
    results = []
    for batch_size, accumulate in ((8, 1), (4, 2), (2, 4)):
        net = Sequential([Dense(5), Dense(4)], input_shape=3, rng=0, dtype="float64")
        trainer = Trainer(net, LOSS, Adam(0.01), non_finite="skip", accumulate=accumulate)
        trainer.fit(overflowing(row), Y, batch_size=batch_size, shuffle=False, epochs=3)
        results.append((trainer.parameters.values, trainer.skipped, trainer.steps))
    for values, skipped, steps in results:
        assert (skipped, steps) == (3, 6)
        np.testing.assert_allclose(values, results[0][0], rtol=1e-12)


def test_raising_leaves_no_overflow_in_the_buffers_either() -> None:
    trainer = Trainer(network(), LOSS, Adam(0.01))
    trainer.fit(X, Y, epochs=1)
    before = {name: buffer.value.copy() for name, buffer in trainer.model.named_buffers().items()}
    with pytest.raises(NonFiniteError, match="epoch 2, step 2: the loss became inf"):
        trainer.fit(HUGE, Y)
    for name, buffer in trainer.model.named_buffers().items():
        np.testing.assert_array_equal(buffer.value, before[name])


def test_an_epoch_of_nothing_else_ends_the_training() -> None:
    trainer = Trainer(network(), LOSS, SGD(0.01), non_finite="skip")
    with pytest.raises(NonFiniteError, match="epoch 1: every step was skipped: its loss or a gradient overflowed"):
        trainer.fit(HUGE, Y, batch_size=None)


@pytest.mark.parametrize("rule", ["ignore", None, 1, True])
def test_rules(rule: Any) -> None:
    with pytest.raises(ConfigurationError, match="Trainer: non_finite: expected 'raise' or 'skip', got "):
        network().fit(X, Y, loss=LOSS, optimizer=SGD(0.1), non_finite=rule)
