"""One training on one, two and three processes: the same numbers, to rounding."""

import numpy as np
import pytest
from mpi_launch import launch, needs_mpi
from together_cases import CASES, DIFFERENT

from deepbp.typing import Array

pytestmark = needs_mpi
NAMES = [*CASES, *DIFFERENT]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, dict[str, Array]]]:
    """The numbers of all cases, by the number of processes."""
    found = {}
    for count in (0, 2, 3):
        folder = tmp_path_factory.mktemp(f"on_{count}")
        result = launch(count, "together_cases.py", folder)
        assert result.returncode == 0, result.stderr[-4000:]
        found[max(count, 1)] = {
            name: dict(np.load(folder / f"{number}.npz").items()) for number, name in enumerate(NAMES)
        }
    return found


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_any_number_of_processes_gives_the_same_training(
    trainings: dict[int, dict[str, dict[str, Array]]], name: str, count: int
) -> None:
    alone, together = trainings[1][name], trainings[count][name]
    assert together["alike"], "the processes have different weights"
    assert alone.keys() == together.keys()
    for key in alone.keys() - {"name", "alike", "rerun"}:
        precision = 1e-6 if alone[key].dtype == np.float32 or "float32" in name else 1e-12
        scale = max(1.0, float(np.abs(alone[key]).max()))
        np.testing.assert_allclose(together[key], alone[key], rtol=0, atol=precision * scale, err_msg=f"{name}: {key}")


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", DIFFERENT)
def test_random_layers_differ_between_processes_and_not_between_runs(
    trainings: dict[int, dict[str, dict[str, Array]]], name: str, count: int
) -> None:
    alone, together = trainings[1][name], trainings[count][name]
    assert together["alike"]
    assert together["rerun"]
    assert not np.allclose(together["0.weight"], alone["0.weight"], rtol=1e-6)
