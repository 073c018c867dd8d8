"""A server's addresses and the root that certifies it; opens no connection."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One server, as its clients know it."""

    grpc: str
    """Address of the gRPC surface, `host:port`."""
    root_public_key: bytes
    """The root that certifies the server's static key, 32 bytes (CHN-04)."""
    http: str = ""
    """Base URL of the HTTP surface, without a slash at the end."""
