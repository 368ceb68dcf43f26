"""Training a model on data."""

from deepbp.training.callback import Callback
from deepbp.training.data import Data
from deepbp.training.evaluation import evaluate
from deepbp.training.history import Best, History
from deepbp.training.metrics import Accuracy, BinaryAccuracy, MeanAbsoluteError, Metric, MetricLike
from deepbp.training.signal_monitor import SignalMonitor
from deepbp.training.signals import Signals
from deepbp.training.trainer import Trainer

__all__ = [
    "Accuracy",
    "Best",
    "BinaryAccuracy",
    "Callback",
    "Data",
    "History",
    "MeanAbsoluteError",
    "Metric",
    "MetricLike",
    "SignalMonitor",
    "Signals",
    "Trainer",
    "evaluate",
]
