"""Where a server is and what proves that it is the right one; opens no connection."""

import json
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server."""

    grpc: str
    """Address of the gRPC surface, `host:port`."""
    root_public_key: bytes
    """The root that certifies the server's static key, 32 bytes (CHN-04)."""
    http: str = ""
    """Base URL of the HTTP surface, without a slash at the end."""
    admin: str = ""
    """Address of the admin service, `host:port`."""

    @classmethod
    def from_ready_line(cls, line: str) -> Self:
        """Reads the line of JSON that `interopsim up` prints when it is ready.

        Raises:
            ValueError: The line is not such a line.
        """
        try:
            facts = json.loads(line)
            return cls(facts["grpc"], bytes.fromhex(facts["root_public_key"]), facts["http"], facts["admin"])
        except (KeyError, TypeError) as error:
            raise ValueError("this is not the ready line of a server") from error
