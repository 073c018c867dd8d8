"""Reads the addresses of the simulator, which acts as WhatsApp, from text; connects to nothing."""

import re

from interop_protocol.endpoint import ServerAddress
from interop_protocol.sizes import PUBLIC_KEY_BYTES
from interop_protocol.web_address import is_web_address
from interop_protocol.whole_numbers import read_whole

_LAST_PORT = 65_535
_ROOT = re.compile(f"[0-9A-Fa-f]{{{2 * PUBLIC_KEY_BYTES}}}")
"""Not all that `bytes.fromhex` reads: it skips blanks."""


def read_endpoint(grpc: object, http: object, root_public_key: object) -> ServerAddress:
    """Reads the addresses of a simulator from the fields of a request, a command line or a ready line.

    Args:
        grpc: `host:port` of the chat service.
        http: Base URL of the HTTP surface.
        root_public_key: 64 hex digits.

    Raises:
        ValueError: A field is malformed; the message says which, and what it must be.
    """
    if not (isinstance(grpc, str) and isinstance(http, str) and isinstance(root_public_key, str)):
        raise ValueError("`grpc`, `http` and `root_public_key` must be text")
    host, _, port = grpc.rpartition(":")
    if not host or read_whole(port, 1, _LAST_PORT) is None:
        raise ValueError("`grpc` must be `host:port`")
    if not is_web_address(http):
        raise ValueError("`http` must be an absolute http or https URL")
    if _ROOT.fullmatch(root_public_key) is None:
        raise ValueError("`root_public_key` must be 64 hex digits")
    return ServerAddress(grpc, bytes.fromhex(root_public_key), http.rstrip("/"))
