"""Searches of scikit-learn on a cluster of Dask, and of Ray, with the scores of this process."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import joblib
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deepbp.layers import Dense, ReLU
from deepbp.optimizers import Adam
from deepbp.sklearn import NetworkClassifier

ROOT = Path(__file__).parent.parent.parent


def search() -> GridSearchCV:
    net = NetworkClassifier([Dense(4), ReLU()], optimizer=Adam(0.02), epochs=15, random_state=0)
    grid = {
        "networkclassifier__layers__0__units": [2, 16],
        "networkclassifier__optimizer__learning_rate": [0.001, 0.02],
    }
    return GridSearchCV(make_pipeline(StandardScaler(), net), grid, cv=3)


@contextmanager
def dask() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield lambda: {process for (process,) in client.run(lambda: (os.getpid(),)).values()}


@contextmanager
def ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    importlib.import_module("ray.util.joblib").register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield ray.nodes
    finally:
        ray.shutdown()


@pytest.mark.long  # half a minute each, in which the workers start
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(("cluster", "backend"), [(dask, "dask"), (ray, "ray")], ids=["dask", "ray"])
def test_a_search_on_a_cluster_has_the_scores_of_this_process(
    cluster: Any, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    x, y = load_wine(return_X_y=True)
    names = np.array(["first", "second", "third"])[y]
    here = search().fit(x, names)
    with cluster() as workers, joblib.parallel_config(backend=backend, n_jobs=2):
        there = search().fit(x, names)
        assert workers()
    assert there.best_params_ == here.best_params_
    np.testing.assert_array_equal(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])
    assert len(set(here.cv_results_["mean_test_score"])) > 1
    np.testing.assert_array_equal(there.predict(x), here.predict(x))
