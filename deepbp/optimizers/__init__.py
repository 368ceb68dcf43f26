"""The optimizers: each its paper's update rule, as operations on one flat vector."""

from deepbp.optimizers import schedules
from deepbp.optimizers.adam import Adam, AdamW
from deepbp.optimizers.optimizer import Optimizer, Schedule, State
from deepbp.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "Schedule", "State", "schedules"]
