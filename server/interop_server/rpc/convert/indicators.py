"""Indicators, both ways: read as the sender's client sends them, written for the peer; knows no rule and no store."""

from collections.abc import Callable

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Reason
from interop_server.core.messages import Indicator, TypingState
from interop_server.core.messaging.indicators import Typing
from interop_server.rpc.convert.enums import known
from interop_server.rpc.convert.inbound import check_sender


def typing_from(stanza: stanza_pb2.Stanza, own_jid: str) -> tuple[str, Typing]:
    """Reads the JID of the peer, and what the sender does.

    Raises:
        Refusal: STANZA_MALFORMED or CONNECTION_MULTIPLEXED.
    """
    typing = stanza.typing
    check_sender(typing.from_jid, own_jid, "typing")
    return typing.to_jid, Typing(known(TypingState, typing.state, "typing.state", "MSG-13", Reason.STANZA_MALFORMED))


INDICATORS: dict[str, Callable[[stanza_pb2.Stanza, str], tuple[str, Indicator]]] = {
    Typing.kind: typing_from,
}
"""How each kind of indicator is read."""


def indicator_to(sender_jid: str, indicator: Indicator, expires_after_seconds: int) -> stanza_pb2.Stanza:
    """Returns an indicator as it is delivered (MSG-13)."""
    stanza = stanza_pb2.Stanza()
    match indicator:
        case Typing(state):
            stanza.typing.from_jid = sender_jid
            stanza.typing.state = stanza_pb2.TypingState.ValueType(state)
            stanza.typing.expires_after_seconds = expires_after_seconds
        case _:
            raise TypeError(f"{type(indicator).__name__} has no stanza")
    return stanza
