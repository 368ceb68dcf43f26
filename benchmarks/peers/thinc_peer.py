"""thinc, one ``begin_update`` and ``finish_update`` a step."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import thinc.api as thinc

from benchmarks.workloads import Workload


def prepare(workload: Workload) -> Callable[[], Any]:
    squared = workload.loss == "sum_squared_error"
    hidden = (
        (lambda size: thinc.Relu(nO=size))
        if workload.hidden == "relu"
        else (lambda size: thinc.chain(thinc.Linear(nO=size), thinc.sigmoid_activation()))
    )
    last = thinc.chain(thinc.Linear(), thinc.sigmoid_activation()) if squared else thinc.Softmax()
    model: Any = thinc.chain(*map(hidden, workload.sizes[1:-1]), last)
    batches = cycle(
        [(x, y if squared else np.eye(workload.sizes[-1], dtype=workload.dtype)[y]) for x, y in workload.batches()]
    )
    first = next(batches)
    model.initialize(X=first[0], Y=first[1])
    if workload.inference:
        return lambda: model.predict(next(batches)[0])
    optimizer = (thinc.SGD if workload.optimizer == "sgd" else thinc.Adam)(workload.learning_rate)
    loss: Any = thinc.L2Distance(normalize=False) if squared else thinc.CategoricalCrossentropy()

    def train() -> float:
        x, y = next(batches)
        prediction, backprop = model.begin_update(x)
        gradient, value = loss(prediction, y)
        backprop(gradient)
        model.finish_update(optimizer)
        return float(value)

    return train
