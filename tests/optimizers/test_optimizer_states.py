"""What the optimizers remember: its names, long vectors of it, and what rounding does to it."""

import numpy as np
import pytest

from deepbp.kernels.blocks import BLOCK
from deepbp.optimizers import Adadelta, Adagrad, AMSGrad, Lion, NAdam, Optimizer, RAdam, RMSprop, Rprop
from deepbp.parameters import Parameter, ParameterVector

OPTIMIZERS: list[Optimizer] = [
    RMSprop(centered=True, momentum=0.9),
    Adagrad(),
    Adadelta(),
    AMSGrad(),
    NAdam(),
    RAdam(),
    Lion(),
    Rprop(),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_the_end_of_a_long_vector_goes_as_it_would_alone(optimizer: Optimizer) -> None:
    """Long ones are moved in blocks."""
    size = BLOCK + 7
    numbers = np.random.default_rng(0).normal(size=(4, size))
    ends = []
    for part in (slice(None), slice(BLOCK - 3, None)):
        vector = ParameterVector([Parameter(numbers[0, part].copy())])
        state = optimizer.start(vector)
        for gradient in numbers[1:]:
            vector.grads[:] = gradient[part]
            optimizer.step(vector, state)
        ends.append(vector.values[-10:])
    np.testing.assert_array_equal(ends[0], ends[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_a_gradient_without_variance(size: float, dtype: type[np.floating]) -> None:
    """Rounding leaves v − m² below 0, whose root would be NaN; the steps grow up to g / ε, which is to be bounded."""
    vector = ParameterVector([Parameter(np.zeros(100, dtype))])
    bounded = RMSprop(0.01, centered=True, epsilon=size)
    state, negative = bounded.start(vector), False
    gradient = size * np.random.default_rng(0).uniform(-1, 1, 100)
    for _ in range(600):
        vector.grads[:] = gradient
        bounded.step(vector, state)
        negative |= bool((state["square"] - state["mean"] ** 2 < 0).any())
    assert negative
    assert np.isfinite(vector.values).all()
    assert np.abs(vector.values).max() <= 600 * 0.01


def test_names_of_the_states() -> None:
    vector = ParameterVector([Parameter(np.ones(3))])
    names = {type(optimizer): list(optimizer.start(vector)) for optimizer in OPTIMIZERS}
    assert names[RMSprop] == ["step", "square", "mean", "velocity"]
    assert list(RMSprop().start(vector)) == ["step", "square"]
    assert names[Adagrad] == ["step", "square"]
    assert names[Adadelta] == ["step", "square", "moved"]
    assert names[AMSGrad] == ["step", "mean", "square", "largest"]
    assert names[NAdam] == ["step", "mean", "square", "product"]
    assert names[RAdam] == ["step", "mean", "square"]
    assert names[Lion] == ["step", "mean"]
    assert names[Rprop] == ["step", "size", "direction"]
