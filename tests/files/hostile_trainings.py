"""Trainings of several kinds in files, and changes of what these say."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from deepbp import Sequential, Trainer
from deepbp.layers import BatchNorm, Dense, Dropout
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import SGD, Adam
from deepbp.parameters import Buffer, Parameter
from deepbp.storage.npz_format import read_archive, write_archive
from deepbp.training import Accuracy, Callback, EarlyStopping, ReduceOnPlateau, WeightAverage

X = np.random.default_rng(5).normal(size=(20, 3))
Y = (X[:, 0] > 0).astype(int)
FIT: dict[str, Any] = {"epochs": 4, "batch_size": 6}
KINDS: list[Any] = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]

Stored = tuple[dict[str, Any], dict[str, Any]]


class Nothing(Callback):
    """Takes the place of the one that leaves."""


class Leave(Callback):
    """Leaves the training in its second epoch."""

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if trainer.steps == 7:
            trainer.stop(now=True)


Leave.__name__ = "Nothing"


def trainer(kind: int, last: Callback) -> Trainer:
    one, other = (np.random.Generator(KINDS[(kind + i) % len(KINDS)](1)) for i in (0, 1))
    nest = Sequential([Dense(2), Dropout(0.2)], rng=other)
    net = Sequential([Dense(4), BatchNorm(), Dropout(0.3), nest], input_shape=3, rng=one, dtype="float64")
    return Trainer(
        net,
        SoftmaxCrossEntropy(),
        Adam(0.01) if kind % 2 else SGD(0.1, momentum=0.9),
        metrics=[Accuracy()] if kind < 2 else [],
        callbacks=[EarlyStopping("loss", patience=2), ReduceOnPlateau("loss", patience=1), WeightAverage(0.9), last],
    )


def stored(kind: int, path: Path) -> Stored:
    left = trainer(kind, Leave())
    left.fit(X, Y, **FIT)
    left.save(path)
    description, arrays = read_archive(path)
    return {**description, "training": _untagged(description["training"])}, arrays


class Tree(dict[Any, Any]):
    """A dict of the state, which a file holds as a list of pairs under the tag ``dict``; a plain dict is a tag."""


def write(path: Path, description: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write a file with the state that was changed."""
    write_archive(path, {**description, "training": _tagged(description.get("training"))}, arrays)


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if isinstance(value, dict) and value.keys() == {"dict"}:
        return Tree((key, _untagged(item)) for key, item in value["dict"])
    return value


def _tagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, Tree):
        return {"dict": [[key, _tagged(item)] for key, item in value.items()]}
    return value


def all_of(it: Trainer) -> str:
    held: dict[str, Parameter | Buffer] = {**it.model.named_parameters(), **it.model.named_buffers()}
    layers: list[Any] = [it.model, *it.model.named_layers().values()]
    generators = [getattr(layer, "rng", getattr(layer, "generator", it.generator)) for layer in layers]
    states = [it.generator.bit_generator.state, *(one.bit_generator.state for one in generators if one is not None)]
    values = {name: one.value.tobytes() for name, one in held.items()}
    own = it._training
    rest = [it.state, dict(it.history), it.history.interrupted, it.epoch, it.skipped, own.position, own.callback_states]
    return repr([values, states, rest, own.consistent, it.optimizer])


VALUES: list[Any] = [
    *[None, True, False, 0, 1, -1, 2**31, 2**62, 2**63, 2**64, 10**50, -(10**40), 0.0, -1.5, 1e308, 5e-324],
    *["", "a", "step", "x" * 300, [], [1], [[]], {}, {"a": 1}, {"": 1}, [None] * 5, [["EarlyStopping", {}]]],
    *[{"number": "nan"}, {"number": "inf"}, {"number": 3}, {"array": "x"}, {"scalar": "x"}, {"array": 3}, {"x": 1}],
    *[{"array": "a", "b": 1}, {"dict": {"a": 1}}, {"dict": [[[], 1]]}, {"tuple": []}, {"$array": "x"}],
    *[Tree(), Tree(a=1), Tree(a=Tree(b=Tree(c=[]))), [["EarlyStopping", Tree()]]],
]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from places(item, (*at, key))


def mutate_description(draw: Random, description: Any) -> None:
    *path, last = draw.choice(list(places(description)))
    for key in path:
        description = description[key]
    old, how = description[last], draw.randrange(5)
    if how == 0:
        del description[last]
    elif how == 1 and isinstance(old, int | float):
        description[last] = old + draw.choice([-1, 1, 2**40, -(2**40), 0.5, 100])
    elif how == 2 and isinstance(description, dict):
        description[draw.choice(["a", "x/y", "dict"])] = old
    else:
        description[last] = deepcopy(draw.choice(VALUES))


def mutate_arrays(draw: Random, arrays: dict[str, Any]) -> None:
    name, other = draw.sample(list(arrays), 2)
    array = arrays[name]
    arrays[name] = draw.choice(
        [
            array.astype(draw.choice(["f4", "f8", "i8", "u1", "?"])),
            array.reshape(-1)[: draw.randint(0, array.size)],
            np.zeros(draw.choice([(), (0,), (1,), (3, 3), (0, 5)]), array.dtype),
            np.full_like(array, draw.choice([np.inf, 1e300]) if array.dtype.kind == "f" else 0),
            arrays[other],
            array[None],
        ]
    )
    if draw.random() < 0.2:
        del arrays[other]
