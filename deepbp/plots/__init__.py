"""Pictures of a network and of its training: each function draws into ``ax``, or a new figure, and returns it.

They need matplotlib, from the extra ``deepbp[plots]``, which is imported when the first picture is drawn. In a
notebook the picture appears by itself; in a script, ``ax.figure.savefig("picture.png")``.
"""

from deepbp._config import publish
from deepbp.plots.network_plots import decision_boundary, network_diagram, weight_images
from deepbp.plots.training_plots import confusion_matrix, learning_curves, learning_rates, signal, signals

__all__ = [
    "confusion_matrix",
    "decision_boundary",
    "learning_curves",
    "learning_rates",
    "network_diagram",
    "signal",
    "signals",
    "weight_images",
]

publish(__name__)
