"""A network, saved and read back, and what must then be the same of every network."""

from pathlib import Path
from typing import Any

import numpy as np

import deepbp
from deepbp import Sequential


def stored(network: Sequential, folder: Path, ending: str = ".npz", custom: Any = (), x: Any = None) -> Sequential:
    """The network that was read. Predictions, for ``x`` or normal numbers, and all arrays are the same bytes."""
    path = network.save(folder / f"network{ending}")
    other = deepbp.load(path, custom=custom)
    if x is None:
        x = np.random.default_rng(0).normal(size=(5, *(network.input_shape or ())))
    assert other.predict(x).tobytes() == network.predict(x).tobytes()
    ours: dict[str, Any] = {**network.named_parameters(), **network.named_buffers()}
    theirs: dict[str, Any] = {**other.named_parameters(), **other.named_buffers()}
    assert list(theirs) == list(ours)
    for name, one in ours.items():
        value = theirs[name].value
        assert (type(value), value.dtype, value.shape) == (np.ndarray, one.value.dtype, one.value.shape)
        assert value.tobytes() == one.value.tobytes()
        assert value.flags.writeable
    return other
