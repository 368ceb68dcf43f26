"""Where the loss falls, and where it explodes, as the learning rate grows."""

from typing import TYPE_CHECKING

from deepbp.errors import ArgumentTypeError
from deepbp.plots.canvas import COLORS, axes_for, quiet
from deepbp.training import RangeTest

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_rates(result: RangeTest, *, ax: "Axes | None" = None) -> "Axes":
    """The losses of a ``learning_rate_range_test`` as points, smoothed as a curve, and the rate that it suggests."""
    if not isinstance(result, RangeTest):
        raise ArgumentTypeError(
            f"learning_rates: expected a RangeTest, as learning_rate_range_test returns it, got {result!r}"
        )
    ax = quiet(axes_for(ax))
    ax.plot(result.rates, result.losses, ".", color=COLORS[0], alpha=0.3, label="batches")
    ax.plot(result.rates, result.smoothed, color=COLORS[0], label="smoothed")
    if result.suggestion is not None:
        label = f"falls most steeply at {result.suggestion:.2g}"
        ax.axvline(result.suggestion, color=COLORS[1], linestyle="--", label=label)
    ax.set_xscale("log")
    ax.set(xlabel="learning rate", ylabel="loss")
    ax.legend(frameon=False)
    return ax
