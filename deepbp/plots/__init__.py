"""Pictures of a network and of its training: each function draws into ``ax``, or a new figure, and returns it.

They need matplotlib, from the extra ``deepbp[plots]``, which is imported when the first picture is drawn. In a
notebook the picture appears by itself; in a script, ``ax.figure.savefig("picture.png")``.
"""

from deepbp.plots.boundary import decision_boundary
from deepbp.plots.confusion import confusion_matrix
from deepbp.plots.curves import learning_curves
from deepbp.plots.diagram import network_diagram
from deepbp.plots.rates import learning_rates
from deepbp.plots.signals import signal, signals
from deepbp.plots.weights import weight_images

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
