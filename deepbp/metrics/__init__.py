"""Metrics of classification and regression, exact over all samples of an epoch."""

from typing import TYPE_CHECKING

from deepbp._config import publish

if TYPE_CHECKING:
    from deepbp.metrics.classification import F1, ROCAUC, Accuracy, BinaryAccuracy, Precision, Recall, TopKAccuracy
    from deepbp.metrics.metric import Metric, MetricLike, StreamingMetric, check_metrics, compute, metric_name
    from deepbp.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError
    from deepbp.metrics.thresholds import confusion_matrix

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
    "StreamingMetric",
    "TopKAccuracy",
    "check_metrics",
    "compute",
    "confusion_matrix",
    "metric_name",
]

publish(
    __name__,
    homes={
        "metrics.classification": "F1 ROCAUC Accuracy BinaryAccuracy Precision Recall TopKAccuracy",
        "metrics.metric": "Metric MetricLike StreamingMetric check_metrics compute metric_name",
        "metrics.regression": "R2 MeanAbsoluteError RootMeanSquaredError",
        "metrics.thresholds": "confusion_matrix",
    },
)
