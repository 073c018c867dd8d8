"""What calls are made of without a network: the contract's methods, and what gRPC would hand over."""

from typing import Any

from interop_server.rpc import server
from interop_server.rpc.calls import Method, method_of

SERVICES = (*server._CLIENT_SERVICES, *server._ADMIN_SERVICES)
METHODS: dict[str, Method] = {
    found.name: found
    for service in SERVICES
    for each in service.methods
    if (found := method_of(f"/{service.full_name}/{each.name}")) is not None
}


class FromGrpc:
    """What gRPC hands over, as far as a call looks at it."""

    def __init__(self, *metadata: tuple[str, str | bytes]) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:5"
