"""Long trainings: a mean whose gradients are 0 becomes 0 itself, not a subnormal number, which is slow to multiply."""

import numpy as np
import pytest

from deepbp import kernels
from deepbp.optimizers import (
    SGD,
    Adadelta,
    Adam,
    AdamW,
    AMSGrad,
    Grouped,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    optimizer,
)
from deepbp.parameters import Parameter, ParameterVector

WITH_MEANS: list[Optimizer] = [
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True),
    Adam(),
    AdamW(),
    AMSGrad(),
    NAdam(),
    RAdam(),
    RMSprop(centered=True, momentum=0.9),
    Adadelta(rho=0.9),
    Lion(beta2=0.9),
    Grouped({"*": Adam()}),
]

STEPS = 1_700


def trained(chosen: Optimizer, dtype: str) -> tuple[ParameterVector, dict[str, np.ndarray]]:
    """Parameters, and the arrays of the state, after a training in which half of the units die at step 100."""
    rng = np.random.default_rng(0)
    vector = ParameterVector({"weight": Parameter(rng.normal(size=(4, 6)).astype(dtype))})
    state = chosen.start(vector)
    scale = 1.0 if dtype == "float32" else 1e-290
    for step in range(STEPS):
        vector.grads[:] = scale * rng.normal(size=24)
        if step >= 100:
            vector.grads[::2] = 0
        chosen.step(vector, state)
    return vector, {name: array for name, array in state.items() if isinstance(array, np.ndarray)}


def subnormals(arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """How many numbers of each array are not 0, but smaller than every normal number."""
    counts = {
        name: int(np.count_nonzero((array != 0) & (np.abs(array) < np.finfo(array.dtype).smallest_normal)))
        for name, array in arrays.items()
        if array.dtype.kind == "f"
    }
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("form", ["numpy", "numba"])
@pytest.mark.parametrize("chosen", WITH_MEANS, ids=repr)
def test_no_state_is_subnormal(chosen: Optimizer, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "numba":
        pytest.importorskip("numba")
    before = kernels.current()
    kernels.use(form)  # type: ignore[arg-type]
    try:
        vector, arrays = trained(chosen, "float32")
        monkeypatch.setattr(optimizer, "FLUSH_EVERY", STEPS + 1)
        kept, unflushed = trained(chosen, "float32")
    finally:
        kernels.use(before)  # type: ignore[arg-type]
    assert not subnormals(arrays)
    if form == "numpy":  # some compiled kernels flush in every step
        assert subnormals(unflushed)  # else this test proves nothing
    if not isinstance(chosen, Lion):  # whose steps do not depend on the size of the mean
        np.testing.assert_array_equal(vector.values, kept.values)


@pytest.mark.parametrize("chosen", [SGD(0.1, momentum=0.9), Adam()], ids=repr)
def test_float64(chosen: Optimizer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not subnormals(trained(chosen, "float64")[1])
    monkeypatch.setattr(optimizer, "FLUSH_EVERY", STEPS + 1)
    if kernels.current() == "numpy":  # the compiled kernels flush in every step
        assert subnormals(trained(chosen, "float64")[1])  # else this test proves nothing
