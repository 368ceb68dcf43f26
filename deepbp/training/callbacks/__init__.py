"""The callbacks: what may happen between the steps of a training, ready-made."""

from deepbp.training.callback import Callback
from deepbp.training.callbacks.csv_log import CSVLog
from deepbp.training.callbacks.early_stopping import EarlyStopping
from deepbp.training.callbacks.model_checkpoint import ModelCheckpoint
from deepbp.training.callbacks.reduce_on_plateau import ReduceOnPlateau
from deepbp.training.callbacks.tensor_board import TensorBoard
from deepbp.training.callbacks.time_limit import TimeLimit
from deepbp.training.callbacks.weight_average import WeightAverage
from deepbp.training.signal_monitor import SignalMonitor

__all__ = [
    "CSVLog",
    "Callback",
    "EarlyStopping",
    "ModelCheckpoint",
    "ReduceOnPlateau",
    "SignalMonitor",
    "TensorBoard",
    "TimeLimit",
    "WeightAverage",
]
