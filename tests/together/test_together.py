"""One training on one, two and three processes: the same numbers, to rounding."""

from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
import pytest
from mpi_launch import launch, needs_mpi
from together_cases import CASES, DIFFERENT

from deepbp.typing import Array

pytestmark = needs_mpi
NAMES = [*CASES, *DIFFERENT]
PROGRAMS = ("plain", "sum", "penalty", "sample weights", "missing targets", "batch normalization", "images", "skipping")
FUSED = pytest.mark.skipif(not find_spec("numba"), reason="programs need Numba")


Trainings: TypeAlias = dict[int, dict[str, dict[str, Array]]]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    """The numbers of all cases, by the number of processes; ``-2``: of some, on two processes with fused kernels."""
    found: Trainings = {}
    launches: dict[int, tuple[int, dict[str, Any]]] = {1: (0, {}), 2: (2, {}), 3: (3, {})}
    if find_spec("numba"):
        launches[-2] = (2, {"DEEPBP_KERNELS": "numba"})
    for key, (count, environment) in launches.items():
        folder = tmp_path_factory.mktemp("together")
        result = launch(count, "together_cases.py", folder, *(PROGRAMS if key < 0 else ()), **environment)
        assert result.returncode == 0, result.stderr[-4000:]
        found[key] = {
            name: dict(np.load(folder / f"{number}.npz").items())
            for number, name in enumerate(NAMES)
            if key > 0 or name in PROGRAMS
        }
        for rank in range(count):
            found[key][f"traffic {rank}"] = dict(np.load(folder / f"traffic_{rank}.npz").items())
    return found


@pytest.mark.parametrize(
    ("name", "count"),
    [*((name, count) for name in CASES for count in (2, 3)), *(pytest.param(one, -2, marks=FUSED) for one in PROGRAMS)],
)
def test_any_number_of_processes_gives_the_same_training(trainings: Trainings, name: str, count: int) -> None:
    alone, together = trainings[1][name], trainings[count][name]
    assert together["alike"], "the processes have different weights"
    assert alone.keys() == together.keys()
    for key in alone.keys() - {"name", "alike", "rerun"}:
        precision = 1e-6 if alone[key].dtype == np.float32 or "float32" in name else 1e-12
        if name.startswith(("L-BFGS", "conj")):
            precision = 1e-10  # a line search makes more of a rounding error than a step does
        scale = max(1.0, float(np.abs(alone[key]).max()))
        np.testing.assert_allclose(together[key], alone[key], rtol=0, atol=precision * scale, err_msg=f"{name}: {key}")


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", DIFFERENT)
def test_random_layers_differ_between_processes_and_not_between_runs(
    trainings: Trainings, name: str, count: int
) -> None:
    alone, together = trainings[1][name], trainings[count][name]
    assert together["alike"]
    assert together["rerun"]
    assert not np.allclose(together["0.weight"], alone["0.weight"], rtol=1e-6)


@pytest.mark.parametrize("count", [2, 3, pytest.param(-2, marks=FUSED)])
def test_a_step_exchanges_its_gradients_in_one_message(trainings: Trainings, count: int) -> None:
    for rank in range(abs(count)):
        of_rank = {name: int(found) for name, found in trainings[count][f"traffic {rank}"].items()}
        ends = 1 + 3  # before the first epoch, and after each, of three numbers
        assert of_rank["steps"] == 3 * 7
        assert of_rank["messages"] == of_rank["steps"] + ends
        assert of_rank["numbers"] == of_rank["steps"] * (of_rank["parameters"] + 7) + 3 * ends
        assert of_rank["programs"] == (2 if count < 0 else 0)  # for whole batches, and for the last one
