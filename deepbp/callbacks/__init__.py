"""Callbacks: what may happen between the steps of a training."""

from typing import TYPE_CHECKING

from deepbp._config import publish

if TYPE_CHECKING:
    from deepbp.callbacks.checkpoint import ModelCheckpoint
    from deepbp.callbacks.constraints import Constraint, MaxNorm, NonNegative, UnitNorm
    from deepbp.callbacks.logs import CSVLog, TensorBoard
    from deepbp.callbacks.stopping import EarlyStopping, ReduceOnPlateau, TimeLimit
    from deepbp.callbacks.weight_average import WeightAverage
    from deepbp.training.signals import SignalMonitor
    from deepbp.training.trainer import Callback

__all__ = [
    "CSVLog",
    "Callback",
    "Constraint",
    "EarlyStopping",
    "MaxNorm",
    "ModelCheckpoint",
    "NonNegative",
    "ReduceOnPlateau",
    "SignalMonitor",
    "TensorBoard",
    "TimeLimit",
    "UnitNorm",
    "WeightAverage",
]

publish(
    __name__,
    homes={
        "callbacks.checkpoint": "ModelCheckpoint",
        "callbacks.constraints": "Constraint MaxNorm NonNegative UnitNorm",
        "callbacks.logs": "CSVLog TensorBoard",
        "callbacks.stopping": "EarlyStopping ReduceOnPlateau TimeLimit",
        "callbacks.weight_average": "WeightAverage",
        "training.signals": "SignalMonitor",
        "training.trainer": "Callback",
    },
)
