"""Who makes a unary call: the session token of a live connection; knows no service."""

from interop_server.core.errors import Reason, Refusal
from interop_server.core.model import Account
from interop_server.rpc.calls import Context
from interop_server.rpc.connections import ConnectionRegistry

_SCHEME = "bearer "


class Sessions:
    """Finds the account behind a call (CHN-01)."""

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry

    def account(self, context: Context) -> Account:
        """Returns the account whose connection issued the call's session token.

        Raises:
            Refusal: SESSION_REQUIRED or SESSION_DEAD.
        """
        for key, value in context.invocation_metadata() or ():
            if key == "authorization" and isinstance(value, str) and value[: len(_SCHEME)].lower() == _SCHEME:
                return self._registry.by_token(value[len(_SCHEME) :]).account
        raise Refusal(Reason.SESSION_REQUIRED)
