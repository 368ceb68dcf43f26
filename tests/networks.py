"""A small network with a nest inside, and inputs for it."""

from typing import Any

import numpy as np

from deepbp import Sequential
from deepbp.layers import Dense, ReLU, Tanh

X = np.random.default_rng(0).normal(size=(9, 3))


def small(**arguments: Any) -> Sequential:
    layers = [Dense(4), Tanh(), Sequential([Dense(5), ReLU()]), Dense(2)]
    return Sequential(layers, **{"input_shape": (3,), "rng": 0, **arguments})


def values(net: Sequential) -> bytes:
    """All parameters, byte by byte."""
    return b"".join(parameter.value.tobytes() for parameter in net.parameters())
