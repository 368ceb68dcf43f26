"""Planted mistakes: wrong classes, each with the check that must reject it."""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pytest
from attrs import frozen

from deepbp.testing import Check, CheckFailure

Kind = TypeVar("Kind", bound=type)


@frozen
class Planted:
    """``check`` is the name of the check that must catch it, ``message`` a pattern of what it must say."""

    kind: type
    check: str
    message: str
    options: dict[str, Any]


def planter(catalogue: list[Planted]) -> Callable[..., Callable[[Kind], Kind]]:
    """A decorator that puts a class into the catalogue."""

    def planted(check: str, message: str, **options: Any) -> Callable[[Kind], Kind]:
        def add(kind: Kind) -> Kind:
            catalogue.append(Planted(kind, check, message, options))
            return kind

        return add

    return planted


def from_percent(percent: float) -> float:
    """A converter that does not take back what it has made."""
    return percent / 100


def expect_caught(mistake: Planted, checks: Iterable[Check]) -> None:
    """The named check fails, with the message."""
    by_name = {check.name: check for check in checks}
    with pytest.raises(CheckFailure) as caught:
        by_name[mistake.check].run()
    assert re.search(mistake.message, str(caught.value)), str(caught.value)


def expect_every_check_needed(catalogue: Iterable[Planted], checks: Iterable[Check]) -> None:
    """A check that catches no planted mistake proves nothing."""
    assert {check.name for check in checks} == {mistake.check for mistake in catalogue}
