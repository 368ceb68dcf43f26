"""A step that fails in the middle leaves the model, and where its random numbers stand, as they were."""

from typing import Any

import pytest
from attrs import define
from problems import SQUARES

from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError, NonFiniteError
from deepbp.layers import BatchNorm, Dense, Dropout
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD

X, Y, LOSS = SQUARES.x, SQUARES.y, SQUARES.loss


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_a_step_that_fails_is_rolled_back(error: type[BaseException], accumulate: int) -> None:
    """Neither in running means nor in the generators that layers draw from."""

    class CutOffSquaredError(SumSquaredError):
        failing = False

        def backward(self, saved: Any) -> Any:
            if CutOffSquaredError.failing:
                raise error
            return super().backward(saved)

    def pieces(it: Trainer) -> list[Any]:
        return [*(buffer.value.tolist() for buffer in it.buffers), it.generator.bit_generator.state]

    net = Sequential([Dense(5), BatchNorm(), Dropout(0.5), Dense(4)], input_shape=3, rng=0)
    trained = Trainer(net, CutOffSquaredError(), SGD(0.01), accumulate=accumulate)
    trained.fit(X, Y)
    before, CutOffSquaredError.failing = pieces(trained), True
    with pytest.raises(error):
        trained.step(X, Y)
    assert pieces(trained) == before
    if error is KeyboardInterrupt:
        assert trained.fit(X, Y, batch_size=None).interrupted
    else:
        with pytest.raises(error):
            trained.fit(X, Y, batch_size=None)
    assert pieces(trained) == before


def test_an_overflow_leaves_the_generators_where_they_were() -> None:
    net = Sequential([Dropout(0.5), Dense(4)], input_shape=3, rng=0)
    trained = Trainer(net, LOSS, SGD(0.01))
    before = trained.generator.bit_generator.state
    with pytest.raises(NonFiniteError):
        trained.step(X * 1e30, Y)
    assert trained.generator.bit_generator.state == before


def test_a_penalty_that_fails_is_no_fault_of_the_loss() -> None:
    @define(eq=False)
    class Fails(Dense):
        def penalty(self, saved: Any) -> float:
            raise ValueError("mine")

    net = Sequential([Fails(4)], input_shape=3, rng=0)
    with pytest.raises(ValueError, match=r"^mine"):
        Trainer(net, LOSS, SGD(0.01)).step(X, Y)


def test_an_interrupted_update_is_not_called_complete() -> None:
    class CutOff(SGD):
        def step(self, parameters: Any, state: Any) -> None:
            parameters.values[:5] += 1
            raise MemoryError

    trained = Trainer(SQUARES.network(), LOSS, CutOff(0.01))
    with pytest.raises(MemoryError) as caught:
        trained.fit(X, Y)
    assert caught.value.__notes__[0] == "in epoch 1, after update 0, and the next was cut off in the middle"
    with pytest.raises(ConfigurationError, match="save: the last update was cut off in the middle"):
        trained.save("never.npz")
