"""Puts defects in their place; knows no defect."""

from typing import Any


def replace(owner: object, name: str, new: object) -> Any:
    """Puts something else in place of a method of a class, or of a name of a module; returns what was there.

    Raises:
        AttributeError: Nothing was there: the code that is to be spoilt has changed.
    """
    old = getattr(owner, name)
    setattr(owner, name, new)
    return old
