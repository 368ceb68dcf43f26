"""Kernels: the loops that take most of the training time, in a NumPy form and a compiled form.

Modules that begin with ``numpy_`` need NumPy only; those that begin with ``numba_`` are compiled by Numba, from the
extra ``deepbp[fast]``. The first use of a kernel selects the form, never the import: ``use("numpy")`` or
``use("numba")``, else the environment variable DEEPBP_KERNELS, else Numba if it is installed. Both forms give the same
numbers to a few units in the last place, and raise the same errors. ``unchecked`` has the same kernels for arrays that
are known to have the native byte order, as those inside networks have.

>>> import numpy as np
>>> from deepbp import kernels
>>> kernels.sigmoid(np.array([0.0, 800.0]))
array([0.5, 1. ])
"""

import importlib
import os
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from deepbp.errors import ConfigurationError, shown

if TYPE_CHECKING:
    import deepbp.kernels as _all
    from deepbp.kernels.numpy_activations import *  # noqa: F403
    from deepbp.kernels.numpy_convolution import *  # noqa: F403
    from deepbp.kernels.numpy_kernels import *  # noqa: F403
    from deepbp.kernels.numpy_losses import *  # noqa: F403

    unchecked = _all
else:
    unchecked = ModuleType(f"{__name__}.unchecked")

_FAMILIES = "kernels", "activations", "convolution", "losses"
_FORMS = {form: tuple(f"{form}_{family}" for family in _FAMILIES) for form in ("numpy", "numba")}
_current: str | None = None
_is_loaded = False  # whether the kernels of this form are attributes of the module


def use(form: Literal["numpy", "numba"] | None = None) -> str:
    """Select the form of all kernels, in all threads; None selects automatically. Returns the name of the form.

    >>> from deepbp import kernels
    >>> before = kernels.current()
    >>> kernels.use("numpy"), kernels.use(before) == before
    ('numpy', True)

    Raises:
        ConfigurationError: for any other name, and for "numba" if it is not installed.
    """
    global _current, _is_loaded
    name = _name(form)
    modules = [importlib.import_module(f"{__name__}.{module}") for module in _FORMS[name]]
    selected = {kernel: getattr(module, kernel) for module in modules for kernel in module.__all__}
    globals().update(selected)
    unchecked.__dict__.update({name: getattr(kernel, "unchecked", kernel) for name, kernel in selected.items()})
    _current, _is_loaded = name, True
    return name


def current() -> str:
    """Return the name of the selected form, "numpy" or "numba"; nothing is imported for that.

    >>> from deepbp import kernels
    >>> kernels.current() in ("numpy", "numba")
    True
    """
    global _current
    if _current is None:
        _current = _name(None)
    return _current


def _name(form: Any) -> str:
    automatic = os.environ.get("DEEPBP_KERNELS") or ("numba" if find_spec("numba") else "numpy")
    name = automatic if form is None else form
    if not isinstance(name, str) or name not in _FORMS:
        raise ConfigurationError(
            f"kernels: expected 'numpy' or 'numba', got {shown(name)} (from use or DEEPBP_KERNELS)"
        )
    if name == "numba" and not find_spec("numba"):
        raise ConfigurationError("kernels: 'numba' is not installed: pip install 'deepbp[fast]'")
    return name


def _load(kernel: str, module: dict[str, Any] | None = None) -> Any:
    """Select the form at the first use of a kernel; from then on all kernels are attributes of the module."""
    if kernel.startswith("_") or find_spec(f"{__name__}.{kernel}"):  # Python then imports the module of this name
        raise AttributeError(f"module {__name__!r} has no attribute {kernel!r}")
    if not _is_loaded:
        use(current())  # type: ignore[arg-type]
    try:  # another thread may have selected the form since the look-up failed
        return (globals() if module is None else module)[kernel]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {kernel!r}") from None


unchecked.__dict__["__getattr__"] = lambda kernel: _load(kernel, unchecked.__dict__)
globals()["__getattr__"] = _load  # a type checker that sees a module's __getattr__ accepts any name
