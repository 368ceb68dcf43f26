"""A process is killed; the same command goes on from the file, on any number of processes, to the same numbers."""

from pathlib import Path

import numpy as np
from mpi_launch import launch, needs_mpi

from deepbp.typing import Array

pytestmark = needs_mpi


def finished(folder: Path, *launches: tuple[int, int], further: tuple[str, ...] = ()) -> dict[str, Array]:
    """The numbers of a training after launches of (processes, the update at which one is killed; 0 for none)."""
    folder.mkdir()
    for count, step in launches:
        result = launch(count, "together_resume.py", folder, step, *further)
        assert (result.returncode == 0) == (step == 0), result.stderr[-4000:]
        assert not [file for file in folder.iterdir() if ".tmp" in file.name]
    return dict(np.load(folder / "done.npz").items())


def test_a_killed_training_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    alone = finished(tmp_path / "alone", (0, 0))
    killed = finished(tmp_path / "killed", (2, 11), (0, 22), (3, 0))  # within epochs of 8 updates
    assert alone.keys() == killed.keys()
    for name in alone:
        np.testing.assert_allclose(killed[name], alone[name], rtol=1e-12, atol=1e-12, err_msg=name)


def test_layers_go_on_with_the_random_numbers_of_their_process(tmp_path: Path) -> None:
    whole = finished(tmp_path / "whole", (2, 0), further=("dropout",))
    killed = finished(tmp_path / "killed", (2, 11), (2, 0), further=("dropout",))
    for name in whole:
        np.testing.assert_array_equal(killed[name], whole[name], err_msg=name)
