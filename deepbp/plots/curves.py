"""How a number of the history went from epoch to epoch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError
from deepbp.plots.canvas import COLORS, axes_for, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_curves(history: Mapping[str, Sequence[float]], name: str = "loss", *, ax: "Axes | None" = None) -> "Axes":
    """A column of the history, and where there is one its ``val_`` twin, over the epochs, counted from 1.

    ``ax.set_yscale("log")`` on what is returned shows late progress of a loss.

    Raises:
        ConfigurationError: for a column that the history does not have.
        DataError: for a history without an epoch.
    """
    if not isinstance(history, Mapping):
        raise ArgumentTypeError(f"learning_curves: expected a History, as fit returns it, got {history!r}")
    if not history:
        raise DataError("learning_curves: the history is empty: no epoch was completed")
    if name not in history:
        raise ConfigurationError(f"learning_curves: expected one of {list(history)}, got {name!r}")
    ax = quiet(axes_for(ax))
    from matplotlib.ticker import MaxNLocator

    for column, label, color in ((name, "training", COLORS[0]), (f"val_{name}", "validation", COLORS[1])):
        if column in history:
            values = history[column]
            marker = "o" if len(values) == 1 else None  # a line through one point would not be seen
            ax.plot(range(1, len(values) + 1), values, color=color, label=label, marker=marker)
    ax.set(xlabel="epoch", ylabel=name.replace("_", " "))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if f"val_{name}" in history:
        ax.legend(frameon=False)
    return ax
