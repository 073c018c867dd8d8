"""No message that can reach a client of a third party has a place for a WhatsApp user's profile (OPT-13)."""

import re
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FileDescriptor

from interop_api.v1 import (
    account_pb2,
    chat_pb2,
    enlistment_pb2,
    integrity_pb2,
    interop_pb2,
    media_pb2,
    prekeys_pb2,
    stanza_pb2,
)

FILES: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR
    for module in (account_pb2, chat_pb2, enlistment_pb2, integrity_pb2, interop_pb2, media_pb2, prekeys_pb2)
)
PROFILE_WORDS = frozenset(
    {
        "about", "address", "avatar", "bio", "birthday", "business", "city", "contact", "country", "display",
        "email", "emoji", "gender", "given", "image", "label", "language", "location", "mood", "name", "nick",
        "nickname", "online", "pen", "person", "phone", "photo", "picture", "platform", "presence", "profile",
        "pseudonym", "push", "seen", "status", "surname", "thumbnail", "title", "user", "username", "verified",
    }
)  # fmt: skip
"""Parts of field names that a profile, or what somebody is doing, could be told under."""
ALLOWED = {
    "PartnerListing.name": "of a partner, and to WhatsApp users only",
    "PartnerListing.status": "of a partner, and to WhatsApp users only",
    "ReachabilityPing.partner_name": "of a partner, and to WhatsApp users only",
    "ReachabilityPing.display_name": "what a third-party user calls themselves, and to WhatsApp users only",
    "Notification.trusted_contact": "that a WhatsApp user trusts the account: their JID and a time",
    "RetryReceipt.media_status": "what a download was answered with",
}


def words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))


def reached(message: Descriptor, seen: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """All messages that can lie in a message, itself included, by name."""
    if message.full_name not in seen:
        seen[message.full_name] = message
        for field in message.fields:
            if field.message_type is not None:
                reached(field.message_type, seen)
    return seen


def messages_to_clients() -> dict[str, Descriptor]:
    """All messages in the answer to any call of the protocol, or in what is sealed inside the chat stream."""
    seen: dict[str, Descriptor] = {}
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                reached(method.output_type, seen)
    return reached(stanza_pb2.Batch.DESCRIPTOR, seen)


def suspicious() -> Iterator[str]:
    for message in messages_to_clients().values():
        for field in message.fields:
            if words(field.name) & PROFILE_WORDS:
                yield f"{message.name}.{field.name}"


@pytest.mark.requirement("OPT-13")
def test_no_field_can_tell_a_profile() -> None:
    """Every field whose name sounds like part of one is known, with what it tells of whom (OPT-13)."""
    assert set(suspicious()) == set(ALLOWED)


@pytest.mark.requirement("OPT-13")
def test_the_search_covers_every_service_and_finds_what_it_looks_for() -> None:
    """All services, the stanzas and what lies in them; a field that is a profile's would be found."""
    reachable = messages_to_clients()
    services = [service for file in FILES for service in file.services_by_name.values()]
    assert len(services) == 7
    for part in ("Stanza", "Message", "Receipt", "Notification", "Resolved", "PreKeyBundle", "LoginSuccess"):
        assert f"interop_api.v1.{part}" in reachable
    for name in ("push_name", "photo_url", "about", "last_seen_ms", "is_online", "verified_name"):
        assert words(name) & PROFILE_WORDS, name


@pytest.mark.requirement("OPT-13")
def test_a_look_up_answers_with_the_identifier_that_was_asked_for() -> None:
    """And the JID: nothing that the asker did not know (OPT-13)."""
    assert set(interop_pb2.Resolved.DESCRIPTOR.fields_by_name) == {"jid", "normalized_external_id"}
    assert set(stanza_pb2.TrustedContact.DESCRIPTOR.fields_by_name) == {"jid", "expires_at_ms"}
