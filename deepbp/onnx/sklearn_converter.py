"""Converters with which skl2onnx exports pipelines that end in a network."""

from typing import Any

import numpy as np
from onnx import helper

from deepbp.errors import ConfigurationError
from deepbp.export.inference import optional_package
from deepbp.onnx.onnx_export import OLDEST_OPSET, probabilities_of
from deepbp.onnx.onnx_graph import OnnxGraph
from deepbp.onnx.onnx_operators import OnnxInference
from deepbp.onnx.onnx_values import Value


def register_converters() -> None:
    """Let skl2onnx convert ``NetworkClassifier`` and ``NetworkRegressor``, alone or in pipelines, from now on.

    A classifier has the outputs ``label``, with its own labels, and ``probabilities``, or the scores where the loss has
    no probabilities; with the option ``zipmap=False`` they are a matrix. A regressor has ``variable`` (N, K).

    >>> from sklearn.datasets import load_iris
    >>> from deepbp.onnx import register_converters
    >>> from deepbp.sklearn import NetworkClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> net = NetworkClassifier(epochs=2, random_state=0).fit(x, y)
    >>> register_converters()
    >>> from skl2onnx import to_onnx
    >>> [output.name for output in to_onnx(net, x[:1], options={"zipmap": False}).graph.output]
    ['label', 'probabilities']

    Raises:
        ConfigurationError: where skl2onnx or scikit-learn is not installed.
    """
    skl2onnx = optional_package("skl2onnx", "skl2onnx")
    from deepbp.sklearn import NetworkClassifier, NetworkRegressor

    options = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]}
    update = skl2onnx.update_registered_converter
    update(NetworkClassifier, "DeepbpNetworkClassifier", _classifier_shapes, _convert_classifier, options=options)
    update(NetworkRegressor, "DeepbpNetworkRegressor", _regressor_shapes, _convert_regressor)


def _types() -> Any:
    return optional_package("skl2onnx", "skl2onnx").common.data_types


def _is_double(operator: Any) -> bool:
    return isinstance(operator.inputs[0].type, _types().DoubleTensorType)


def _number_type(operator: Any, width: int) -> Any:
    kind = _types().DoubleTensorType if _is_double(operator) else _types().FloatTensorType
    return kind([operator.inputs[0].get_first_dimension(), width])


def _has_text(classes: Any) -> bool:
    if classes.dtype.kind not in "OUSiub":
        raise ConfigurationError(f"labels: expected text or whole numbers, got {classes.dtype}")
    return classes.dtype.kind in "OUS"


def _classifier_shapes(operator: Any) -> None:
    estimator, types = operator.raw_operator, _types()
    samples, count = operator.inputs[0].get_first_dimension(), len(estimator.classes_)
    label = types.StringTensorType if _has_text(estimator.classes_) else types.Int64TensorType
    operator.outputs[0].type = label([samples, count] if estimator.multilabel_ else [samples])
    operator.outputs[1].type = _number_type(operator, count)


def _regressor_shapes(operator: Any) -> None:
    operator.outputs[0].type = _number_type(operator, operator.raw_operator.network_.built.output_shape[-1])


def _started(operator: Any, container: Any) -> tuple[OnnxGraph, Value, Value]:
    """The graph, its input, and the network's output, as the estimators have it."""
    network, opset = operator.raw_operator.network_, container.target_opset
    if opset < OLDEST_OPSET:
        raise ConfigurationError(f"target_opset: expected at least {OLDEST_OPSET}, got {opset}")
    graph = OnnxGraph(dtype=network.built.dtype, opset=opset)
    kinds = {_types().DoubleTensorType: np.float64, _types().FloatTensorType: np.float32}
    dtype = kinds.get(type(operator.inputs[0].type), np.int64)
    x = graph.input("x", (None, *network.built.input_shape), dtype)
    y = OnnxInference(graph).run(network, graph.cast(x, network.built.dtype))
    graph.place = ""
    return graph, x, y


def _finish(scope: Any, operator: Any, container: Any, graph: OnnxGraph, x: Value, outputs: dict[str, Value]) -> None:
    made = [graph.output(value, name) for name, value in outputs.items()]
    model = helper.make_model(
        graph.graph_of("network", [x], made), opset_imports=[helper.make_opsetid("", container.target_opset)]
    )
    optional_package("skl2onnx", "skl2onnx").helpers.add_onnx_graph(scope, operator, container, model)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    """The label of the highest score, and the probabilities, as ``predict`` and ``predict_proba`` find them."""
    estimator = operator.raw_operator
    loss, classes = estimator._loss(), estimator.classes_
    graph, x, raw = _started(operator, container)
    middle = 0.0 if loss.expects in ("logits", "scores") else 0.5
    found = raw if loss.probabilities(np.zeros((1, 2))) is None else probabilities_of(graph, loss, raw)
    if estimator.multilabel_:
        label = graph.cast(raw > middle, np.int64)
    else:
        if raw.sizes[-1] == 1:
            place = graph.cast(graph.reshape(raw, (-1,)) > middle, np.int64)
            found = graph.joined([1.0 - found, found], -1)
        else:
            place = graph.op("ArgMax", [raw], raw.sizes[:1], np.int64, axis=-1, keepdims=0)
            found = found if found is raw else found / graph.row_sum(found)
        labels = _labels(graph, classes)
        label = graph.op("Gather", [labels, place], place.sizes, labels.dtype)
    number = np.float64 if _is_double(operator) else np.float32
    outputs = {"label": label, "probabilities": graph.cast(found, number)}
    _finish(scope, operator, container, graph, x, outputs)


def _labels(graph: OnnxGraph, classes: Any) -> Value:
    if not _has_text(classes):
        return graph.constant(classes.astype(np.int64))
    return graph.stored("labels", np.array([str(one) for one in classes], dtype=object))


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    """The predictions, and expected counts where the loss has log-rates."""
    graph, x, raw = _started(operator, container)
    loss = operator.raw_operator._loss()
    y = probabilities_of(graph, loss, raw) if loss.expects == "log-rates" else raw
    _finish(
        scope,
        operator,
        container,
        graph,
        x,
        {"variable": graph.cast(y, np.float64 if _is_double(operator) else np.float32)},
    )
