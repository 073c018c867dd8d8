"""Who makes a unary call: the session token of a live connection; knows no service."""

from interop_server.core.errors import Reason, Refusal
from interop_server.rpc.calls import Context
from interop_server.rpc.entrance import Entrance, Session

_SCHEME = "bearer "


class Sessions:
    """Finds the connection behind a call (CHN-01)."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance

    async def of(self, context: Context) -> Session:
        """Returns the connection that issued the call's session token.

        Raises:
            Refusal: SESSION_REQUIRED or SESSION_DEAD.
        """
        for key, value in context.invocation_metadata() or ():
            if key == "authorization" and isinstance(value, str) and value[: len(_SCHEME)].lower() == _SCHEME:
                return await self._entrance.session(value[len(_SCHEME) :])
        raise Refusal(Reason.SESSION_REQUIRED)
