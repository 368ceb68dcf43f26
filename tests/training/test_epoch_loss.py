"""The loss of an epoch is that of the data as a whole, however they are cut into batches."""

import numpy as np
import pytest
from problems import PROBLEMS, SQUARES, Problem, Recorder

from deepbp import Trainer
from deepbp.optimizers import SGD
from deepbp.typing import Array

every_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
WEIGHT = np.random.default_rng(3).uniform(0.1, 2, 23)


@every_problem
@pytest.mark.parametrize("batch_size", [1, 7, 32, None])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["unweighted", "weighted"])
def test_epoch_loss_where_parameters_do_not_move(
    problem: Problem, batch_size: int | None, weight: Array | None
) -> None:
    net = problem.network()
    whole = problem.loss.forward(net.predict(problem.x), problem.y, weight)[0]
    history = net.fit(
        problem.x,
        problem.y,
        loss=problem.loss,
        optimizer=SGD(0.0),
        epochs=2,
        batch_size=batch_size,
        sample_weight=weight,
        validation_data=(problem.x, problem.y) if weight is None else (problem.x, problem.y, weight),
    )
    assert history["loss"] == pytest.approx([whole] * 2, rel=1e-13)
    assert history["val_loss"] == pytest.approx([whole] * 2, rel=1e-13)


@every_problem
def test_evaluate_does_not_depend_on_the_batch_size(problem: Problem) -> None:
    net = problem.network()
    whole = problem.loss.forward(net.predict(problem.x), problem.y, WEIGHT)[0]
    for batch_size in (1, 5, 23, 1000, None):
        parts = net.evaluate(problem.x, problem.y, loss=problem.loss, batch_size=batch_size, sample_weight=WEIGHT)
        assert parts == {"loss": pytest.approx(whole, rel=1e-13)}


@every_problem
def test_evaluate_changes_nothing(problem: Problem) -> None:
    net = problem.network()
    before = [p.value.tobytes() for p in net.parameters()], net.generator.bit_generator.state
    net.evaluate(problem.x, problem.y, loss=problem.loss, batch_size=4)
    assert ([p.value.tobytes() for p in net.parameters()], net.generator.bit_generator.state) == before


def test_evaluate_takes_as_many_samples_at_a_time_as_asked() -> None:
    recorder = Recorder()
    net = SQUARES.network(recorder)
    net.evaluate(SQUARES.x, SQUARES.y, loss=SQUARES.loss, batch_size=10)
    Trainer(net, SQUARES.loss, SGD(0.1)).evaluate(SQUARES.x, SQUARES.y, batch_size=9)
    assert [len(batch) for batch in recorder.predicted] == [10, 10, 3, 9, 9, 5]
