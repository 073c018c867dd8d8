"""The addresses of a running simulator, for clients and for the operator; opens no connection."""

import json
from dataclasses import dataclass
from typing import Self

from interop_client.connection.address import ServerAddress


@dataclass(frozen=True, slots=True)
class Endpoint(ServerAddress):
    """The addresses of one simulator. Use it wherever a ServerAddress is expected."""

    admin: str = ""
    """Address of the admin service, `host:port`."""

    @classmethod
    def from_ready_line(cls, line: str) -> Self:
        """Reads the line of JSON that `interopsim up` prints when it is ready.

        Raises:
            ValueError: The text is not such a line.
        """
        try:
            facts = json.loads(line)
            return cls(facts["grpc"], bytes.fromhex(facts["root_public_key"]), facts["http"], facts["admin"])
        except (KeyError, TypeError) as error:
            raise ValueError("this is not the ready line of a server") from error
