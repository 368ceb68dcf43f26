"""The few loops in which training time goes, each a function named after what it does, in two forms.

``numpy_kernels`` is NumPy and always there; ``numba_kernels`` is compiled by Numba, from the extra ``deepbp[fast]``.
Which of the two serves is decided at the first use of a kernel, never at import: by ``use("numpy")`` or
``use("numba")``, else by the environment variable DEEPBP_KERNELS, else by whether Numba is installed. Both give the
same numbers to a few units in the last place.
"""

import importlib
import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from deepbp.errors import ConfigurationError

if TYPE_CHECKING:
    from deepbp.kernels.numpy_kernels import *  # noqa: F403

_FORMS = {"numpy": "numpy_kernels", "numba": "numba_kernels"}
_current: str | None = None


def use(form: Literal["numpy", "numba"] | None = None) -> str:
    """Let this form of all kernels serve from now on, in all threads; None decides anew. Returns its name.

    Raises:
        ConfigurationError: for a name that is neither, and for "numba" where it is not installed.
    """
    global _current
    automatic = os.environ.get("DEEPBP_KERNELS") or ("numba" if find_spec("numba") else "numpy")
    name = automatic if form is None else form
    if not isinstance(name, str) or name not in _FORMS:
        raise ConfigurationError(f"kernels: expected 'numpy' or 'numba', got {name!r} (from use or DEEPBP_KERNELS)")
    if name == "numba" and not find_spec("numba"):
        raise ConfigurationError("kernels: 'numba' is not installed: pip install 'deepbp[fast]'")
    module = importlib.import_module(f"{__name__}.{_FORMS[name]}")
    globals().update({kernel: getattr(module, kernel) for kernel in module.__all__})
    _current = name
    return name


def current() -> str:
    """The form that serves: "numpy" or "numba"."""
    return _current or use()


def _load(kernel: str) -> Any:
    """The first use of any kernel chooses the form; afterwards all of them are plain attributes of this module."""
    if kernel.startswith("_") or kernel in _FORMS.values():
        raise AttributeError(f"module {__name__!r} has no attribute {kernel!r}")
    if _current is None:
        use()
    try:  # also where another thread was first, between the look-up that failed and this one
        return globals()[kernel]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {kernel!r}") from None


globals()["__getattr__"] = _load  # a type checker that sees a module's __getattr__ accepts any name
