"""A drawn network names every layer, shape and parameter, and nothing in it overlaps."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from attrs import define, field

pytest.importorskip("matplotlib")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, NotBuiltError
from deepbp.initializers import Zeros
from deepbp.layers import (
    L1,
    L2,
    Builder,
    Dense,
    Expression,
    Flatten,
    InnerGraph,
    Layer,
    Node,
    Parallel,
    Penalized,
    ReLU,
    Repeat,
    Residual,
    Split,
    Tanh,
)
from deepbp.parameters import Parameter
from deepbp.plots import network_diagram
from deepbp.typing import Array, Shape

pytestmark = pytest.mark.usefixtures("no_screen")

SHARED = Dense(16)
BLOCK = Sequential([SHARED, Tanh()])
NESTED = Sequential(
    [
        Flatten(),
        BLOCK,
        Sequential([BLOCK, Sequential([Dense(8, use_bias=False), ReLU()]), Dense(16), SHARED]),
        Dense(1000),
    ],
    input_shape=(4, 4),
    rng=0,
)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_text()]


def borders(ax: Axes) -> list[FancyBboxPatch]:
    return [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]


def test_layers_shapes_and_parameters_from_top_to_bottom() -> None:
    net = Sequential([Flatten(), Dense(5), Tanh(), Dense(2, use_bias=False)], input_shape=(2, 3), rng=0)
    assert texts(network_diagram(net)) == [
        "(2, 3)",
        "0 Flatten",
        "(6,)",
        "1 Dense",
        "weight (6, 5), bias (5,): 35 parameters",
        "(5,)",
        "2 Tanh",
        "(5,)",
        "3 Dense",
        "weight (5, 2): 10 parameters",
        "(2,)",
    ]


def test_networks_inside_are_framed_and_repeated_layers_say_so() -> None:
    ax = network_diagram(NESTED)
    shown = texts(ax)
    places = ["0 Flatten", "1 Sequential", "1.0 Dense", "1.1 Tanh", "2 Sequential", "2.0 Sequential", "2.0.0 Dense"]
    places += ["2.1.0 Dense", "2.1.1 ReLU", "2.2 Dense", "2.3 Dense", "3 Dense"]
    assert [place for place in places if place not in shown] == []
    assert shown.count("the layer of 1, used again") == 1
    assert shown.count("the layer of 1.0, used again") == 2
    assert "2.0.1 Tanh, the layer of 1.1, used again" in shown
    assert len(borders(ax)) == 10 + 4  # ten layers and four networks
    assert sum(border.get_linestyle() == "--" for border in borders(ax)) == 4


def test_a_layer_alone() -> None:
    assert texts(network_diagram(NESTED[3])) == [
        "(16,)",
        "Dense",
        "weight (16, 1000), bias (1000,): 17,000 parameters",
        "(1000,)",
    ]


BRANCHED = Sequential(
    [
        Residual([Dense(6), Parallel([[Dense(3), Tanh()], None, Dense(2)]), Dense(6)]),
        Split([[Dense(2), ReLU()], Residual(Residual(Tanh()))], sizes=(2, 4)),
        Penalized([Dense(6), ReLU()], weights=L2(0.1), outputs=L1(0.2)),
        Repeat(Residual([Dense(6), ReLU()]), 2, share=True),
    ],
    input_shape=6,
    rng=0,
)


def test_branches_stand_side_by_side_and_meet() -> None:
    ax = network_diagram(BRANCHED)
    shown = texts(ax)
    places = ["0 Residual", "0.body Chain", "0.body.0 Dense", "0.body.1 Parallel", "0.body.1.branches.0.1 Tanh"]
    places += ["0.body.1.branches.2 Dense", "1.branches.1.body.body Tanh", "columns 0 to 1", "columns 2 to 5"]
    places += ["2.layer.1 ReLU", "y = layer(x), plus L2(0.1) of weights, L1(0.2) of outputs"]
    assert [place for place in places if place not in shown] == []
    assert [shown.count(merge) for merge in ("add", "concat")] == [5, 2]
    assert shown.count("the layer of 3.0, used again") == 1
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert heights["0.body.1.branches.0.1 Tanh"] < heights["0.body.1.branches.2 Dense"]  # the first layer of its branch


def test_a_users_composite_is_framed_if_it_states_its_graph() -> None:
    @define(eq=False)
    class Doubled(Layer[Any]):
        """y = 2 · body(x)."""

        body: Layer[Any]

        def build(self, input_shape: Shape, builder: Builder) -> Shape:
            return builder.build(self.body, input_shape)

        def forward(self, x: Array) -> tuple[Array, Any]:
            y, saved = self.body.forward(x)
            return 2 * y, saved

        def backward(self, saved: Any, delta: Array) -> Array:
            return self.body.backward(saved, 2 * delta)

    @define(eq=False)
    class Stated(Doubled):
        def inner_graph(self) -> InnerGraph:
            assert self.built is not None
            nodes = [Node("body", self.body), Node("y", Expression("2 * y", {"y": "2"}), "body")]
            return InnerGraph(self.built.input_shape, nodes, "y = 2 body(x)")

    inside = {"0.body Tanh", "2 * y", "y = 2 body(x)"}
    for kind, visible in (Doubled, set[str]()), (Stated, inside):
        shown = texts(network_diagram(Sequential([kind(Tanh())], input_shape=3, rng=0)))
        assert f"0 {kind.__name__}" in shown
        assert inside & set(shown) == visible


@pytest.mark.parametrize(
    ("net", "size"),
    [*((NESTED, size) for size in (None, (5, 12), (9, 4), (3, 3))), (BRANCHED, None), (BRANCHED, (5, 12))],
)
def test_nothing_overlaps(net: Sequential, size: Any) -> None:
    ax = None if size is None else pyplot.subplots(figsize=size)[1]
    ax = network_diagram(net, ax=ax)
    canvas: Any = FigureCanvasAgg(ax.figure.figure)
    canvas.draw()
    shown = [text for text in ax.texts if text.get_text()]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in shown]
    names = [text.get_text() for text in shown]
    overlapping = [
        pair
        for pair, (one, other) in zip(combinations(names, 2), combinations(boxes, 2), strict=True)
        if one.overlaps(other)
    ]
    assert overlapping == []
    edges = [border.get_window_extent() for border in borders(ax)]
    cut = [  # a text lies inside a border or outside, never across one
        name
        for name, box in zip(names, boxes, strict=True)
        for edge in edges
        if edge.overlaps(box)
        and not (edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1)
    ]
    assert cut == []
    figure = ax.figure.bbox
    assert all(
        figure.x0 <= box.x0 and box.x1 <= figure.x1 and figure.y0 <= box.y0 and box.y1 <= figure.y1 for box in boxes
    )


def test_many_parameters_are_counted() -> None:
    @define(eq=False)
    class Many(Layer[None]):
        """y = x, with eight parameters of long names."""

        parameter: list[Parameter] = field(init=False, factory=list)

        def build(self, input_shape: Shape, builder: Builder) -> Shape:
            self.parameter = [builder.parameter(input_shape, Zeros()) for _ in range(8)]
            return input_shape

        def forward(self, x: Array) -> tuple[Array, None]:
            return x, None

        def backward(self, saved: None, delta: Array) -> Array:
            return delta

    ax = network_diagram(Sequential([Many()], input_shape=3, rng=0))
    assert "8 arrays: 24 parameters" in texts(ax)


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        ("net", ArgumentTypeError, "expected a network or a layer, got 'net'"),
        (np.zeros(3), ArgumentTypeError, "expected a network or a layer, got array"),
        (Sequential([Dense(3)]), NotBuiltError, "the sizes are not known yet"),
        (Tanh(), NotBuiltError, "the sizes are not known yet"),
    ],
    ids=repr,
)
def test_what_cannot_be_drawn(net: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        network_diagram(net)
