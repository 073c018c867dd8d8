"""Indicators, as they are read and as they are delivered."""

from typing import Any

import pytest

from interop_api.v1 import stanza_pb2
from interop_server.core.errors import Reason
from interop_server.core.messages import Indicator, TypingState
from interop_server.core.messaging.indicators import Typing
from interop_server.rpc.convert import indicators

from .wire import OWN_JID, PEER_JID, check_field, refusal_of


@pytest.mark.requirement("MSG-13")
@pytest.mark.parametrize("state", TypingState)
def test_a_sign_of_typing_is_read_and_delivered(state: TypingState) -> None:
    """It says who and for how long (MSG-13)."""
    typing = stanza_pb2.Typing(to_jid=PEER_JID, state=int(state), from_jid=OWN_JID)
    assert indicators.typing_from(stanza_pb2.Stanza(typing=typing), OWN_JID) == (PEER_JID, Typing(state))
    expected = stanza_pb2.Typing(state=int(state), expires_after_seconds=5, from_jid=OWN_JID)
    assert indicators.indicator_to(OWN_JID, Typing(state), 5) == stanza_pb2.Stanza(typing=expected)


@pytest.mark.requirement("MSG-13")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"from_jid": PEER_JID}, Reason.CONNECTION_MULTIPLEXED),
        ({"state": 0}, Reason.STANZA_MALFORMED),
        ({"state": 4}, Reason.STANZA_MALFORMED),
    ],
)
def test_a_malformed_sign_of_typing_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    """It says what somebody does, and nobody says it for another (MSG-13, PRX-03)."""
    typing = stanza_pb2.Typing(**{"to_jid": PEER_JID, "state": 1} | changes)
    refusal = refusal_of(indicators.typing_from, stanza_pb2.Stanza(typing=typing), OWN_JID)
    assert refusal.reason is reason
    check_field(refusal, "typing", changes)


def test_an_indicator_that_nobody_can_write_is_an_error() -> None:
    """A kind that was added to the rules alone is found at once, not shown as something else."""
    with pytest.raises(TypeError, match="Indicator"):
        indicators.indicator_to(OWN_JID, Indicator(), 5)
