"""A small partner's server: tokens, JWKS, pushes, media and the optional proxy; knows no simulator code.

It is the server that a partner runs for its clients, reduced to the parts that interoperability needs. Read `server`
first for the routes, then the module of the route you need. It has no login, user directory or TLS, as a real partner
has, and each module says where they would be.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partner_server.keys import SigningKeys
    from partner_server.pushes import Push
    from partner_server.server import PartnerServer, PartnerSettings

__all__ = ["PartnerServer", "PartnerSettings", "Push", "SigningKeys"]

_HOMES = {"PartnerServer": "server", "PartnerSettings": "server", "Push": "pushes", "SigningKeys": "keys"}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: the whole server takes a second, and whoever asks for a token needs none of it."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
