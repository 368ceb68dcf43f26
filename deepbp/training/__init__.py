"""Training a model on data."""

from deepbp.training.callback import Callback
from deepbp.training.callbacks import (
    CSVLog,
    EarlyStopping,
    ModelCheckpoint,
    ReduceOnPlateau,
    TensorBoard,
    TimeLimit,
    WeightAverage,
)
from deepbp.training.cross_validation import Scores, cross_validate
from deepbp.training.data import Data
from deepbp.training.evaluation import evaluate
from deepbp.training.history import Best, History
from deepbp.training.iterations import Iterations
from deepbp.training.k_fold import k_fold
from deepbp.training.lbfgs import fit_lbfgs
from deepbp.training.levenberg_marquardt import fit_levenberg_marquardt
from deepbp.training.metrics import (
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
    confusion_matrix,
)
from deepbp.training.objective import Objective
from deepbp.training.range_test import RangeTest, learning_rate_range_test
from deepbp.training.signal_monitor import SignalMonitor
from deepbp.training.signals import Signals
from deepbp.training.trainer import Trainer

__all__ = [
    "F1",
    "R2",
    "ROCAUC",
    "Accuracy",
    "Best",
    "BinaryAccuracy",
    "CSVLog",
    "Callback",
    "Data",
    "EarlyStopping",
    "History",
    "Iterations",
    "MeanAbsoluteError",
    "Metric",
    "MetricLike",
    "ModelCheckpoint",
    "Objective",
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
    "WeightAverage",
    "confusion_matrix",
    "cross_validate",
    "evaluate",
    "fit_lbfgs",
    "fit_levenberg_marquardt",
    "k_fold",
    "learning_rate_range_test",
]
