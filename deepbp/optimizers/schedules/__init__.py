"""Learning-rate schedules: the rate of an optimizer as a function of the step. Any function of the step serves, too."""

from deepbp.optimizers.schedules.cosine import Cosine, CosineRestarts
from deepbp.optimizers.schedules.exponential import Exponential
from deepbp.optimizers.schedules.inverse import InverseSqrt, InverseTime
from deepbp.optimizers.schedules.one_cycle import OneCycle
from deepbp.optimizers.schedules.piecewise import Piecewise
from deepbp.optimizers.schedules.polynomial import Polynomial
from deepbp.optimizers.schedules.schedule import LearningRateSchedule, Scaled, steps_per_epoch
from deepbp.optimizers.schedules.step_decay import StepDecay
from deepbp.optimizers.schedules.warmup import Warmup

__all__ = [
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "InverseSqrt",
    "InverseTime",
    "LearningRateSchedule",
    "OneCycle",
    "Piecewise",
    "Polynomial",
    "Scaled",
    "StepDecay",
    "Warmup",
    "steps_per_epoch",
]
