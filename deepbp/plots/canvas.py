"""Axes, colors and style of all plots."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from deepbp.errors import ArgumentTypeError, ConfigurationError, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
"""A palette for color-blind readers. Source: Okabe & Ito 2008."""


def need_matplotlib() -> None:
    """Raise ConfigurationError if matplotlib is not installed."""
    if not find_spec("matplotlib"):
        raise ConfigurationError("plots: matplotlib is not installed: pip install 'deepbp[plots]'")


def axes_for(ax: "Axes | None", size: tuple[float, float] = (6.4, 4.0)) -> "Axes":
    """Return the given Axes, or the Axes of a new figure with this size in inches."""
    need_matplotlib()
    from matplotlib.axes import Axes

    if ax is None:
        from matplotlib import pyplot

        return pyplot.subplots(figsize=size, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise ArgumentTypeError(f"ax: expected matplotlib Axes, or None for a new figure, got {shown(ax)}")
    return ax


def quiet(ax: "Axes") -> "Axes":
    """Draw a light grid, and no frame at the top and right."""
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def class_colors(count: int) -> list[Any]:
    """Return one color for each class."""
    if count <= len(COLORS):
        return list(COLORS[:count])
    from matplotlib import colormaps

    return [colormaps["turbo"]((k + 0.5) / count) for k in range(count)]
