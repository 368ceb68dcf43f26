"""Where the time of a training step goes: the instructions of a program, as JSON, in microseconds.

    DEEPBP_KERNELS=numba python -m benchmarks.instructions 2

Arguments are numbers of workloads; without any, all trainings. Programs that end after one, two, … instructions run on
the same shuffled batches; the difference of two such times is that of an instruction among the others, on data that
the processor cannot foresee.
"""

import json
import sys
from time import thread_time

import numpy as np

from benchmarks.peers.deepbp_net import trainer_of
from benchmarks.workloads import WORKLOADS, Workload
from deepbp.program.layout import INSTRUCTIONS
from deepbp.training.data import Data
from deepbp.training.programmed import Lowered

FEWEST, MOST, SECONDS = 5, 51, 5.0  # of the rounds of a workload


def profile(workload: Workload) -> dict[str, float]:
    """The microseconds of a step for all instructions of one name, in the order of their first."""
    trainer = trainer_of(workload)
    x, y = (np.concatenate(part) for part in zip(*workload.batches(), strict=True))
    trainer.fit(x, y, batch_size=workload.batch, progress=False)
    data = Data.of(trainer.model, trainer.loss, x, y)
    step = Lowered(trainer, trainer._training, data, workload.batch, "step", lambda: None, gathers=True)
    rng, rates, losses = np.random.default_rng(0), np.zeros(workload.count), np.zeros(workload.count)
    rows: list[list[float]] = []
    begun = thread_time()
    while len(rows) < FEWEST or (len(rows) < MOST and thread_time() < begun + SECONDS):
        order, row = rng.permutation(len(x)), []
        for count in range(1 + len(step.program.listing)):
            step.program.context[INSTRUCTIONS] = count
            start = thread_time()
            step.run(order, 0, rates, losses, None)
            row.append(thread_time() - start)
        rows.append(row)
    each = np.median(np.diff(rows, axis=1), axis=0) / workload.count * 1e6
    found: dict[str, float] = {}
    for name, microseconds in zip(step.program.listing, each.tolist(), strict=True):
        found[name] = found.get(name, 0.0) + microseconds
    return found


if __name__ == "__main__":
    chosen = [WORKLOADS[int(number)] for number in sys.argv[1:]] or [one for one in WORKLOADS if not one.inference]
    print(json.dumps({workload.name: profile(workload) for workload in chosen}, indent=1))
