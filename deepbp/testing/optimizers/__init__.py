"""The checks of an optimizer."""

from collections.abc import Iterator

from deepbp.errors import ArgumentTypeError
from deepbp.optimizers import Optimizer
from deepbp.testing import objects
from deepbp.testing.check import Check, Stages, as_seed, checks_of, run_all
from deepbp.testing.optimizers import formulas, memory, numbers, updates
from deepbp.testing.optimizers.case import OptimizerCase
from deepbp.typing import Seed

STAGES: Stages = (
    (memory.start_and_step_run,),
    (updates.values_change_in_place,),
    (
        updates.goes_downhill,
        formulas.formula,
        updates.no_rate_no_change,
        updates.schedule_is_followed,
        memory.state_is_all_it_remembers,
        memory.resumes_exactly,
        memory.gradients_are_used_once,
        updates.vectors_do_not_decay,
        numbers.dtype_is_kept,
        numbers.extreme_gradients,
        *objects.CHECKS,
    ),
)


def optimizer_checks(optimizer: Optimizer, *, rng: Seed = None) -> Iterator[Check]:
    """The checks of an optimizer one by one. ``rng``: a seed or generator; None means the same numbers each time."""
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(f"optimizer: expected an instance of Optimizer, got {optimizer!r}")
    return checks_of(f"{optimizer}", OptimizerCase(optimizer, as_seed(rng)), STAGES)


def check_optimizer(optimizer: Optimizer, *, rng: Seed = None) -> None:
    """Run every check of an optimizer; raises CheckFailure with one report. See ``optimizer_checks``."""
    run_all(optimizer_checks(optimizer, rng=rng))
