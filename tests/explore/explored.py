"""Networks whose pages are looked at, and the functions that write each page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, field

from deepbp import Sequential
from deepbp.layers import (
    L1,
    L2,
    Dense,
    Flatten,
    Layer,
    Parallel,
    Penalized,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Split,
    Tanh,
)
from deepbp.losses import CrossEntropy, SoftmaxCrossEntropy, SumSquaredError
from deepbp.typing import Array

X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=float)
Y = np.array([[0], [1], [1], [0]], dtype=float)


@define(eq=False)
class Secret(Layer[Array]):
    """y = z², and nothing is said about it; its name in the page must not become a part of the page."""

    name: str = field()

    def forward(self, z: Array) -> tuple[Array, Array]:
        return z * z, z

    def backward(self, z: Array, delta: Array) -> Array:
        return 2 * z * delta


def write_pages(folder: Path) -> dict[str, Path]:
    """All of them, by name."""
    pages = {name: folder / f"{name}.html" for name in PLAYED | READ}
    for name, page in pages.items():
        (PLAYED | READ)[name](page)
    return pages


def write_small(path: Path) -> None:
    net = Sequential([Dense(4), Sigmoid(), Dense(1), Sigmoid()], input_shape=3, rng=0, dtype="float64")
    net.explore(X, Y, SumSquaredError(), path=path)


def write_large(path: Path) -> None:
    rng = np.random.default_rng(0)
    inner = Sequential([Dense(64), ReLU(), Dense(32), Tanh()])
    net = Sequential([Flatten(), inner, Dense(10), ReLU(), Dense(10), ReLU(), Dense(10)], input_shape=(8, 8), rng=0)
    net.explore(rng.normal(size=(40, 8, 8)), rng.integers(10, size=40), SoftmaxCrossEntropy(), path=path)


def write_unusual(path: Path) -> None:
    """A black box, softmax, a layer used twice, rows of samples."""
    twice = Dense(3)
    net = Sequential([twice, Secret("</script><b>&"), twice, Softmax()], input_shape=(3,), rng=0)
    net.explore(X * 1e-5, [0, 1, 2, 0], CrossEntropy(), path=path)


def branched_net() -> Sequential:
    """A residual block, branches, columns, penalties."""
    block = Residual([Penalized([Dense(4), Tanh()], weights=L2(1e-3), outputs=L1(1e-2)), Dense(3)])
    heads = Parallel([Dense(2), None, [Dense(2), ReLU()]])
    layers: list[Layer[Any]] = [block, heads, Split([Dense(2), Dense(2)], sizes=(3, 4), merge="multiply"), Dense(1)]
    return Sequential(layers, input_shape=3, rng=0, dtype="float64")


def write_branched(path: Path) -> None:
    branched_net().explore(X, Y, SumSquaredError(), path=path)


def write_derivation(path: Path) -> None:
    net = Sequential([Dense(4), Sigmoid(), Dense(2), Softmax()], input_shape=3, rng=0)
    path.write_text(net.derivation(CrossEntropy()).to_html(), encoding="utf-8")


def write_trace(path: Path) -> None:
    net = Sequential([Dense(4), Sigmoid(), Dense(1), Sigmoid()], input_shape=3, rng=0, dtype="float64")
    path.write_text(net.trace(X, Y, SumSquaredError()).to_html(), encoding="utf-8")


PLAYED: dict[str, Callable[[Path], None]] = {"small": write_small, "large": write_large, "unusual": write_unusual}
PLAYED["branched"] = write_branched
READ: dict[str, Callable[[Path], None]] = {"derivation": write_derivation, "trace": write_trace}
