"""The summary shows what is inside of composites, a user's own among them."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from deepbp import Sequential
from deepbp.initializers import Ones
from deepbp.layers import L1, L2, Builder, Dense, Layer, Parallel, Penalized, ReLU, Repeat, Residual, Split
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class Own(Layer[list[Any]]):
    """A user's: layers in a list, and a gain of its own."""

    parts: Sequence[Layer[Any]]
    gain: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter((), Ones())
        for part in self.parts:
            input_shape = builder.build(part, input_shape)
        return input_shape

    def forward(self, x: Array) -> tuple[Array, list[Any]]:
        raise NotImplementedError

    def backward(self, saved: list[Any], delta: Array) -> Array:
        raise NotImplementedError


def rows(*layers: Layer[Any], inputs: int = 3) -> list[tuple[str, ...]]:
    return [tuple(row) for row in Sequential(layers, input_shape=inputs).summary().rows]


def test_rows_go_inside_with_their_paths() -> None:
    assert rows(Residual([Dense(2), ReLU()], Dense(2)), Own([Dense(4), Residual(ReLU())])) == [
        ("0 Residual", "(2,)", "", "y = body(x) + shortcut(x)"),
        ("0.body Chain", "", "", ""),
        ("0.body.0 Dense", "(2,)", "8", "z = x W + b"),
        ("0.body.1 ReLU", "(2,)", "0", "y = max(z, 0)"),
        ("0.shortcut Dense", "(2,)", "8", "z = x W + b"),
        ("1 Own", "(4,)", "1", ""),
        ("1.parts.0 Dense", "(4,)", "12", "z = x W + b"),
        ("1.parts.1 Residual", "(4,)", "", "y = body(x) + x"),
        ("1.parts.1.body ReLU", "(4,)", "0", "y = max(z, 0)"),
    ]


def test_branches_say_how_they_are_merged() -> None:
    assert rows(Parallel([Dense(2), None]), inputs=3) == [
        ("0 Parallel", "(5,)", "", "y = [fᵢ(x), …]"),
        ("0.branches.0 Dense", "(2,)", "8", "z = x W + b"),
    ]
    layers = [Split([None, None], merge="multiply"), Parallel([None], merge="mean"), Parallel([None], merge="add")]
    assert [row[3] for row in rows(*layers, inputs=4)] == ["y = Π fᵢ(xᵢ)", "y = Σ fᵢ(x) / n", "y = Σ fᵢ(x)"]


def test_penalties_are_told() -> None:
    penalized = rows(Penalized(Dense(2), weights=L2(0.1), outputs=L1(0.2)))
    assert penalized[0] == (
        "0 Penalized",
        "(2,)",
        "",
        "y = layer(x), plus L2(0.1) of weights, L1(0.2) of outputs",
    )
    assert penalized[1][:3] == ("0.layer Dense", "(2,)", "8")


def test_shared_weights_count_once() -> None:
    shared = Dense(3)
    assert [row[2] for row in rows(Repeat(shared, 3, share=True), Parallel([shared, shared], merge="add"))] == [
        "",
        "12",
        "0",
        "0",
        "",
        "0",
        "0",
    ]
    assert [row[2] for row in rows(Repeat(Dense(3), 2))] == ["", "12", "12"]


def test_total_counts_everything_once() -> None:
    net = Sequential([Repeat(Residual([Dense(4), Dense(3)]), 2), Own([Dense(2)])], input_shape=3)
    assert net.summary().parameters == 2 * (16 + 15) + 1 + 8
    assert sum(int(row[2] or 0) for row in net.summary().rows) == net.summary().parameters
