"""A network drawn: its layers from top to bottom, with the shapes that flow between them and their parameters."""

from typing import TYPE_CHECKING, Any

from attrs import define, field

from deepbp.errors import ArgumentTypeError, NotBuiltError
from deepbp.layers import Chain, Layer
from deepbp.plots.canvas import axes_for
from deepbp.typing import Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _ARROW, _HEAD, _MARGIN = 5.0, 0.34, 0.34, 0.16  # inches: of all, between boxes, above and beside what is framed
_TRAINED, _PLAIN = "#d6e8f3", "#f2f2f2"


def network_diagram(net: Layer[Any], *, ax: "Axes | None" = None) -> "Axes":
    """Each layer a box with its parameters, blue where it has any; on the arrows, the shapes of samples.

    Networks inside the network are framed. A layer that is used again has a dashed border and says where it was used
    first: its parameters are the same. In axes of yours the text shrinks with the boxes: give long networks tall ones.

    Raises:
        NotBuiltError: when the sizes are not known yet.
    """
    if not isinstance(net, Layer):
        raise ArgumentTypeError(f"network_diagram: expected a network or a layer, got {net!r}")
    if net.built is None:
        raise NotBuiltError("network_diagram: the sizes are not known yet: give input_shape=..., or call build or fit")
    height = _height(net) - (_HEAD + _MARGIN if isinstance(net, Chain) else 0) + 2 * _ARROW
    given, ax = ax, axes_for(ax, (_WIDTH + 0.2, height + 0.2))
    ax.set(xlim=(-_WIDTH / 2, _WIDTH / 2), ylim=(-height, 0), aspect="equal")
    ax.set_axis_off()
    scale = 1.0
    if given is not None:  # text shrinks with the boxes
        window = ax.get_window_extent()
        scale = min(1.0, window.width / _WIDTH / ax.figure.dpi, window.height / height / ax.figure.dpi)
    drawing = _Drawing(ax, scale)
    drawing.arrow(0, net.built.input_shape)
    bottom = drawing.chain(net, "", -_ARROW, 0) if isinstance(net, Chain) else drawing.box(net, "", -_ARROW, 0)
    drawing.arrow(bottom, net.built.output_shape)
    return ax


def _height(layer: Layer[Any]) -> float:
    if isinstance(layer, Chain):
        inside = sum(map(_height, layer.layers)) + _ARROW * (len(layer.layers) - 1)
        return _HEAD + inside + _MARGIN
    return 0.5 if layer.parameters() else 0.32


@define(eq=False)
class _Drawing:
    """Draws one item after another; each method gets the top of what it draws and returns its bottom."""

    ax: "Axes"
    scale: float
    first_places: dict[int, str] = field(factory=dict)

    def chain(self, chain: Chain, prefix: str, top: float, depth: int) -> float:
        for position, layer in enumerate(chain.layers):
            if position:
                top = self.arrow(top, chain.shapes[position])
            draw = self.frame if isinstance(layer, Chain) else self.box
            top = draw(layer, f"{prefix}{position}", top, depth)
        return top

    def frame(self, chain: Any, place: str, top: float, depth: int) -> float:
        again = self._again(chain, place)
        self._line(top, top - _HEAD)
        inside = self.chain(chain, f"{place}.", top - _HEAD, depth + 1)
        self._line(inside, inside - _MARGIN)
        left, width = self._across(depth)
        self._rectangle(left, inside - _MARGIN, width, top - inside + _MARGIN, "none", again)
        self._text(left + 0.1, top - _HEAD / 2, f"{place} {type(chain).__name__}", 8, "0.3", "left")
        if again:
            self._text(left + width - 0.1, top - _HEAD / 2, again, 8, "0.3", "right")
        return inside - _MARGIN

    def box(self, layer: Layer[Any], place: str, top: float, depth: int) -> float:
        again, parameters, height = self._again(layer, place), layer.named_parameters(), _height(layer)
        left, width = self._across(depth)
        self._rectangle(left, top - height, width, height, _TRAINED if parameters else _PLAIN, again)
        note = again
        if parameters and not again:
            listed = ", ".join(f"{name} {parameter.value.shape}" for name, parameter in parameters.items())
            count = f"{sum(parameter.value.size for parameter in parameters.values()):,} parameters"
            note = f"{listed}: {count}" if len(listed) < 50 else f"{len(parameters)} arrays: {count}"
        name = f"{place} {type(layer).__name__}".lstrip()
        if parameters:
            self._text(0, top - 0.17, name, 10, "black")
            self._text(0, top - 0.36, note, 8, "0.3")
        else:
            self._text(0, top - height / 2, f"{name}, {note}" if note else name, 10, "black")
        return top - height

    def arrow(self, top: float, shape: Shape) -> float:
        self.ax.annotate(
            "",
            (0, top - _ARROW),
            (0, top),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "0.3",
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 9 * self.scale,
            },
        )
        self._text(0.1, top - _ARROW / 2, str(shape), 8, "0.3", "left")
        return top - _ARROW

    def _again(self, layer: Layer[Any], place: str) -> str:
        first = self.first_places.setdefault(id(layer), place)
        return "" if first == place else f"the layer of {first}, used again"

    def _across(self, depth: int) -> tuple[float, float]:
        width = _WIDTH - 0.1 - 2 * _MARGIN * depth
        return -width / 2, width

    def _line(self, top: float, bottom: float) -> None:
        self.ax.plot((0, 0), (top, bottom), color="0.3", linewidth=1)

    def _rectangle(self, left: float, bottom: float, width: float, height: float, fill: str, again: str) -> None:
        from matplotlib.patches import FancyBboxPatch

        style = "round,pad=0,rounding_size=0.06"
        self.ax.add_patch(
            FancyBboxPatch(
                (left, bottom),
                width,
                height,
                boxstyle=style,
                facecolor=fill,
                edgecolor="0.4",
                linewidth=0.8,
                linestyle="--" if again else "-",
            )
        )

    def _text(self, x: float, y: float, text: str, points: int, color: str, align: str = "center") -> None:
        self.ax.text(x, y, text, fontsize=points * self.scale, color=color, ha=align, va="center")
