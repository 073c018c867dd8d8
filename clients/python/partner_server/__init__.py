"""A small third-party messenger server: tokens, JWKS, pushes, media and the optional proxy; knows no simulator code.

It is what a partner runs beside its clients, reduced to what interoperability asks of it. Read `server` first for the
routes, then the module of the route you need. Login, user directory and TLS of a real messenger are left out, and each
module says where they would be.
"""

from partner_server.keys import SigningKeys
from partner_server.pushes import Push
from partner_server.server import PartnerServer, PartnerSettings

__all__ = ["PartnerServer", "PartnerSettings", "Push", "SigningKeys"]
