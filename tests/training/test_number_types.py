"""float32 stays float32 and float64 stays float64, from the door to the last array of the optimizer's state."""

from typing import Any

import numpy as np
import pytest
from problems import FEATURES, PROBLEMS, SQUARES, Problem, Recorder

from deepbp import Sequential, Trainer
from deepbp.optimizers import SGD, Adam, AdamW, Optimizer


def warm_up(step: int) -> float:
    return np.float64(0.01) * (step + 1)


OPTIMIZERS: list[Optimizer] = [
    SGD(np.float64(0.1)),
    SGD(0.1, momentum=np.float64(0.9), weight_decay=np.float64(0.01)),
    SGD(warm_up, momentum=0.9, nesterov=True),
    Adam(np.float64(0.01), beta1=np.float64(0.9)),
    AdamW(warm_up, weight_decay=np.float64(0.1)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_one_number_type_end_to_end(problem: Problem, optimizer: Optimizer, given: str, dtype: str) -> None:
    inside, recorder = Recorder(), Recorder()
    layers = problem.network(recorder, dtype=dtype).layers
    net = Sequential([*layers[:2], inside, *layers[2:]], input_shape=FEATURES, dtype=dtype)
    trainer = Trainer(net, problem.loss, optimizer, clip_norm=np.float64(1.0))
    x = problem.x.astype(given)
    y = problem.y.astype(given) if problem.y.dtype == float else problem.y
    trainer.fit(x, y, batch_size=10, epochs=2, validation_data=(x, y))
    trainer.fit(x, y, batch_size=10, sample_weight=np.linspace(0, 1, len(x)))
    trainer.step(x, y)
    arrays: dict[str, list[Any]] = {
        "parameters": [p.value for p in net.parameters()],
        "gradients": [p.grad for p in net.parameters()],
        "vectors": [trainer.parameters.values, trainer.parameters.grads],
        "state": [value for value in trainer.state.values() if isinstance(value, np.ndarray)],
        "activations": inside.trained + recorder.trained,
        "validation": inside.predicted + recorder.predicted,
        "deltas": inside.deltas + recorder.deltas,
        "predictions": [net.predict(x), net.predict(x, batch_size=10)],
    }
    assert len(inside.deltas) == len(recorder.deltas) == 10
    assert {(name, str(array.dtype)) for name, found in arrays.items() for array in found} == {
        (name, dtype) for name, found in arrays.items() if found
    }


@pytest.mark.parametrize(
    "x", [[[1, 2, 3]], [[True, False, True]], np.array([[1, 2, 3]], np.uint8), np.array([[1, 2, 3]], np.float16)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_numbers_become_the_networks(x: Any, dtype: str) -> None:
    assert SQUARES.network(dtype=dtype).predict(x).dtype == dtype
