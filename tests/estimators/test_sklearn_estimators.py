"""The estimators for scikit-learn: its own checks, and everything that it does with estimators, done for real."""

import pickle
import subprocess
import sys
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy.sparse import csr_matrix
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris, load_wine, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from deepbp.callbacks import EarlyStopping
from deepbp.layers import BatchNorm, Dense, Dropout, ReLU, Tanh
from deepbp.losses import (
    BinaryCrossEntropy,
    CategoricalHinge,
    CrossEntropy,
    Hinge,
    LogPoisson,
    MeanSquaredError,
    Poisson,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
)
from deepbp.optimizers import SGD, Adam, AdamW
from deepbp.sklearn import NetworkClassifier, NetworkRegressor

WINE = load_wine(return_X_y=True)
X, Y = StandardScaler().fit_transform(WINE[0]), WINE[1]
NAMES = np.array(["barbera", "grignolino", "barolo"])[Y]


def quick(**parameters: Any) -> NetworkClassifier:
    options = {"optimizer": Adam(0.02), "epochs": 12, "random_state": 0, **parameters}
    return NetworkClassifier(options.pop("layers", [Dense(8), Tanh()]), **options)


@parametrize_with_checks([NetworkClassifier(epochs=50, random_state=0), NetworkRegressor(epochs=50, random_state=0)])  # type: ignore[untyped-decorator]
def test_checks_of_sklearn(estimator: Any, check: Any) -> None:
    check(estimator)


AS_ROWS = "check_sample_weight_equivalence_on_"
OF_WEIGHTS = {f"{AS_ROWS}{kind}_data": "held-out rows are others" for kind in ("dense", "sparse")}
ROUNDED = dict.fromkeys([*OF_WEIGHTS, "check_methods_subset_invariance"], "float32 has seven digits")


@pytest.mark.long
@pytest.mark.parametrize(
    ("estimator", "failing"),
    [
        (NetworkClassifier(epochs=50, random_state=0, early_stopping=True), OF_WEIGHTS),
        (NetworkRegressor(epochs=50, random_state=0, early_stopping=True), OF_WEIGHTS),
        (NetworkClassifier(epochs=50, random_state=0, dtype="float32"), ROUNDED),
        (NetworkClassifier(epochs=50, random_state=0, loss=SigmoidBinaryCrossEntropy()), {}),
        (NetworkClassifier(epochs=50, random_state=0, loss=CategoricalHinge()), {}),
        (NetworkClassifier(epochs=50, random_state=0, loss=MeanSquaredError()), {}),
    ],
)
def test_checks_of_sklearn_with_other_parameters(estimator: Any, failing: dict[str, str]) -> None:
    from sklearn.utils.estimator_checks import check_estimator

    check_estimator(estimator, expected_failed_checks=failing, on_skip=None)


@pytest.mark.parametrize("labels", [Y, NAMES, NAMES.astype(object), Y - 7, Y == 1])
def test_any_labels(labels: Any) -> None:
    net = quick(epochs=40).fit(X, labels)
    assert set(net.classes_) == set(labels)
    assert net.score(X, labels) > 0.95
    assert net.predict_proba(X).shape == (len(X), len(net.classes_))


@pytest.mark.parametrize(
    "loss",
    [
        SoftmaxCrossEntropy(label_smoothing=0.1),
        CrossEntropy(),
        SigmoidBinaryCrossEntropy(),
        BinaryCrossEntropy(),
        MeanSquaredError(),
        Hinge(),
        CategoricalHinge(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("classes", [2, 3])
def test_any_loss(loss: Any, classes: int) -> None:
    rows = classes > Y
    net = quick(loss=loss, epochs=40).fit(X[rows], NAMES[rows])
    assert net.score(X[rows], NAMES[rows]) > 0.95
    scores = net.decision_function(X[rows])
    assert scores.shape == ((rows.sum(),) if classes == 2 else (rows.sum(), 3))
    assert hasattr(net, "predict_proba") == (loss.probabilities(np.zeros((1, 3))) is not None)
    if hasattr(net, "predict_proba"):
        shares = net.predict_proba(X[rows])
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)
        assert (net.classes_[shares.argmax(axis=1)] == net.predict(X[rows])).all()


def test_several_labels_and_several_numbers() -> None:
    x, y = make_multilabel_classification(100, random_state=0)
    net = quick(layers=[Dense(32), ReLU()], epochs=60).fit(x, y)
    assert net.predict(x).shape == net.predict_proba(x).shape == y.shape
    assert net.score(x, y) > 0.7  # all five of a sample
    with pytest.raises(ValueError, match="is for one class a sample, got several labels: use one of yes/no answers"):
        quick(loss=SoftmaxCrossEntropy()).fit(x, y)
    regressor = NetworkRegressor([Dense(32), Tanh()], optimizer=Adam(0.01), random_state=0).fit(X[:, :4], X[:, 4:6])
    assert regressor.predict(X[:, :4]).shape == (len(X), 2)


@pytest.mark.parametrize("loss", [LogPoisson(), Poisson()], ids=repr)
def test_counts_are_predicted_as_counts(loss: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = rng.poisson(np.exp(1 + 0.5 * x[:, 0]))
    net = NetworkRegressor([], loss=loss, optimizer=Adam(0.05), epochs=60, random_state=0).fit(x, y)
    assert net.predict(x).mean() == pytest.approx(y.mean(), rel=0.1)
    assert net.predict(x).min() > 0


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (quick().fit(X, Y).network_.parameters() for _ in range(2))
    assert [one.value.tobytes() for one in first] == [one.value.tobytes() for one in second]
    other = quick(random_state=1).fit(X, Y).network_.parameters()
    assert first[0].value.tobytes() != other[0].value.tobytes()


def test_weights_count_as_repeated_rows() -> None:
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    options: dict[str, Any] = {"batch_size": None, "epochs": 30}
    weighted = quick(**options).fit(X, NAMES, sample_weight=weight)
    repeated = quick(**options).fit(np.repeat(X, weight, axis=0), np.repeat(NAMES, weight))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-8)
    by_class = quick(class_weight={"barolo": 3}, **options).fit(X, NAMES)
    by_row = quick(**options).fit(X, NAMES, sample_weight=np.where(NAMES == "barolo", 3, 1))
    np.testing.assert_array_equal(by_class.predict_proba(X), by_row.predict_proba(X))
    assert quick(class_weight="balanced").fit(X, NAMES).score(X, NAMES) > 0.9


def test_sparse_rows_give_the_same_bytes_as_dense_ones() -> None:
    x = OneHotEncoder().fit_transform(np.digitize(X, [-1, 0, 1]))
    assert isinstance(x, csr_matrix)
    weight = np.random.default_rng(0).uniform(size=len(Y))
    for options in ({}, {"early_stopping": True}):
        sparse = quick(**options).fit(x, Y, sample_weight=weight)
        dense = quick(**options).fit(x.toarray(), Y, sample_weight=weight)
        np.testing.assert_array_equal(sparse.predict_proba(x), dense.predict_proba(x.toarray()))
    assert quick().fit(x, Y).score(x, Y) > 0.9


def test_early_stopping_holds_out_each_class() -> None:
    net = quick(early_stopping=True, epochs=300, patience=3, validation_fraction=0.2).fit(X, Y)
    assert net.n_iter_ < 300
    assert len(net.loss_curve_) == len(net.history_["val_loss"]) == net.n_iter_
    assert net._strata(np.array([0, 0, 0, 1])) is None  # a class of one row cannot be in both parts
    net.partial_fit(X, Y)  # which validates nothing
    assert net.n_iter_ == len(net.loss_curve_)


def test_partial_fit_and_warm_start_go_on() -> None:
    net = quick()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        net.partial_fit(X, NAMES)
    for epoch in range(1, 31):
        net.partial_fit(X, NAMES, classes=np.unique(NAMES))
        assert net.n_iter_ == epoch
    assert net.score(X, NAMES) > 0.95
    warm = quick(warm_start=True, epochs=1)
    losses = [warm.fit(X, NAMES).loss_curve_[-1] for _ in range(5)]
    assert losses == sorted(losses, reverse=True)


def test_nested_parameters() -> None:
    template = [Dense(8), Dropout(0.25)]
    net = quick(layers=template, callbacks=[EarlyStopping("loss")])
    found = net.get_params()
    assert (found["layers__0__units"], found["layers__1__rate"], found["callbacks__0__patience"]) == (8, 0.25, 10)
    assert found["optimizer__learning_rate"] == 0.02
    net.set_params(layers__0__units=3, optimizer__learning_rate=0.5, layers__1__rate=0.0, epochs=2)
    assert [repr(one) for one in net.layers or ()] == ["Dense(3)", "Dropout(rate=0.0)"]
    assert [repr(one) for one in template] == ["Dense(8)", "Dropout(rate=0.25)"]  # the caller's are as they were
    unset = NetworkClassifier().set_params(optimizer__learning_rate=0.3, layers__0__units=7)
    assert (unset.optimizer, repr(unset.layers)) == (Adam(0.3), "[Dense(7), ReLU()]")
    for wrong, known in (
        ("optimizer__lr", "learning_rate"),
        ("layers__5__units", r"\['0', '1'\]"),
        ("loss__x", r"\[\]"),
        ("no__such", "batch_size"),
    ):
        with pytest.raises(
            ValueError, match=f"Invalid parameter {wrong!r}(.|\n)*Valid parameters there are: .*{known}"
        ):
            net.set_params(**{wrong: 1})


def test_fit_changes_no_parameter() -> None:
    net = quick(layers=[Dense(4), BatchNorm(), ReLU(), Dropout(0.1)], callbacks=[EarlyStopping("loss", patience=2)])
    before, parameters = deepcopy(net.get_params()), net.get_params(deep=False)
    net.set_params(optimizer=AdamW(0.01), clip_norm=1.0).fit(X, Y)
    assert net.layers is parameters["layers"]
    assert net.layers[0].built is None
    after = net.set_params(optimizer=parameters["optimizer"], clip_norm=None).get_params()
    assert repr(after) == repr(before)
    assert repr(clone(net)) == repr(net)


def test_stored_and_loaded(tmp_path: Any) -> None:
    import joblib

    net = quick().fit(X, NAMES)
    joblib.dump(net, tmp_path / "net.joblib")
    for other in (pickle.loads(pickle.dumps(net)), deepcopy(net), joblib.load(tmp_path / "net.joblib", mmap_mode="r")):
        np.testing.assert_array_equal(other.predict_proba(X), net.predict_proba(X))


def test_searches_in_a_pipeline() -> None:
    pipeline = make_pipeline(StandardScaler(), quick(epochs=5))
    grid = {"networkclassifier__layers__0__units": [2, 8], "networkclassifier__optimizer__learning_rate": [1e-4, 0.05]}
    serial = GridSearchCV(pipeline, grid, cv=3).fit(WINE[0], NAMES)
    parallel = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(WINE[0], NAMES)
    np.testing.assert_array_equal(serial.cv_results_["mean_test_score"], parallel.cv_results_["mean_test_score"])
    assert serial.best_params_["networkclassifier__optimizer__learning_rate"] == 0.05
    architectures = {"layers": [[Dense(8), Tanh()], [Dense(8), Tanh(), Dense(8), ReLU()], []]}
    halving = HalvingGridSearchCV(
        quick(), architectures, resource="epochs", min_resources=2, max_resources=18, random_state=0
    )
    assert halving.fit(X, NAMES).best_score_ > 0.9


def test_what_sklearn_does_with_classifiers() -> None:
    train, test, y_train, y_test = train_test_split(X, NAMES, random_state=0, stratify=NAMES)
    for meta in (
        CalibratedClassifierCV(quick(), cv=2),
        VotingClassifier([("one", quick()), ("other", quick(layers=[]))], voting="soft"),
        BaggingClassifier(quick(), n_estimators=2, random_state=0),
    ):
        assert meta.fit(train, y_train).score(test, y_test) > 0.9
    net = quick().fit(train, y_train)
    assert permutation_importance(net, test, y_test, n_repeats=2, random_state=0).importances.max() > 0
    assert learning_curve(quick(), X, NAMES, cv=2, train_sizes=[0.5, 1.0])[2].shape == (2, 2)
    assert cross_val_score(quick(), X, NAMES, cv=3).mean() > 0.9


def test_weights_are_routed() -> None:
    weight = np.where(NAMES == "barolo", 0.0, 1.0)
    with config_context(enable_metadata_routing=True):
        net = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), net)
        routed = pipeline.fit(X, NAMES, sample_weight=weight)
        direct = quick().fit(StandardScaler().fit_transform(X), NAMES, sample_weight=weight)
        np.testing.assert_array_equal(routed[-1].predict_proba(X), direct.predict_proba(X))
        found = cross_validate(net, X, NAMES, params={"sample_weight": weight + 0.5})
        assert found["test_score"].min() > 0.8


def test_names_of_columns() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    net = quick().fit(frame, pandas.Series(NAMES, dtype="category"))
    assert list(net.feature_names_in_) == list(net.network_.columns or ()) == list(frame.columns)
    mixed = net.network_.predict_classes(frame[sorted(frame.columns, reverse=True)])
    np.testing.assert_array_equal(mixed, net.predict(frame))
    assert " at 0x" not in repr(net.network_)
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame.rename(columns={"c0": "other"}))
    polars = pytest.importorskip("polars")
    np.testing.assert_array_equal(net.predict(polars.from_pandas(frame)), net.predict(frame))


def test_callbacks_of_sklearn() -> None:
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    net = quick(epochs=6).set_callbacks(monitor).fit(X, NAMES)
    assert net.n_iter_ == 6
    scores = [row["accuracy"] for row in monitor.get_logs().data]
    assert len(scores) == 6
    assert scores[-1] == net.score(X, NAMES)

    class Stop(callback.ScoringMonitor):  # type: ignore[misc, name-defined]
        def on_fit_task_end(self, *arguments: Any, **named: Any) -> bool:
            return True

    assert quick(epochs=6).set_callbacks(Stop(scoring="accuracy")).fit(X, NAMES).n_iter_ == 1


def test_a_template_that_is_no_list_of_layers_is_named() -> None:
    with pytest.raises(
        TypeError, match=r"layers: expected a list of hidden layers, such as \[Dense\(100\), ReLU\(\)\]"
    ):
        quick(layers=Dense(3)).fit(X, Y)


def test_the_package_imports_no_sklearn() -> None:
    code = "import deepbp, deepbp.layers, deepbp.training, sys; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_regression() -> None:
    from sklearn.compose import TransformedTargetRegressor

    x, y = load_diabetes(return_X_y=True)
    net = NetworkRegressor([Dense(8), Tanh()], optimizer=SGD(0.05, momentum=0.9), epochs=60, random_state=0)
    scaled = TransformedTargetRegressor(make_pipeline(StandardScaler(), net), transformer=StandardScaler())
    assert scaled.fit(x, y).score(x, y) > 0.5


def test_iris_by_a_stream_of_parts() -> None:
    x, y = load_iris(return_X_y=True)
    net = quick(epochs=1)
    rng = np.random.default_rng(0)
    for _ in range(60):
        for part in np.array_split(rng.permutation(len(x)), 5):
            net.partial_fit(x[part], y[part], classes=[0, 1, 2])
    assert net.score(x, y) > 0.95
