"""Alias of ``deepbp.metrics``, where the metrics live."""

from deepbp.metrics import (
    F1,
    R2,
    ROCAUC,
    Accuracy,
    BinaryAccuracy,
    MeanAbsoluteError,
    Metric,
    MetricLike,
    Precision,
    Recall,
    RootMeanSquaredError,
    TopKAccuracy,
    check_metrics,
    compute,
    confusion_matrix,
    metric_name,
)

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
