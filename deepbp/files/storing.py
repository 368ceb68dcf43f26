"""Networks in files: ``net.save(path)`` and ``deepbp.load(path)``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepbp.errors import FileFormatError
from deepbp.files.network import TRAINING, describe_model, network_of, revive_model
from deepbp.sequential import Sequential
from deepbp.storage.contents import LIMIT
from deepbp.storage.formats import open_file, write_file


def save(network: Sequential, path: str | os.PathLike[str]) -> Path:
    """Write a built network to a file, whole or not at all; returns where it is.

    The architecture, all parameters and buffers, and what is frozen. Not the state of a training, of which
    ``Trainer.save`` writes a file, and not where the network's generator stands.

    Args:
        network: which is built.
        path: its name, ending in ``.npz``, or, with the extra ``safetensors``, in ``.safetensors``.

    Raises:
        ArgumentTypeError: for a configuration that a file cannot hold, such as a function, naming the place.
        NotBuiltError: when its sizes are not known.
        ConfigurationError: for another ending; for a network that could not be read again.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    write_file(path, *describe_model(network))
    return Path(path)


def load(path: str | os.PathLike[str], custom: Sequence[Any] = (), *, limit: int = LIMIT) -> Sequential:
    """The network in a file of ``net.save`` or ``Trainer.save``: it predicts the same, bit by bit, on the same machine.

    Nothing in the file is run: classes are deepbp's own, or those in ``custom``. A file from a stranger can at worst
    be refused; with ``custom``, that depends on how those classes take their arguments.

    Args:
        path: of the file.
        custom: the classes and functions that did not come with deepbp, such as ``[MyLayer]``.
        limit: the largest file to be read, in bytes.

    Raises:
        FileFormatError: when the file is damaged, is of another kind or of a newer version, or names other classes.
        OSError: when there is no such file, or it may not be read.
    """
    with open_file(path, limit) as stored:
        if stored.description is None:
            raise FileFormatError(
                "expected a network, got arrays that deepbp did not write: build the network, and use "
                "net.load_weights(path, convention='pytorch')"
            )
        description, specs = stored.description, stored.specs
        if description.get("kind") == TRAINING:
            description, specs = network_of(description, specs)
        return revive_model(description, specs, stored.array, custom)
