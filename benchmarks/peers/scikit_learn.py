"""scikit-learn's multilayer perceptron, one ``partial_fit`` a step."""

import warnings
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.workloads import Workload

warnings.filterwarnings("ignore")


def prepare(workload: Workload) -> Callable[[], Any]:
    batches = cycle(workload.batches())
    squared = workload.loss == "sum_squared_error"
    model: Any = (MLPRegressor if squared else MLPClassifier)(
        hidden_layer_sizes=workload.sizes[1:-1],
        activation="relu" if workload.hidden == "relu" else "logistic",
        solver=workload.optimizer,
        learning_rate_init=workload.learning_rate,
        momentum=0.0,
        alpha=0.0,
        batch_size=workload.batch,
        random_state=0,
    )
    classes = {} if squared else {"classes": np.arange(workload.sizes[-1])}

    def train() -> Any:
        x, y = next(batches)
        model.partial_fit(x, y, **classes)
        return model.loss_

    if not workload.inference:
        return train
    train()
    return lambda: model.predict_proba(next(batches)[0])
