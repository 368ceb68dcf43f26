"""The checks of a configuration alone, for losses, optimizers and initializers."""

from typing import Any, Protocol

import attrs

from deepbp.testing import configuration
from deepbp.testing.check import CheckFailure


class HasSubject(Protocol):
    """A case of one object under examination."""

    @property
    def subject(self) -> Any: ...


def configuration_is_frozen(case: HasSubject) -> None:
    """An ``attrs.frozen`` class: what changes lies elsewhere."""
    cls: Any = type(case.subject)
    decorated = next((base for base in cls.__mro__ if "__attrs_attrs__" in vars(base)), None)
    kept = getattr(case.subject, "__dict__", None)  # a plain class without arguments needs no attrs
    if kept if decorated is None else not attrs.inspect(decorated).is_frozen:
        raise CheckFailure(
            f"class {cls.__name__}: put @frozen, from attrs, above the class: its fields are its configuration, "
            "and what changes during training does not belong there"
        )


def repr_can_be_pasted_back(case: HasSubject) -> None:
    """``repr`` is the constructor call."""
    if attrs.has(type(case.subject)):
        configuration.expect_repr_can_be_pasted_back(case.subject)


def configuration_rebuilds(case: HasSubject) -> None:
    """The constructor takes back what the fields hold."""
    if attrs.has(type(case.subject)):
        configuration.expect_configuration_rebuilds(case.subject)


def copy_and_pickle(case: HasSubject) -> None:
    """Copied or pickled, it has the same configuration."""
    if attrs.has(type(case.subject)):
        configuration.deep_copied(case.subject)
        if not configuration.holds_functions(case.subject):
            configuration.pickled(case.subject)


CHECKS = (configuration_is_frozen, repr_can_be_pasted_back, configuration_rebuilds, copy_and_pickle)
