"""Why somebody is not reached, as the operator is told; the sender gets one answer for all that is the other side's."""

from typing import Any

import pytest

from interop_server.core.consent.reach import decide_route, why_dropped
from interop_server.core.errors import Reason, Refusal
from interop_server.core.messages import MessageRequestState, RouteFacts
from interop_server.core.model import Account, AccountEnd
from tests.unit.core.world import BATS

ADA = Account(1, f"{BATS}-12345678901234@interop", BATS, "ada", bytes(32))
USER = Account(2, "491511234567@s.whatsapp.net", 0, "491511234567", bytes(32))


def facts(recipient: Account, **changes: Any) -> RouteFacts:
    """What is known of a recipient whom everybody reaches, with changes."""
    account_id, jid, integrator, external_id = (
        recipient.account_id,
        recipient.jid,
        recipient.integrator,
        recipient.external_id,
    )
    good = RouteFacts(account_id, jid, integrator, external_id, True, True, False, False, True, 0, 0)
    return good._replace(**changes)


@pytest.mark.requirement("OPT-09")
@pytest.mark.parametrize(
    ("known", "end", "cause"),
    [
        (None, None, "no such account"),
        (None, AccountEnd.DELETED, "the account was deleted by its user"),
        (None, AccountEnd.EXPIRED, "the account was un-enlisted after thirty days without a connection"),
        (facts(USER, opted_in=False), None, "the recipient has not opted in for the sender's partner"),
        (facts(USER, partner_active=False), None, "the partner is not active"),
    ],
)
def test_the_operator_is_told_why_somebody_is_not_reached(
    known: RouteFacts | None, end: AccountEnd | None, cause: str
) -> None:
    """The refusal itself is the same for all of it (OPT-09)."""
    with pytest.raises(Refusal) as refused:
        decide_route(ADA, True, known, end)
    assert (refused.value.reason, refused.value.cause) == (Reason.RECIPIENT_NOT_REACHABLE, cause)
    assert str(refused.value) == str(Refusal(Reason.RECIPIENT_NOT_REACHABLE))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"recipient_blocked_sender": True}, ("ABU-02", "the recipient has blocked the sender")),
        (
            {"request_state": MessageRequestState.DECLINED},
            ("OPT-14", "the recipient has declined the sender's message request"),
        ),
    ],
)
@pytest.mark.requirement("ABU-02", "OPT-14")
def test_the_operator_is_told_why_something_is_dropped(changes: dict[str, Any], why: tuple[str, str]) -> None:
    """The sender is told nothing of it."""
    assert why_dropped(facts(USER, **changes)) == why


def test_of_an_account_that_was_just_found_nothing_more_is_known() -> None:
    """It was never connected, and is called as it is."""
    assert (ADA.last_connected_at_ms, ADA.stated_id, ADA.platform) == (0, "", None)
