"""Pipelines of scikit-learn that end in a network, through skl2onnx: the same labels, and the same probabilities."""

from typing import Any

import numpy as np
import pytest

from deepbp.layers import BatchNorm, Dense, ReLU, Tanh
from deepbp.losses import BinaryCrossEntropy, CrossEntropy, Hinge, LogPoisson, SigmoidBinaryCrossEntropy
from deepbp.typing import Array

pytest.importorskip("sklearn", minversion="1.6")
skl2onnx = pytest.importorskip("skl2onnx")
ort = pytest.importorskip("onnxruntime")

from sklearn.datasets import load_wine  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from deepbp.onnx import register_converters  # noqa: E402
from deepbp.sklearn import NetworkClassifier, NetworkRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:::skl2onnx")
X, Y = load_wine(return_X_y=True)
TARGETS: dict[str, Any] = {
    "text": np.array(["barolo", "grignolino", "barbera"])[Y],
    "numbers": Y * 10,
    "truth": Y > 0,
    "several": np.stack([Y > 0, Y > 1], axis=1).astype(int),
}


def outputs(fitted: Any, x: Array, **options: Any) -> list[Any]:
    register_converters()
    model = skl2onnx.to_onnx(fitted, x[:1], target_opset=18, **options)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {"X": x}))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("loss", [None, SigmoidBinaryCrossEntropy(), BinaryCrossEntropy(), CrossEntropy()], ids=str)
def test_classifiers_in_a_pipeline(kind: str, loss: Any, dtype: str) -> None:
    if kind == "several" and isinstance(loss, CrossEntropy):
        pytest.skip("a loss of one class a sample")
    x = X.astype(dtype)
    net = NetworkClassifier([Dense(8), ReLU(), BatchNorm()], loss=loss, epochs=3, random_state=0, dtype="float32")
    pipeline = make_pipeline(StandardScaler(), net).fit(x, TARGETS[kind])
    labels, probabilities = outputs(pipeline, x, options={"zipmap": False})
    expected = pipeline.predict(x)
    assert (labels == (expected.astype(int) if kind == "truth" else expected)).all()
    assert probabilities.dtype == dtype
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(x), rtol=0, atol=1e-6)


def test_a_classifier_without_probabilities_has_scores() -> None:
    net = NetworkClassifier([Dense(4)], loss=Hinge(), epochs=2, random_state=0).fit(X, Y > 0)
    labels, _ = outputs(net, X, options={"zipmap": False})
    assert (labels == net.predict(X)).all()


@pytest.mark.parametrize("loss", [None, LogPoisson()], ids=str)
def test_regressors(loss: Any) -> None:
    x = StandardScaler().fit_transform(X)
    for y in (X[:, 0] / 10, X[:, :2] / 100):
        net = NetworkRegressor([Dense(8), Tanh()], loss=loss, epochs=2, random_state=0).fit(x, y)
        (found,) = outputs(net, x)
        np.testing.assert_allclose(found.reshape(y.shape), net.predict(x), rtol=1e-12)
