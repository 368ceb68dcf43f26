"""Inference: the same numbers as training where nothing is random, and the same each time."""

import numpy as np

from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.layers.case import LayerCase


def predict_equals_forward(case: LayerCase) -> None:
    """For layers that are neither random nor hold buffers."""
    specimen, x = case.build(), case.x()
    predicted = specimen.predict(x)
    if specimen.is_plain(x):
        output = specimen.forward(x)
        expect_same(predicted, output, "predict gives something else than forward, and nothing in the layer is random")


def predict_is_repeatable(case: LayerCase) -> None:
    """Twice the same, without touching buffers or random generators."""
    specimen, x = case.build(), case.x()
    buffers = {name: buffer.value.copy() for name, buffer in specimen.layer.named_buffers().items()}
    once, twice = specimen.predict(x).copy(), specimen.predict(x).copy()
    expect_same(twice, once, "predict gives something else the second time: inference must not be random", 0.0)
    expect_same(specimen.layer.predict(x.copy()), once, "predict gives something else than infer", 0.0)
    for name, buffer in specimen.layer.named_buffers().items():
        if not np.array_equal(buffer.value, buffers[name], equal_nan=True):
            raise CheckFailure(f"predict changed the buffer `{name}`: only the training pass may")
