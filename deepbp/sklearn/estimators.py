"""A network as a classifier, and as a regressor."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from deepbp.layers import Layer
from deepbp.losses import Loss, MeanSquaredError, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from deepbp.losses.targets import ClassTargetLoss
from deepbp.optimizers import Optimizer
from deepbp.sklearn._base import NetworkEstimator
from deepbp.training import Callback
from deepbp.typing import Array


def _has_probabilities(estimator: "NetworkClassifier") -> bool:
    return estimator._loss().probabilities(np.zeros((1, 2))) is not None


class NetworkClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]  # without types
    """A feedforward network as a classifier for scikit-learn: classes with any labels, or several labels a sample.

    The output layer is a ``Dense`` that follows from y: an output for each class; a single one for two classes where
    the loss takes no labels; an output for each label where y has several columns of 0 and 1. Behind it stands a
    ``Softmax`` or ``Sigmoid`` if the loss expects probabilities. A loss that takes no labels gets one-hot rows.

    Args:
        layers: the hidden layers, a template that ``fit`` copies; None is ``[Dense(100), ReLU()]``.
        loss: None is ``SoftmaxCrossEntropy()``, or ``SigmoidBinaryCrossEntropy()`` for several labels.
        optimizer: None is ``Adam()``.
        epochs: passes over the data.
        batch_size: rows for each update; None for all.
        callbacks: deepbp's, copied for each fit.
        early_stopping: hold out ``validation_fraction`` of the rows, with the same share of each class if there are
            enough of it; stop after ``patience`` epochs without a lower loss on them, and restore the best weights.
        validation_fraction, patience: of early stopping.
        clip_norm: the largest norm of the gradients.
        class_weight: ``{label: weight}``, or ``"balanced"``.
        dtype: of the network; None is that of the inputs.
        warm_start: ``fit`` goes on with the network of the last one.
        random_state: a seed; the same one gives the same network, byte by byte.
        progress: as in ``Sequential.fit``.

    Attributes:
        classes_: (C,), the labels in order.
        network_, trainer_: the ``Sequential`` and its ``Trainer``.
        history_, loss_curve_, n_iter_: the ``History``, its losses, and the number of its epochs.

    >>> import numpy as np
    >>> from deepbp.layers import Dense, Tanh
    >>> from deepbp.optimizers import Adam
    >>> from deepbp.sklearn import NetworkClassifier
    >>> x, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), ["same", "other", "other", "same"]
    >>> net = NetworkClassifier([Dense(8), Tanh()], optimizer=Adam(0.1), epochs=100, random_state=0).fit(x, y)
    >>> [str(label) for label in net.predict(x)], net.classes_
    (['same', 'other', 'other', 'same'], array(['other', 'same'], dtype='<U5'))
    """

    def __init__(
        self,
        layers: Sequence[Layer[Any]] | None = None,
        *,
        loss: Loss[Any] | None = None,
        optimizer: Optimizer | None = None,
        epochs: int = 200,
        batch_size: int | None = 32,
        callbacks: Sequence[Callback] | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        clip_norm: float | None = None,
        class_weight: Any = None,
        dtype: str | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        progress: Any = False,
    ) -> None:
        super().__init__(
            layers,
            loss=loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            callbacks=callbacks,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            clip_norm=clip_norm,
            dtype=dtype,
            warm_start=warm_start,
            random_state=random_state,
            progress=progress,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.loss is None or not isinstance(self.loss, ClassTargetLoss)
        return tags

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> "NetworkClassifier":  # noqa: N803
        """Train for one epoch on a part of the data.

        Args:
            X, y: the inputs (N, F) and labels of this part.
            classes: all labels that will come, which the first call must know.
            sample_weight: (N,); used as they are, because their mean over all parts is not known.
        """
        first = not hasattr(self, "trainer_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if not first and classes is not None and not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise ValueError("`classes` is not the same as on last call to partial_fit")
        self._expected_classes = np.unique(np.asarray(classes)) if first else None
        self._partial_fit(X, y, sample_weight, first)
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The label of the highest score for each sample (N,); 0 or 1 for each of several labels (N, K)."""
        scores = self.decision_function(X)
        if self.multilabel_:
            return np.asarray(scores > 0, dtype=int)
        return np.asarray(self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)])

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """The probability of each class (N, C), or of each label (N, K): what the loss makes of the scores."""
        found: Array | None = self._loss().probabilities(self._raw(X).astype(np.float64))
        assert found is not None
        if self.multilabel_:
            return found
        # Those of yes/no losses, one for each class, need not add up to 1.
        return np.hstack([1 - found, found]) if found.shape[1] == 1 else found / found.sum(axis=1, keepdims=True)

    def decision_function(self, X: Any) -> Array:  # noqa: N803
        """The scores (N, C); for two classes one score (N,), above 0 for the second. A label is set above 0."""
        raw = self._raw(X)
        middle = 0 if self._loss().expects in ("logits", "scores") else 0.5
        if self.multilabel_ or len(self.classes_) > 2:
            return raw - middle
        return raw[:, 0] - middle if raw.shape[1] == 1 else raw[:, 1] - raw[:, 0]

    def _start(self, x: Any, target: Array) -> None:
        super()._start(x, target)
        names = self.classes_.tolist()
        if all(isinstance(name, str) for name in names):  # as the network alone has them, also in a file
            self.network_.classes = names

    def _checked(self, x: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Any, Array, Array | None]:
        x, y, weight = super()._checked(x, y, sample_weight, reset)
        check_classification_targets(y)
        return x, y, weight

    def _weights(self, y: Array, weight: Array | None) -> Array | None:
        if self.class_weight is None:
            return weight
        by_class: Array = compute_sample_weight(self.class_weight, y)
        return by_class if weight is None else by_class * weight

    def _encoded(self, y: Array, reset: bool) -> Array:
        """Labels (N,) from 0 on, or columns: of 0 and 1 for several labels or a yes/no loss, else one-hot."""
        if reset:
            kind = type_of_target(y)
            if kind == "multiclass-multioutput":
                raise ValueError(f"Unknown label type: {kind}: several classes for each sample are not supported")
            self.multilabel_ = kind.startswith("multilabel")
            known = getattr(self, "_expected_classes", None)
            found = np.arange(y.shape[1]) if self.multilabel_ else np.unique(y)
            self.classes_ = found if known is None else known
            self._expected_classes = None
            if not self.multilabel_ and len(self.classes_) < 2:
                raise ValueError(f"Classifier can't train when only one class is present: {self.classes_}")
        has_labels = isinstance(self._loss(), ClassTargetLoss)
        if self.multilabel_:
            if has_labels:
                raise ValueError(
                    f"loss: {self._loss()} is for one class a sample, got several labels: use one of yes/no answers, "
                    "such as SigmoidBinaryCrossEntropy()"
                )
            return np.asarray(y, dtype=np.float64)
        if len(unknown := np.setdiff1d(y, self.classes_)):
            raise ValueError(f"`y` has classes not in `self.classes_`: {unknown}")
        labels = np.searchsorted(self.classes_, y).astype(np.intp)
        if has_labels:
            return labels
        return labels.reshape(-1, 1).astype(float) if len(self.classes_) == 2 else np.eye(len(self.classes_))[labels]

    def _outputs(self, target: Array) -> int:
        return len(self.classes_) if target.ndim == 1 else target.shape[1]

    def _strata(self, target: Array) -> Array | None:
        """The classes, if each can have a row in both parts."""
        if self.multilabel_:
            return None
        labels = target if target.ndim == 1 else target @ np.arange(1, target.shape[1] + 1)
        counts = np.unique(labels, return_counts=True)[1]
        held_out = int(np.ceil(self.validation_fraction * len(labels)))
        return labels if counts.min() > 1 and len(counts) <= min(held_out, len(labels) - held_out) else None

    def _loss(self) -> Loss[Any]:
        if self.loss is not None:
            return self.loss
        return SigmoidBinaryCrossEntropy() if getattr(self, "multilabel_", False) else SoftmaxCrossEntropy()


class NetworkRegressor(RegressorMixin, NetworkEstimator):  # type: ignore[misc]  # without types
    """A feedforward network as a regressor for scikit-learn: one number a sample, or several.

    The output layer is a ``Dense`` with an output for each column of y. Arguments and attributes are those of
    ``NetworkClassifier``, without classes; ``loss=None`` is ``MeanSquaredError()``. A network learns targets that
    are far from the scale of 1 slowly: wrap it in scikit-learn's ``TransformedTargetRegressor`` with a
    ``StandardScaler``.

    >>> import numpy as np
    >>> from deepbp.layers import Dense, Tanh
    >>> from deepbp.optimizers import Adam
    >>> from deepbp.sklearn import NetworkRegressor
    >>> x = np.linspace(-2, 2, 40).reshape(-1, 1)
    >>> net = NetworkRegressor([Dense(16), Tanh()], optimizer=Adam(0.02), random_state=0).fit(x, np.sin(x[:, 0]))
    >>> bool(net.score(x, np.sin(x[:, 0])) > 0.99)
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "NetworkRegressor":  # noqa: N803
        """Train for one epoch on a part of the data; the weights are used as they are."""
        self._partial_fit(X, y, sample_weight, not hasattr(self, "trainer_"))
        return self

    def predict(self, X: Any) -> Array:  # noqa: N803
        """The predictions: (N,), or (N, K) where y had K columns; expected counts where the loss has log-rates."""
        raw, loss = self._raw(X), self._loss()
        counts = loss.probabilities(raw) if loss.expects == "log-rates" else raw
        assert counts is not None
        return counts[:, 0] if self._is_flat else counts

    def _kinds_of_targets(self) -> dict[str, Any]:
        return {"y_numeric": True}

    def _encoded(self, y: Array, reset: bool) -> Array:
        if reset:
            self._is_flat = y.ndim == 1
        return np.asarray(y, dtype=np.float64).reshape(len(y), -1)

    def _loss(self) -> Loss[Any]:
        return MeanSquaredError() if self.loss is None else self.loss
