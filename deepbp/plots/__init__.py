"""Plots of networks and trainings: each function draws into ``ax``, or into a new figure, and returns the Axes.

The functions need matplotlib, from the extra ``deepbp[plots]``, and import it on first use. A notebook displays the
figure; in a script, call ``ax.figure.savefig("plot.png")``.
"""

from deepbp._config import publish
from deepbp.plots.diagram import network_diagram
from deepbp.plots.network_plots import BoundaryAnimation, attention_map, decision_boundary, weight_images
from deepbp.plots.score_plots import calibration, precision_recall_curve, roc_curve, worst_samples
from deepbp.plots.training_plots import confusion_matrix, learning_curves, learning_rates, signal, signals

__all__ = [
    "BoundaryAnimation",
    "attention_map",
    "calibration",
    "confusion_matrix",
    "decision_boundary",
    "learning_curves",
    "learning_rates",
    "network_diagram",
    "precision_recall_curve",
    "roc_curve",
    "signal",
    "signals",
    "weight_images",
    "worst_samples",
]

publish(__name__)
