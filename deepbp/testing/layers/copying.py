"""A layer is its configuration and its arrays: printed, rebuilt, copied and pickled, it is the same layer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from deepbp.layers import Layer
from deepbp.parameter import Buffer, Parameter
from deepbp.testing import configuration
from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.layers.case import LayerCase


def repr_can_be_pasted_back(case: LayerCase) -> None:
    """``repr`` is the constructor call, before and after build."""
    configuration.expect_repr_can_be_pasted_back(case.prototype)
    configuration.expect_repr_can_be_pasted_back(case.build().layer)


def configuration_rebuilds(case: LayerCase) -> None:
    """The fields are the constructor's arguments, unchanged by build."""
    configuration.expect_configuration_rebuilds(case.unbuilt())
    configuration.expect_same(case.build().layer, case.prototype, "build changed the configuration")


def deep_copy(case: LayerCase) -> None:
    """A copy gives the same results and shares nothing that training changes."""
    _expect_copy(case, configuration.deep_copied, "a deep copy")


def pickling(case: LayerCase) -> None:
    """Pickled and read back, the layer gives the same results."""
    if not configuration.holds_functions(case.prototype):
        _expect_copy(case, configuration.pickled, "a pickled layer")


def _expect_copy(case: LayerCase, make: Callable[[Any], Any], what: str) -> None:
    make(case.prototype)
    original, x = case.build().layer, case.x()
    made: Layer[Any] = make(original)
    expect_same(made.predict(x), original.predict(x), f"{what} predicts something else than the original", 0.0)
    expect_same(made.forward(x)[0], original.forward(x)[0], f"{what} goes forward to something else", 0.0)
    theirs: dict[str, Parameter | Buffer] = {**made.named_parameters(), **made.named_buffers()}
    ours: dict[str, Parameter | Buffer] = {**original.named_parameters(), **original.named_buffers()}
    for name, member in ours.items():
        if name not in theirs:
            raise CheckFailure(f"{what} lacks `{name}`")
        if np.shares_memory(member.value, theirs[name].value):
            raise CheckFailure(f"{what} shares `{name}` with the original: training one changes both")
