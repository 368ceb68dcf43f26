"""Training a model on data: the trainer, its data, and what it reports."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deepbp._config import publish
from deepbp._suggestions import suggest_names
from deepbp.metrics.classification import F1, ROCAUC, Accuracy, BinaryAccuracy, Precision, Recall, TopKAccuracy
from deepbp.metrics.metric import Metric, MetricLike
from deepbp.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError
from deepbp.metrics.thresholds import confusion_matrix
from deepbp.training.data import Data, pad_sequences
from deepbp.training.evaluation import evaluate
from deepbp.training.full_batch import Iterations, fit_lbfgs, fit_levenberg_marquardt
from deepbp.training.history import Best, History
from deepbp.training.objective import Objective
from deepbp.training.parquet import Parquet
from deepbp.training.selection import RangeTest, Scores, cross_validate, k_fold, learning_rate_range_test
from deepbp.training.signals import SignalMonitor, Signals
from deepbp.training.trainer import Callback, Trainer

if TYPE_CHECKING:
    from deepbp.callbacks.checkpoint import ModelCheckpoint
    from deepbp.callbacks.constraints import Constraint, MaxNorm, NonNegative, UnitNorm
    from deepbp.callbacks.logs import CSVLog, TensorBoard
    from deepbp.callbacks.stopping import EarlyStopping, ReduceOnPlateau, TimeLimit
    from deepbp.callbacks.weight_average import WeightAverage
    from deepbp.training import callbacks, metrics  # noqa: F401

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

if not TYPE_CHECKING:  # a type checker that sees it would accept any name

    def __getattr__(name: str) -> Any:
        """Import what imports the trainer when it is first used: the callbacks, and the old homes of public names."""
        if name in ("callbacks", "metrics"):
            return import_module(f"{__name__}.{name}")
        if name not in __all__:
            return suggest_names(__name__)(name)  # raises
        value = globals()[name] = getattr(import_module("deepbp.callbacks"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


publish(__name__)
