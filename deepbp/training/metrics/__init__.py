"""The metrics: numbers that people read, computed on all predictions of an epoch."""

from deepbp.training.metrics.accuracy import Accuracy
from deepbp.training.metrics.binary_accuracy import BinaryAccuracy
from deepbp.training.metrics.confusion import confusion_matrix
from deepbp.training.metrics.f1 import F1
from deepbp.training.metrics.mean_absolute_error import MeanAbsoluteError
from deepbp.training.metrics.metric import Metric, MetricLike, check_metrics, compute, metric_name
from deepbp.training.metrics.precision import Precision
from deepbp.training.metrics.r2 import R2
from deepbp.training.metrics.recall import Recall
from deepbp.training.metrics.roc_auc import ROCAUC
from deepbp.training.metrics.root_mean_squared_error import RootMeanSquaredError
from deepbp.training.metrics.top_k_accuracy import TopKAccuracy

__all__ = [
    "F1",
    "R2",
    "ROCAUC",
    "Accuracy",
    "BinaryAccuracy",
    "MeanAbsoluteError",
    "Metric",
    "MetricLike",
    "Precision",
    "Recall",
    "RootMeanSquaredError",
    "TopKAccuracy",
    "check_metrics",
    "compute",
    "confusion_matrix",
    "metric_name",
]
