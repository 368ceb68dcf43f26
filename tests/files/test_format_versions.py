"""Files of every version of the format that there has been can be read; those of a version to come are refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from built_files import build_archive
from hostile_archives import text_with
from hostile_models import MODEL

import deepbp
from deepbp.errors import FileFormatError
from deepbp.files import network
from deepbp.layers import same_configuration
from deepbp.storage import contents

DATA = Path(__file__).parent / "data"
VERSIONS = range(1, network.VERSION + 1)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_file_predicts_what_it_predicted(version: int, ending: str) -> None:
    network = deepbp.load(DATA / f"model_{version}.{ending}")
    expected = json.loads((DATA / f"model_{version}.json").read_text())
    np.testing.assert_allclose(network.predict(expected["x"]), expected["y"], rtol=1e-5, atol=1e-6)
    assert [parameter.frozen for parameter in network.parameters()] == expected["frozen"]


@pytest.mark.parametrize("version", range(1, network.TRAINING_VERSION + 1))
def test_an_old_training_goes_on_as_it_would_have(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(DATA), *sys.path])
    from make_training_files import FIT, LEFT, data, make_trainer

    trainer = make_trainer()
    trainer.load(DATA / f"training_{version}.npz")
    assert trainer.steps == LEFT
    history = trainer.fit(*data(), **FIT)
    expected = json.loads((DATA / f"training_{version}.json").read_text())
    assert history.keys() == expected.keys()
    for name, column in expected.items():
        np.testing.assert_allclose(history[name], column, rtol=1e-9, err_msg=name)
    net = deepbp.load(DATA / f"training_{version}.npz")
    assert same_configuration(net, trainer.model)


def test_the_files_are_of_the_network_that_the_script_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(DATA), *sys.path])
    from make_model_files import make_network

    made, loaded = make_network(), deepbp.load(DATA / f"model_{network.VERSION}.npz")
    assert same_configuration(loaded, made)
    assert list(loaded.named_parameters()) == list(made.named_parameters())
    assert list(loaded.named_buffers()) == list(made.named_buffers())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (text_with(description={**MODEL, "version": network.VERSION + 1}), "the model has version 2"),
        (text_with(archive=contents.VERSION + 1, more="of what is not known"), "the archive has version 2"),
    ],
)
def test_a_version_to_come_is_refused_in_words(text: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "network.npz").write_bytes(build_archive(text))
    with pytest.raises(
        FileFormatError, match=f"{what}, and this deepbp reads versions up to 1: install a newer deepbp$"
    ):
        deepbp.load(tmp_path / "network.npz")
