"""Keras on JAX, one ``train_on_batch`` a step."""

import os
from collections.abc import Callable
from itertools import cycle
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

from benchmarks.workloads import Workload


def prepare(workload: Workload) -> Callable[[], Any]:
    keras.backend.set_floatx(workload.dtype)
    hidden = "relu" if workload.hidden == "relu" else "sigmoid"
    squared = workload.loss == "sum_squared_error"
    layers = [keras.layers.Dense(size, activation=hidden, use_bias=workload.bias) for size in workload.sizes[1:-1]]
    last = keras.layers.Dense(workload.sizes[-1], activation="sigmoid" if squared else None, use_bias=workload.bias)
    model = keras.Sequential([keras.Input(workload.sizes[:1]), *layers, last])
    kind = keras.optimizers.SGD if workload.optimizer == "sgd" else keras.optimizers.Adam
    loss = "mean_squared_error" if squared else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=kind(workload.learning_rate), loss=loss)
    batches = cycle(workload.batches())
    if workload.inference:
        return lambda: np.asarray(model(next(batches)[0]))
    return lambda: float(model.train_on_batch(*next(batches)))
