"""Training a model on data."""

from deepbp._config import publish
from deepbp.callbacks.callback import Callback
from deepbp.callbacks.checkpoint import ModelCheckpoint
from deepbp.callbacks.logs import CSVLog, TensorBoard
from deepbp.callbacks.stopping import EarlyStopping, ReduceOnPlateau, TimeLimit
from deepbp.callbacks.weight_average import WeightAverage
from deepbp.metrics.classification import F1, ROCAUC, Accuracy, BinaryAccuracy, Precision, Recall, TopKAccuracy
from deepbp.metrics.metric import Metric, MetricLike, confusion_matrix
from deepbp.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError
from deepbp.training.data import Data
from deepbp.training.evaluation import evaluate
from deepbp.training.full_batch import Iterations, fit_lbfgs, fit_levenberg_marquardt
from deepbp.training.history import Best, History
from deepbp.training.objective import Objective
from deepbp.training.selection import RangeTest, Scores, cross_validate, k_fold, learning_rate_range_test
from deepbp.training.signals import SignalMonitor, Signals
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

publish(__name__)
