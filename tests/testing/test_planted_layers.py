"""The checks reject every planted mistake in a layer, with the right message."""

import pytest
from planted_behaviour import BEHAVIOUR
from planted_formulas import LAYER_FORMULAS
from planted_gradients import GRADIENTS
from planted_slight import SLIGHT_LAYERS
from planting import Planted, expect_caught, expect_every_check_needed

from deepbp.layers import Dense
from deepbp.testing import CheckFailure, check_layer, layer_checks
from deepbp.testing.layer_case import standard_normal

CATALOGUE = [*GRADIENTS, *BEHAVIOUR, *LAYER_FORMULAS, *SLIGHT_LAYERS]


@pytest.mark.parametrize("mistake", CATALOGUE, ids=lambda mistake: f"{mistake.kind.__name__}: {mistake.check}")
def test_planted_layer_is_rejected(mistake: Planted) -> None:
    layer, shape = mistake.kind(), mistake.options.get("shape", (3,))
    inputs = mistake.options.get("inputs", standard_normal)
    expect_caught(mistake, layer_checks(layer, shape, inputs=inputs))
    with pytest.raises(CheckFailure, match="checks failed"):
        check_layer(layer, shape, inputs=inputs)


def test_every_check_rejects_a_planted_mistake() -> None:
    expect_every_check_needed(CATALOGUE, layer_checks(Dense(2), (3,)))
