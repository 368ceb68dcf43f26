"""Optimizers: each class is the update rule of its paper, as operations on one flat vector."""

from typing import TYPE_CHECKING

from deepbp._config import publish

if TYPE_CHECKING:
    from deepbp.optimizers import schedules
    from deepbp.optimizers.adam import Adam, AdamW, AMSGrad, NAdam, RAdam
    from deepbp.optimizers.adaptive import Adadelta, Adagrad, Lion, RMSprop, Rprop
    from deepbp.optimizers.grouped import Grouped
    from deepbp.optimizers.optimizer import Optimizer, Schedule, State
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

publish(
    __name__,
    homes={
        "optimizers": "schedules",
        "optimizers.adam": "Adam AdamW AMSGrad NAdam RAdam",
        "optimizers.adaptive": "Adadelta Adagrad Lion RMSprop Rprop",
        "optimizers.grouped": "Grouped",
        "optimizers.optimizer": "Optimizer Schedule State",
        "optimizers.sgd": "SGD",
    },
)
