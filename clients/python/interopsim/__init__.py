"""What users of the simulator import: the server in a test's own process, and the SDK; see docs/testing.md.

    from interopsim import Simulator, running

Each name is loaded when it is first used, so that the import costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interop_admin.client import AdminClient as AdminClient
    from interop_admin.endpoint import find_endpoint as find_endpoint
    from interop_client.errors import ConnectionEnded as ConnectionEnded
    from interop_client.errors import ServerRefusal as ServerRefusal
    from interop_client.options import ClientOptions as ClientOptions
    from interop_client.state import ClientState as ClientState
    from interop_client.state import StateFile as StateFile
    from interop_client.third_party import ThirdPartyClient as ThirdPartyClient
    from interop_client.whatsapp import WhatsAppClient as WhatsAppClient
    from interop_protocol.endpoint import Endpoint as Endpoint
    from interopsim.in_process import Running as Running
    from interopsim.in_process import Simulator as Simulator
    from interopsim.in_process import running as running
    from interopsim.people import Messenger as Messenger
    from interopsim.people import Person as Person
    from interopsim.people import User as User

_PLACES = {
    "AdminClient": "interop_admin.client",
    "ClientOptions": "interop_client.options",
    "ClientState": "interop_client.state",
    "ConnectionEnded": "interop_client.errors",
    "Endpoint": "interop_protocol.endpoint",
    "Messenger": "interopsim.people",
    "Person": "interopsim.people",
    "Running": "interopsim.in_process",
    "ServerRefusal": "interop_client.errors",
    "Simulator": "interopsim.in_process",
    "StateFile": "interop_client.state",
    "ThirdPartyClient": "interop_client.third_party",
    "User": "interopsim.people",
    "WhatsAppClient": "interop_client.whatsapp",
    "find_endpoint": "interop_admin.endpoint",
    "running": "interopsim.in_process",
}

__all__ = [
    "AdminClient",
    "ClientOptions",
    "ClientState",
    "ConnectionEnded",
    "Endpoint",
    "Messenger",
    "Person",
    "Running",
    "ServerRefusal",
    "Simulator",
    "StateFile",
    "ThirdPartyClient",
    "User",
    "WhatsAppClient",
    "find_endpoint",
    "running",
]


if not TYPE_CHECKING:  # to a type checker, a name that is not here is a mistake

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
