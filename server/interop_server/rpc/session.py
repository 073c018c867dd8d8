"""Who makes a unary call: the session token of a live connection; knows no service."""

from interop_server.core.errors import Reason, Refusal
from interop_server.rpc.calls import Context
from interop_server.rpc.connections import ConnectionRegistry, LiveConnection

_SCHEME = "bearer "


class Sessions:
    """Finds the connection behind a call (CHN-01)."""

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry

    def connection(self, context: Context) -> LiveConnection:
        """Returns the connection that issued the call's session token.

        Raises:
            Refusal: SESSION_REQUIRED or SESSION_DEAD.
        """
        for key, value in context.invocation_metadata() or ():
            if key == "authorization" and isinstance(value, str) and value[: len(_SCHEME)].lower() == _SCHEME:
                return self._registry.by_token(value[len(_SCHEME) :])
        raise Refusal(Reason.SESSION_REQUIRED)
