"""The optimizers: each its paper's update rule, as operations on one flat vector."""

from deepbp.optimizers import schedules
from deepbp.optimizers.adadelta import Adadelta
from deepbp.optimizers.adagrad import Adagrad
from deepbp.optimizers.adam import Adam, AdamW
from deepbp.optimizers.amsgrad import AMSGrad
from deepbp.optimizers.grouped import Grouped
from deepbp.optimizers.lion import Lion
from deepbp.optimizers.nadam import NAdam
from deepbp.optimizers.optimizer import Optimizer, Schedule, State
from deepbp.optimizers.radam import RAdam
from deepbp.optimizers.rmsprop import RMSprop
from deepbp.optimizers.rprop import Rprop
from deepbp.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Grouped",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "Schedule",
    "State",
    "schedules",
]
