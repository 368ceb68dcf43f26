"""The sizes of activations, error signals and gradients, layer by layer, while a network learns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.plots.canvas import axes_for, need_matplotlib, quiet
from deepbp.training import SignalMonitor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Quantity = Literal["activations", "error signals", "gradients"]
_SHOWN_IN_LEGEND = 8


def signal(monitor: SignalMonitor, quantity: Quantity, *, ax: "Axes | None" = None) -> "Axes":
    """One quantity over the steps of training: a curve for each layer, from dark, the first, to light, the last.

    Where nothing flows any more, at a size of 0, a curve ends. Raises ConfigurationError when the monitor has seen
    nothing.
    """
    if not isinstance(monitor, SignalMonitor):
        raise ArgumentTypeError(f"signals: expected a SignalMonitor, got {monitor!r}")
    if not monitor.records:
        raise ConfigurationError("signals: the monitor has seen nothing yet: give callbacks=[monitor] to fit")
    if quantity not in get_args(Quantity):
        raise ConfigurationError(f"signals: expected one of {', '.join(get_args(Quantity))}, got {quantity!r}")
    ax = quiet(axes_for(ax))
    from matplotlib import colormaps

    steps = [record.step for record in monitor.records]
    sizes = np.array([getattr(record, quantity.replace(" ", "_")) for record in monitor.records])
    sizes[(sizes == 0) | np.isinf(sizes)] = np.nan  # neither has a place on a logarithmic scale
    drawn = np.flatnonzero(~np.isnan(sizes).all(axis=0))
    named = {drawn[round(i)] for i in np.linspace(0, len(drawn) - 1, min(len(drawn), _SHOWN_IN_LEGEND))}
    for layer in drawn:
        color = colormaps["viridis"](0.92 * layer / max(len(monitor.layers) - 1, 1))
        label = monitor.layers[layer] if layer in named else None
        ax.plot(steps, sizes[:, layer], color=color, label=label, marker="o" if len(steps) == 1 else None)
    ax.set_yscale("log")
    ax.set(xlabel="step", ylabel="root mean square", title=quantity)
    if len(drawn):
        ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    return ax


def signals(monitor: SignalMonitor, *, ax: "Sequence[Axes] | None" = None) -> Any:
    """Activations, error signals and gradients side by side; returns, and takes, an array of three Axes."""
    if ax is None:
        need_matplotlib()
        from matplotlib import pyplot

        ax = pyplot.subplots(1, 3, figsize=(14, 4), layout="constrained")[1]
    panels = np.asarray(ax, dtype=object).reshape(-1)
    if len(panels) != 3:
        raise ArgumentTypeError(f"ax: expected three Axes, as of pyplot.subplots(1, 3), got {ax!r}")
    for quantity, panel in zip(get_args(Quantity), panels, strict=True):
        signal(monitor, quantity, ax=panel)
    return panels
