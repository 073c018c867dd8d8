"""Optional parts of the protocol: who knows which, and what is not sent to a client that lacks one."""

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_server.core.capabilities import NEEDED, Capability, offered, withheld_from
from interop_server.core.limits import Limits
from interop_server.core.messages import NotificationType

BASE = {NotificationType.IDENTITY_CHANGED}
"""What every client must know: without it, it goes on writing to a key that is gone."""


def test_names_and_numbers_are_those_of_the_contract() -> None:
    """What the server reads as a number is what a client has named."""
    named = {name.removeprefix("CAPABILITY_"): number for name, number in chat_pb2.Capability.items()}
    assert named == {known.name: known.value for known in Capability} | {"UNSPECIFIED": 0}


def test_every_notification_belongs_to_the_base_or_needs_a_capability() -> None:
    """One that is added must decide: sent to an older client without a capability, it would be nacked each time."""
    events = {event.number: event.name for event in stanza_pb2.Notification.DESCRIPTOR.oneofs[0].fields}
    assert events == {about.value: about.name.lower() for about in NotificationType} | {1: "prekeys_low"}
    assert BASE | set(NEEDED) == set(NotificationType)
    assert not BASE & set(NEEDED)


def test_what_is_switched_off_is_not_offered() -> None:
    """Post-quantum prekeys, unless the operator has them on (KEY-15)."""
    assert offered(Limits(kem_prekeys=True)) == set(Capability)
    assert offered(Limits()) == set(Capability) - {Capability.KEM_PREKEYS}


def test_only_what_a_client_lacks_is_withheld() -> None:
    """All of it from a client that names nothing, nothing from one that names all."""
    assert withheld_from(frozenset()) == set(NEEDED)
    assert withheld_from(frozenset(Capability)) == frozenset()
    for about, needed in NEEDED.items():
        assert withheld_from(frozenset(Capability) - {needed}) == {about}
