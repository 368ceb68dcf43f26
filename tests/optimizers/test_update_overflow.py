"""Updates that overflow are refused: the parameters and the state stay as they were, and the place is named."""

import re
from typing import Any

import numpy as np
import pytest
from attrs import frozen

from deepbp import Parameter, ParameterVector, Sequential, Trainer
from deepbp.errors import NonFiniteError
from deepbp.initializers import Constant
from deepbp.layers import BatchNorm, Dense
from deepbp.losses import MeanSquaredError, SumSquaredError
from deepbp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Grouped,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
    State,
)

SQUARING = [
    Adam(0.1),
    AdamW(0.1),
    AMSGrad(0.1),
    NAdam(0.1),
    RAdam(0.1),
    RMSprop(0.1),
    RMSprop(0.1, centered=True, momentum=0.9),
    Adagrad(0.1),
    Adadelta(),
    Grouped({"*.bias": SGD(0.1), "*": Adam(0.1)}),
    Grouped({"*.bias": Grouped({"*": SGD(0.1)}), "*": Adagrad(0.1)}),
]
ANY_SIZE = [SGD(1e-21), SGD(1e-21, momentum=0.9, nesterov=True), Rprop(), Lion(0.1), Grouped({"*": SGD(1e-21)})]


def vector(dtype: Any = np.float32) -> ParameterVector:
    return ParameterVector(
        {"0.bias": Parameter(np.array([1.0, -1.0], dtype)), "0.weight": Parameter(np.array([[2.0, 3.0]], dtype))}
    )


def contents(parameters: ParameterVector, state: State) -> tuple[Any, ...]:
    return parameters.values.tobytes(), {n: v.tobytes() if isinstance(v, np.ndarray) else v for n, v in state.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", SQUARING, ids=repr)
def test_a_square_that_overflows_changes_nothing(optimizer: Optimizer, dtype: Any) -> None:
    large = 1e20 if dtype is np.float32 else 1e155
    parameters, calm = vector(dtype), vector(dtype)
    state, calm_state = optimizer.start(parameters), optimizer.start(calm)
    for one, own in ((parameters, state), (calm, calm_state)):
        one.grads[:] = [0.5, -0.25, 1.0, 2.0]
        optimizer.step(one, own)
    before = contents(parameters, state)
    parameters.grads[1] = large  # of the weight [0, 1]
    with pytest.raises(NonFiniteError, match=r"square of 0\.weight\[0, 1\], whose gradient is 1e\+") as caught:
        optimizer.step(parameters, state)
    assert "The update was not applied. Try clip_norm=1.0, or inputs and targets scaled" in str(caught.value)
    assert contents(parameters, state) == before
    for _ in range(3):  # as if the large gradient had never been
        for one, own in ((parameters, state), (calm, calm_state)):
            one.grads[:] = [0.5, -0.25, 1.0, 2.0]
            optimizer.step(one, own)
    assert contents(parameters, state) == contents(calm, calm_state)


@pytest.mark.parametrize("optimizer", ANY_SIZE, ids=repr)
def test_a_large_gradient_that_is_not_squared_is_used(optimizer: Optimizer) -> None:
    parameters = vector()
    state, before = optimizer.start(parameters), parameters.values.copy()
    parameters.grads[:] = [1e20, -1e20, 1e20, 1e20]
    optimizer.step(parameters, state)
    assert state["step"] == 1
    assert np.isfinite(parameters.values).all()
    assert (parameters.values != before).all()


@pytest.mark.parametrize("optimizer", [*SQUARING, *ANY_SIZE], ids=repr)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_is_refused(optimizer: Optimizer, value: float) -> None:
    parameters = vector()
    state = optimizer.start(parameters)
    before = contents(parameters, state)
    parameters.grads[3] = value
    with pytest.raises(NonFiniteError, match=r"not finite: the gradient of 0\.bias\[1\]\. The update was not applied"):
        optimizer.step(parameters, state)
    assert contents(parameters, state) == before


def test_a_sum_of_squares_that_overflows() -> None:
    """Each square of 1e19 is finite, and the fourth sum is not; in a group, too, behind one that has moved."""
    for optimizer in (Adagrad(0.1), Grouped({"*.bias": SGD(0.1), "*": Adagrad(0.1)})):
        parameters = vector()
        state = optimizer.start(parameters)
        for step in range(4):
            parameters.grads[:] = [1e19, 1.0, 1.0, 1.0]
            before = contents(parameters, state)
            if step < 3:
                optimizer.step(parameters, state)
        with pytest.raises(NonFiniteError, match=r"square of 0\.weight\[0, 0\]"):
            optimizer.step(parameters, state)
        assert contents(parameters, state) == before


@pytest.mark.parametrize(
    "optimizer", [RMSprop(weight_decay=0.1), Grouped({"*.bias": SGD(0.1), "*": Adagrad(weight_decay=0.1)})], ids=repr
)
def test_the_square_of_a_weight_that_decays(optimizer: Optimizer) -> None:
    parameters = vector()
    state = optimizer.start(parameters)
    parameters.values[0], parameters.grads[:] = 1e22, 1.0
    before = contents(parameters, state)
    with pytest.raises(NonFiniteError, match=r"square of 0\.weight\[0, 0\]"):
        optimizer.step(parameters, state)
    assert contents(parameters, state) == before


@pytest.mark.parametrize("optimizer", [SGD(1e30), Grouped({"*": SGD(1e15)}, learning_rate=1e15)], ids=repr)
def test_a_value_that_overflows(optimizer: Optimizer) -> None:
    parameters = vector()
    state = optimizer.start(parameters)
    parameters.grads[:] = [1.0, 1e10, 1.0, 1.0]
    before = contents(parameters, state)
    with pytest.raises(NonFiniteError, match=r"the value of 0\.weight\[0, 1\].*Try a lower learning rate$"):
        optimizer.step(parameters, state)
    assert contents(parameters, state) == before


def test_parameters_without_names() -> None:
    parameters = ParameterVector([Parameter(np.ones(2, np.float32))])
    parameters.grads[:] = [1.0, 1e20]
    with pytest.raises(NonFiniteError, match=r"square of a parameter\[1\], whose gradient is 1e\+20"):
        Adam().step(parameters, Adam().start(parameters))


@pytest.mark.filterwarnings("error")
def test_without_a_warning_before_the_error() -> None:
    test_parameters_without_names()
    with np.errstate(all="raise"):
        test_parameters_without_names()


@frozen
class Own(Optimizer):
    """A user's RMSprop, which knows nothing of overflows."""

    learning_rate: float = 0.1

    def start(self, parameters: ParameterVector) -> State:
        return {"step": 0, "mine": np.zeros_like(parameters.values)}

    def step(self, parameters: ParameterVector, state: State) -> None:
        state["mine"] *= 0.9
        state["mine"] += 0.1 * parameters.grads**2
        parameters.values -= self.learning_rate * parameters.grads / (np.sqrt(state["mine"]) + 1e-8)
        state["step"] += 1


OPTIMIZERS = [*SQUARING, Own()]


def far(optimizer: Optimizer, **options: Any) -> Trainer:
    """A net whose loss is finite, 1e34, and whose gradient is 2e17 · 1e4 = 2e21."""
    net = Sequential([Dense(1, weight_init=Constant(1.0))], input_shape=1, rng=0)
    return Trainer(net, MeanSquaredError(), optimizer, **options)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_fit_names_epoch_step_and_parameter(optimizer: Optimizer) -> None:
    trainer = far(optimizer)
    trainer.fit([[1.0]], [[0.5]], epochs=2, progress=False)
    before = contents(trainer.parameters, trainer.state)
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit([[1e4]], [[1e17]], epochs=50, progress=False)
    message = str(caught.value)
    assert re.match(
        r"epoch 3, step 3: the update overflowed; the first place that is not finite: .*0\.weight\[0, 0\]", message
    )
    assert contents(trainer.parameters, trainer.state) == before
    trainer.fit([[1.0]], [[0.5]], progress=False)  # goes on
    assert trainer.steps == 3
    assert np.isfinite(trainer.parameters.values).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_the_advice_works(optimizer: Optimizer) -> None:
    clipped = far(optimizer, clip_norm=1.0)
    clipped.fit([[1e4]], [[1e17]], epochs=3, progress=False)
    assert clipped.steps == 3
    scaled = far(optimizer)
    scaled.fit([[1.0]], [[1.0]], epochs=3, progress=False)
    assert scaled.steps == 3


def test_steps_that_overflow_are_skipped() -> None:
    net = Sequential([BatchNorm(), Dense(1)], input_shape=2, rng=0)
    trainer = Trainer(net, MeanSquaredError(), Adam(), non_finite="skip")
    x = np.random.default_rng(0).standard_normal((6, 2))
    y = np.ones((6, 1))
    y[2:4] = 1e19
    trainer.fit(x, y, batch_size=2, shuffle=False, progress=False)
    assert trainer.skipped == 1
    assert trainer.steps == 2
    assert all(np.isfinite(array).all() for array in (trainer.state["square"], *(b.value for b in trainer.buffers)))


@pytest.mark.parametrize(("dtype", "large"), [("float32", 2e38), ("float64", 1e200), ("float64", 1.5e308)])
@pytest.mark.parametrize("limit", [1.0, 1e-9])
def test_clip_norm_of_any_size(dtype: str, large: float, limit: float) -> None:
    """L = Σ s (ŷ − y)² has the gradient (large, −large) where the errors are 1 and −1 and s is half as large."""
    net = Sequential([Dense(2, use_bias=False, weight_init=Constant(0.0))], input_shape=1, dtype=dtype)
    trainer = Trainer(net, SumSquaredError(scale=large / 2), SGD(1.0), clip_norm=limit)
    with np.errstate(over="ignore"):
        trainer.step([[1.0]], [[-1.0, 1.0 if large < 1e300 else 0.0]])
    wanted = limit / np.sqrt(2) * np.array([-1, 1]) if large < 1e300 else limit * np.array([-1, 0])
    np.testing.assert_allclose(trainer.parameters.values, wanted, rtol=1e-6)
