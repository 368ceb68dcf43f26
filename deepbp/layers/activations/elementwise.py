"""Custom activation functions, from a function and its derivative."""

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import Attribute, define, field

from deepbp.errors import ArgumentTypeError, ContractError, shown
from deepbp.formulas.language import Formula
from deepbp.layers.layer import Elementwise
from deepbp.typing import Array


def _is_function(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
    if not callable(value) or isinstance(value, type):
        raise ArgumentTypeError(
            f"Activation: {attribute.name}: expected a function of an array, such as numpy.sin, got {shown(value)}"
        )
    if isinstance(value, np.ufunc) and (value.nin, value.nout) != (1, 1):
        raise ArgumentTypeError(
            f"Activation: {attribute.name}: expected a function of one array that returns one, "
            f"got {shown(value)}, which "
            f"takes {value.nin} and returns {value.nout}"
        )


@define(eq=False)
class Activation(Elementwise[Array]):
    """Custom elementwise activation: y = f(z), for samples of any shape, from a function and its derivative.

    Backpropagated gradient: δ · f′(z). Both functions take z, and return a new array of z's shape and dtype; neither
    may write into z. ``deepbp.testing.check_layer(Activation(f, f_prime), 4)`` compares the derivative with the
    function.

    A network with this layer can be saved and pickled if both are module-level functions or NumPy's own; a lambda
    cannot be.

    Args:
        f: the function, such as ``numpy.sin``.
        f_prime: its derivative, such as ``numpy.cos``.

    Raises:
        ContractError: if a function returns anything but an array of z's shape and dtype.

    >>> import numpy as np
    >>> from deepbp.layers import Activation
    >>> y, saved = Activation(np.square, lambda z: 2 * z).forward(np.array([[-1.0, 3.0]]))
    >>> y, Activation(np.square, lambda z: 2 * z).backward(saved, np.ones((1, 2)))
    (array([[1., 9.]]), array([[-2.,  6.]]))
    """

    f: Callable[[Array], Array] = field(validator=_is_function)
    f_prime: Callable[[Array], Array] = field(validator=_is_function)

    def stated_formula(self) -> Formula:
        names = {name: getattr(f, "__name__", "") for name, f in (("f", self.f), ("f_prime", self.f_prime))}
        letters = {name: word if word.isidentifier() else name for name, word in names.items()}
        return Formula(
            "applied(f, x)",
            derivative="applied(f_prime, x)",
            input="z",
            function=letters["f"],
            symbols={"f_prime": letters["f_prime"]},
        )

    def forward(self, z: Array) -> tuple[Array, Array]:
        return _values("f", self.f, z), z

    def backward(self, z: Array, delta: Array) -> Array:
        return delta * _values("f_prime", self.f_prime, z)


def _values(name: str, function: Callable[[Array], Array], z: Array) -> Array:
    given = z.view()
    given.flags.writeable = False  # z belongs to the caller, and to backward
    try:
        y = function(given)
    except Exception as error:
        error.add_note(f"in {name} of an Activation, for an array of shape {z.shape} that must not be written into")
        raise
    expected = f"Activation: {name}: expected an array of {z.dtype} and shape {z.shape}, as z is, got "
    if not isinstance(y, np.ndarray):
        raise ContractError(f"{expected}{y!r}: for a constant, use numpy.full_like(z, ...)")
    if y.shape != z.shape:
        raise ContractError(f"{expected}an array of shape {y.shape}: it must work number by number")
    if y.dtype != z.dtype:
        raise ContractError(f"{expected}{y.dtype}: use Python's numbers rather than NumPy's, or .astype(z.dtype)")
    return y.copy() if np.may_share_memory(y, z) else y
