"""A call with bad input, and the error that it must end in."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from attrs import frozen

from deepbp import Sequential
from deepbp.errors import DeepBPError
from deepbp.layers import Builder, Dense, Layer, Sigmoid

Call: TypeAlias = Callable[[], Any]

X = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)
Y = np.linspace(0, 1, 10, dtype=np.float32).reshape(5, 2)
LABELS = np.array([0, 1, 0, 1, 1])


@frozen
class Refusal:
    """``call`` must raise exactly this class of error, with a message that begins with the pattern."""

    id: str
    call: Call
    error: type[DeepBPError]
    message: str

    def check(self) -> None:
        with pytest.raises(DeepBPError) as caught:
            self.call()
        assert type(caught.value) is self.error
        assert re.match(self.message, str(caught.value)), str(caught.value)


def table(*refusals: Refusal) -> pytest.MarkDecorator:
    """Each a test case of its own, under its name."""
    assert len({refusal.id for refusal in refusals}) == len(refusals)
    return pytest.mark.parametrize("refusal", refusals, ids=[refusal.id for refusal in refusals])


def network(**options: Any) -> Sequential:
    return Sequential([Dense(4), Sigmoid(), Dense(2)], input_shape=3, rng=0, **options)


def built(layer: Layer[Any], *input_shape: int) -> Layer[Any]:
    Builder(0).build(layer, input_shape)
    return layer
