"""Where a simulator is reached, as a value: a server says it of itself, and clients read it; opens no connection."""

import json
from dataclasses import dataclass, field
from typing import Any, Self


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
            facts = json.loads(line)
            return cls(
                facts["grpc"],
                bytes.fromhex(facts["root_public_key"]),
                facts["http"],
                facts["admin"],
                facts.get("admin_token", ""),
                facts.get("metrics", ""),
                ca=facts.get("ca", ""),
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
