"""Metrics of classification and regression, computed from all predictions of an epoch."""

from deepbp._config import publish
from deepbp.metrics.classification import F1, ROCAUC, Accuracy, BinaryAccuracy, Precision, Recall, TopKAccuracy
from deepbp.metrics.metric import Metric, MetricLike, check_metrics, compute, confusion_matrix, metric_name
from deepbp.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError

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

publish(__name__)
