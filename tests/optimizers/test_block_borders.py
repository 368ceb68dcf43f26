"""Long vectors are updated in blocks: every number moves, and as it would in a short vector, at sizes near a border."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from every_builtin import BUILTIN_OPTIMIZERS

from deepbp import kernels
from deepbp.kernels.blocks import BLOCK
from deepbp.optimizers import Grouped, Optimizer
from deepbp.parameters import Parameter, ParameterVector
from deepbp.typing import Array

SIZES = [BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK + 1]
SHORT = 1000  # numbers in a vector that is one block, and not a divisor of BLOCK
STEPS = 3
OPTIMIZERS = [one for one in BUILTIN_OPTIMIZERS if not isinstance(one, Grouped) and not callable(one.learning_rate)]


def trained(optimizer: Optimizer, values: Array, gradients: Array) -> Iterator[Array]:
    """The values after the steps, and every array of the state."""
    vector = ParameterVector([Parameter(values)])
    state = optimizer.start(vector)
    for gradient in gradients:
        vector.grads[...] = gradient
        optimizer.step(vector, state)
    yield vector.values
    yield from (state[name] for name in sorted(state) if isinstance(state[name], np.ndarray))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_number_moves_as_in_a_short_vector(optimizer: Optimizer, size: int, kernel_form: str) -> None:
    rng = np.random.default_rng(0)
    values, gradients = rng.normal(size=size), rng.normal(size=(STEPS, size))
    long = list(trained(optimizer, values, gradients))
    assert (long[0] != values).all()
    parts = [slice(start, start + SHORT) for start in range(0, size, SHORT)]
    short = [list(trained(optimizer, values[part], gradients[:, part])) for part in parts]
    for array, pieces in zip(long, zip(*short, strict=True), strict=True):
        np.testing.assert_allclose(array, np.concatenate(pieces), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("size", SIZES)
def test_every_gradient_is_clipped(size: int, kernel_form: str) -> None:
    gradients = np.where(np.arange(size) % 2, 3.0, -2.0)
    for name, arguments, expected in (
        ("clip_values", (0.5,), np.sign(gradients) / 2),
        ("clip_norm", (10.0, 1.0), gradients / 10),
    ):
        clipped = gradients.copy()
        kernel: Any = getattr(kernels, name)
        kernel(clipped, *arguments)
        np.testing.assert_allclose(clipped, expected, rtol=1e-15)
