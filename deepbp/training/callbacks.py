"""Alias of ``deepbp.callbacks``, where the callbacks live."""

from deepbp.callbacks import (
    Callback,
    CSVLog,
    EarlyStopping,
    ModelCheckpoint,
    ReduceOnPlateau,
    SignalMonitor,
    TensorBoard,
    TimeLimit,
    WeightAverage,
)

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
