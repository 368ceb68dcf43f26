"""Estimators for scikit-learn: networks in its pipelines, searches and cross-validation. Extra ``deepbp[sklearn]``.

>>> from sklearn.datasets import load_iris
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from deepbp.layers import Dense, Tanh
>>> from deepbp.optimizers import Adam
>>> from deepbp.sklearn import NetworkClassifier
>>> x, y = load_iris(return_X_y=True)
>>> net = NetworkClassifier([Dense(8), Tanh()], optimizer=Adam(0.05), epochs=20, random_state=0)
>>> bool(make_pipeline(StandardScaler(), net).fit(x, y).score(x, y) > 0.95)
True
"""

from deepbp._config import publish
from deepbp.errors import ConfigurationError

try:
    from deepbp.sklearn.estimators import NetworkClassifier, NetworkRegressor
except ImportError as error:
    if not (error.name or "").startswith("sklearn"):
        raise
    raise ConfigurationError("scikit-learn 1.6 or later is not installed: pip install 'deepbp[sklearn]'") from error

__all__ = ["NetworkClassifier", "NetworkRegressor"]

publish(__name__)
