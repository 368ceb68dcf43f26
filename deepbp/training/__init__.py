"""Training a model on data: the trainer, its data, and what it reports."""

from typing import TYPE_CHECKING

from deepbp._config import publish

if TYPE_CHECKING:
    from deepbp.callbacks.checkpoint import ModelCheckpoint
    from deepbp.callbacks.constraints import Constraint, MaxNorm, NonNegative, UnitNorm
    from deepbp.callbacks.logs import CSVLog, TensorBoard
    from deepbp.callbacks.stopping import EarlyStopping, ReduceOnPlateau, TimeLimit
    from deepbp.callbacks.weight_average import WeightAverage
    from deepbp.metrics.classification import F1, ROCAUC, Accuracy, BinaryAccuracy, Precision, Recall, TopKAccuracy
    from deepbp.metrics.metric import Metric, MetricLike
    from deepbp.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError
    from deepbp.metrics.thresholds import confusion_matrix
    from deepbp.training import callbacks, metrics  # noqa: F401
    from deepbp.training.data import Data, pad_sequences
    from deepbp.training.evaluation import evaluate
    from deepbp.training.full_batch import Iterations, fit_lbfgs, fit_levenberg_marquardt
    from deepbp.training.history import Best, History
    from deepbp.training.objective import Objective
    from deepbp.training.parquet import Parquet
    from deepbp.training.selection import RangeTest, Scores, cross_validate, k_fold, learning_rate_range_test
    from deepbp.training.signals import SignalMonitor, Signals
    from deepbp.training.trainer import Callback, Trainer

__all__ = [
    "F1",
    "R2",
    "ROCAUC",
    "Accuracy",
    "Best",
    "BinaryAccuracy",
    "CSVLog",
    "Callback",
    "Constraint",
    "Data",
    "EarlyStopping",
    "History",
    "Iterations",
    "MaxNorm",
    "MeanAbsoluteError",
    "Metric",
    "MetricLike",
    "ModelCheckpoint",
    "NonNegative",
    "Objective",
    "Parquet",
    "Precision",
    "RangeTest",
    "Recall",
    "ReduceOnPlateau",
    "RootMeanSquaredError",
    "Scores",
    "SignalMonitor",
    "Signals",
    "TensorBoard",
    "TimeLimit",
    "TopKAccuracy",
    "Trainer",
    "UnitNorm",
    "WeightAverage",
    "confusion_matrix",
    "cross_validate",
    "evaluate",
    "fit_lbfgs",
    "fit_levenberg_marquardt",
    "k_fold",
    "learning_rate_range_test",
    "pad_sequences",
]

publish(
    __name__,
    homes={
        "callbacks.checkpoint": "ModelCheckpoint",
        "callbacks.constraints": "Constraint MaxNorm NonNegative UnitNorm",
        "callbacks.logs": "CSVLog TensorBoard",
        "callbacks.stopping": "EarlyStopping ReduceOnPlateau TimeLimit",
        "callbacks.weight_average": "WeightAverage",
        "metrics.classification": "F1 ROCAUC Accuracy BinaryAccuracy Precision Recall TopKAccuracy",
        "metrics.metric": "Metric MetricLike",
        "metrics.regression": "R2 MeanAbsoluteError RootMeanSquaredError",
        "metrics.thresholds": "confusion_matrix",
        "training": "callbacks metrics",  # the old homes of these names
        "training.data": "Data pad_sequences",
        "training.evaluation": "evaluate",
        "training.full_batch": "Iterations fit_lbfgs fit_levenberg_marquardt",
        "training.history": "Best History",
        "training.objective": "Objective",
        "training.parquet": "Parquet",
        "training.selection": "RangeTest Scores cross_validate k_fold learning_rate_range_test",
        "training.signals": "SignalMonitor Signals",
        "training.trainer": "Callback Trainer",
    },
)
