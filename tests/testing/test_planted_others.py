"""The checks reject every planted mistake in a loss, an optimizer or an initializer."""

import pytest
from planted_formulas import LOSS_FORMULAS, OPTIMIZER_FORMULAS
from planted_initializers import INITIALIZERS
from planted_losses import LOSSES
from planted_optimizers import OPTIMIZERS
from planted_slight import SLIGHT_LOSSES, SLIGHT_OPTIMIZERS
from planting import Planted, expect_caught, expect_every_check_needed

from deepbp.initializers import Initializer, Zeros
from deepbp.losses import Loss, MeanSquaredError
from deepbp.optimizers import SGD, Optimizer
from deepbp.testing import (
    CheckFailure,
    check_initializer,
    check_loss,
    check_optimizer,
    initializer_checks,
    loss_checks,
    optimizer_checks,
)

ALL_LOSSES = [*LOSSES, *LOSS_FORMULAS, *SLIGHT_LOSSES]
ALL_OPTIMIZERS = [*OPTIMIZERS, *OPTIMIZER_FORMULAS, *SLIGHT_OPTIMIZERS]


def name(mistake: Planted) -> str:
    return f"{mistake.kind.__name__}: {mistake.check}"


@pytest.mark.parametrize("mistake", ALL_LOSSES, ids=name)
def test_planted_loss_is_rejected(mistake: Planted) -> None:
    loss: Loss[object] = mistake.kind()
    expect_caught(mistake, loss_checks(loss))
    with pytest.raises(CheckFailure, match="checks failed"):
        check_loss(loss)


@pytest.mark.parametrize("mistake", ALL_OPTIMIZERS, ids=name)
def test_planted_optimizer_is_rejected(mistake: Planted) -> None:
    optimizer: Optimizer = mistake.kind(learning_rate=0.1)
    expect_caught(mistake, optimizer_checks(optimizer))
    with pytest.raises(CheckFailure, match="checks failed"):
        check_optimizer(optimizer)


@pytest.mark.parametrize("mistake", INITIALIZERS, ids=name)
def test_planted_initializer_is_rejected(mistake: Planted) -> None:
    initializer: Initializer = mistake.kind()
    expect_caught(mistake, initializer_checks(initializer))
    with pytest.raises(CheckFailure, match="checks failed"):
        check_initializer(initializer)


def test_every_check_rejects_a_planted_mistake() -> None:
    expect_every_check_needed(ALL_LOSSES, loss_checks(MeanSquaredError()))
    expect_every_check_needed(ALL_OPTIMIZERS, optimizer_checks(SGD(0.1)))
    expect_every_check_needed(INITIALIZERS, initializer_checks(Zeros()))
