"""Where a simulator is reached, as a value: a server says it of itself, and clients read it; opens no connection."""

import string
from dataclasses import dataclass, field
from typing import Any, Self

from interop_protocol.json_text import read_json

_ADDRESS_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-._~:/[]%")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One server, as its clients know it."""

    grpc: str
    """Address of the gRPC surface, `host:port`."""
    root_public_key: bytes
    """The root that certifies the server's static key, 32 bytes (CHN-04)."""
    http: str = ""
    """Base URL of the HTTP surface, without a slash at the end."""
    ca: str = field(default="", kw_only=True)
    """The certificate that signs the server's for TLS, as PEM; empty for no TLS."""


@dataclass(frozen=True, slots=True)
class Endpoint(ServerAddress):
    """The addresses of one simulator. Use it wherever a ServerAddress is expected."""

    admin: str = ""
    """Address of the admin service, `host:port`."""
    admin_token: str = field(default="", repr=False)
    """What admin calls need; empty when they need none."""
    metrics: str = ""
    """Where what the server counts is served, with scheme; empty when it is not."""

    @classmethod
    def from_ready_line(cls, line: str) -> Self:
        """Reads the line of JSON that `interopsim up` prints when it is ready.

        Raises:
            ValueError: The text is not such a line.
        """
        try:
            facts = read_json(line)
            return cls(
                _address(facts["grpc"]),
                bytes.fromhex(facts["root_public_key"]),
                _address(facts["http"]),
                _address(facts["admin"]),
                _text(facts.get("admin_token", "")),
                _address(facts.get("metrics", "")),
                ca=_text(facts.get("ca", "")),
            )
        except (KeyError, TypeError) as error:
            raise ValueError("this is not the ready line of a server") from error

    def facts(self) -> dict[str, Any]:
        """Returns what a ready line says of these addresses."""
        optional = {"metrics": self.metrics, "ca": self.ca, "admin_token": self.admin_token}
        return {
            "grpc": self.grpc,
            "admin": self.admin,
            "http": self.http,
            "root_public_key": self.root_public_key.hex(),
            **{name: value for name, value in optional.items() if value},
        }


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError("this is not the ready line of a server")
    return text


def _address(text: object) -> str:
    """Returns an address of a ready line. None has a blank, a quote or what a terminal or a shell would obey."""
    if not isinstance(text, str) or not set(text) <= _ADDRESS_CHARACTERS:
        raise ValueError("this is not the ready line of a server")
    return text
