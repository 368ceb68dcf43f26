"""Random numbers come from the network's generator, and from nowhere else."""

from typing import Any

import numpy as np

from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.layers.case import LayerCase
from deepbp.typing import Array

_SOURCE = "draw from builder.rng, the network's generator, which build receives"


def same_seed_same_parameters(case: LayerCase) -> None:
    """Two networks with the same seed start alike."""
    one, other = (case.build(move=False).layer for _ in range(2))
    for name, parameter in one.named_parameters().items():
        message = f"parameter `{name}` starts differently in two networks of the same seed: {_SOURCE}"
        expect_same(other.named_parameters()[name].value, parameter.value, message, 0.0)


def same_seed_same_passes(case: LayerCase) -> None:
    """Random layers repeat with the network's seed, and differ with another one."""
    x = case.x()
    runs: dict[int, list[Array]] = {}
    values: dict[str, Array] = {}
    for seed in (0, 0, 1):
        layer = case.build(seed=seed).layer
        for name, parameter in layer.named_parameters().items():  # what is drawn in passes alone is in question here
            parameter.value = values.setdefault(name, parameter.value.copy())
        outputs = [layer.forward(x.copy())[0].copy() for _ in range(2)]
        if seed in runs:
            for one, again in zip(runs[seed], outputs, strict=True):
                message = f"forward gives something else in two networks of the same seed: {_SOURCE}"
                expect_same(again, one, message, 0.0)
        runs[seed] = outputs
    is_random = not np.array_equal(runs[0][0], runs[0][1])
    if is_random and all(map(np.array_equal, runs[0], runs[1])):
        raise CheckFailure(f"forward is random, and the same for every seed of the network: {_SOURCE}")


def no_global_randomness(case: LayerCase) -> None:
    """NumPy's hidden global generator is neither read nor seeded."""
    before: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    specimen, x = case.build(), case.x()
    specimen.run(x, specimen.delta(x, case.rng(10)))
    specimen.predict(x)
    after: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    if before["state"]["pos"] != after["state"]["pos"] or not np.array_equal(
        before["state"]["key"], after["state"]["key"]
    ):
        raise CheckFailure(f"numpy.random's global generator was used, so no seed gives the same run twice: {_SOURCE}")
