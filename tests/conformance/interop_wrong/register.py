"""What a wrong client or server is, and the register of all; knows no defect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Spoil = Callable[[], None]
"""Puts the defect into the running process: changes classes of the SDK, or of the partner's server."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One defect."""

    name: str
    """Of the function that makes it, such as `acks_before_saving`."""
    sentence: str
    """What it does wrong."""
    caught_by: tuple[str, ...]
    """The checks that must catch it, each of them."""
    also: tuple[str, ...]
    """Checks that may say so, too, since the defect makes them fail as well."""
    mode: str
    """How the kit connects it: `direct` or `proxy`."""
    spoil: Spoil = field(repr=False)


_CLIENTS: dict[str, Wrong] = {}
_PARTNERS: dict[str, Wrong] = {}


def wrong_client(*caught_by: str, also: tuple[str, ...] = (), mode: str = "direct") -> Callable[[Spoil], Spoil]:
    """Registers the decorated function as a defect of a client; its docstring says what is wrong.

    Args:
        *caught_by: Ids of the checks that must catch it.
        also: Ids of checks that may say so, too.
        mode: How it connects.
    """
    return _register(_CLIENTS, caught_by, also, mode)


def wrong_partner(*caught_by: str, also: tuple[str, ...] = ()) -> Callable[[Spoil], Spoil]:
    """Registers the decorated function as a defect of a partner's server. See `wrong_client`."""
    return _register(_PARTNERS, caught_by, also, "direct")


def wrong_clients() -> Mapping[str, Wrong]:
    """Returns all wrong clients, by name."""
    return _CLIENTS


def wrong_partners() -> Mapping[str, Wrong]:
    """Returns all wrong partner's servers, by name."""
    return _PARTNERS


def _register(
    register: dict[str, Wrong], caught_by: tuple[str, ...], also: tuple[str, ...], mode: str
) -> Callable[[Spoil], Spoil]:
    def add(spoil: Spoil) -> Spoil:
        name, sentence = spoil.__name__, " ".join((spoil.__doc__ or "").split())
        if name in register or not caught_by or not sentence:
            raise ValueError(f"{name} is there already, or nothing catches it, or it has no sentence")
        register[name] = Wrong(name, sentence, caught_by, also, mode, spoil)
        return spoil

    return add
