"""Which warnings fail a test: all of deepbp's own; of other packages all but deprecations."""

import warnings

import pytest

DEPRECATIONS = [DeprecationWarning, PendingDeprecationWarning, FutureWarning]


def warn(category: type[Warning], module: str) -> None:
    """As if this module called something that warns; nothing is printed."""
    with warnings.catch_warnings(record=True):
        warnings.warn_explicit("planted", category, f"{module}.py", 1, module=module)


@pytest.mark.parametrize("category", [*DEPRECATIONS, UserWarning, RuntimeWarning])
@pytest.mark.parametrize("module", ["deepbp", "deepbp.layers.dense", "test_dense", "conftest"])
def test_every_warning_in_deepbp_or_a_test_is_an_error(module: str, category: type[Warning]) -> None:
    with pytest.raises(category, match="planted"):
        warn(category, module)


@pytest.mark.parametrize("category", DEPRECATIONS)
@pytest.mark.parametrize("module", ["matplotlib._fontconfig_pattern", "numpy", "sklearn.metrics"])
def test_a_deprecation_inside_another_package_is_not(module: str, category: type[Warning]) -> None:
    warn(category, module)


def test_another_warning_inside_numpy_is_an_error() -> None:
    """NumPy reports the mean of an empty array for itself, not for deepbp, which called it."""
    with pytest.raises(RuntimeWarning, match="planted"):
        warn(RuntimeWarning, "numpy._core.fromnumeric")
