"""deepbp, one call of ``Trainer.step`` a step."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

from benchmarks.peers.deepbp_net import trainer_of
from benchmarks.workloads import Workload


def prepare(workload: Workload) -> Callable[[], Any]:
    if workload.inference:
        raise ValueError("a prediction has no steps")
    trainer, batches = trainer_of(workload), cycle(workload.batches())
    return lambda: trainer.step(*next(batches))
