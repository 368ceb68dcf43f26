"""Same seed, same bytes: weights, history and predictions."""

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.layers import Dense, ReLU, Sigmoid
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import SGD, Adam, AdamW, Optimizer
from deepbp.training import Accuracy

X = np.random.default_rng(0).normal(size=(50, 6))
LABELS = (X[:, 0] > 0) * 1 + (X[:, 1] > 0)


def run(seed: int | np.random.Generator, **arguments: Any) -> bytes:
    """All that a training leaves behind."""
    net = Sequential([Dense(8), ReLU(), Sequential([Dense(4), Sigmoid()]), Dense(3)], input_shape=6, rng=seed)
    given: dict[str, Any] = {"loss": SoftmaxCrossEntropy(), "optimizer": Adam(), "metrics": [Accuracy()], **arguments}
    history = net.fit(X, LABELS, epochs=4, batch_size=8, validation_split=0.2, **given)
    weights = b"".join(parameter.value.tobytes() for parameter in net.parameters())
    return weights + repr(dict(history)).encode() + net.predict(X).tobytes()


@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.9), Adam(), AdamW()], ids=repr)
def test_same_seed_same_bytes(optimizer: Optimizer) -> None:
    assert run(3, optimizer=optimizer) == run(3, optimizer=optimizer) != run(4, optimizer=optimizer)


def test_a_generator_serves_as_its_seed() -> None:
    assert run(np.random.default_rng(5)) == run(5)


def test_a_seed_for_fit_alone() -> None:
    assert run(3, rng=1) == run(3, rng=1) != run(3, rng=2)


def test_without_a_seed_every_start_differs() -> None:
    one, other = (Sequential([Dense(8)], input_shape=6).parameters()[0].value for _ in range(2))
    assert not np.array_equal(one, other)


def test_numpys_global_generator_is_neither_used_nor_touched() -> None:
    np.random.seed(0)  # noqa: NPY002  # the old, global one
    before = np.random.get_state()[1].tobytes()  # type: ignore[index]  # noqa: NPY002
    first = run(3)
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[index]  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert run(3) == first


def digest() -> str:
    return hashlib.sha256(run(3)).hexdigest()


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_a_fresh_process_gives_the_same_bytes(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", "import test_reproducible as t; print(t.digest())"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=os.path.dirname(__file__),
    )
    assert done.stdout.strip() == digest()
