"""A small partner's server: tokens, JWKS, pushes, media and the optional proxy; knows no simulator code.

It is the server that a partner runs for its clients, reduced to the parts that interoperability needs. Read `server`
first for the routes, then the module of the route you need. It has no login, user directory or TLS, as a real partner
has, and each module says where they would be.
"""

from partner_server.keys import SigningKeys
from partner_server.pushes import Push
from partner_server.server import PartnerServer, PartnerSettings

__all__ = ["PartnerServer", "PartnerSettings", "Push", "SigningKeys"]
