"""The numbers that others count on, as literals: tests that use a constant by its name do not see it change.

Limits that an operator can set stand in limits.toml, numbers of the content format in test_content_numbers.py.
"""

from enum import EnumType
from types import ModuleType

import pytest

from interop_client.media import crypto
from interop_client.signal import chain, kem, keys, ratchet, session, snapshot, store
from interop_client.signal import messages as signal_messages
from interop_protocol import sizes
from interop_server.core import capabilities, identifiers, journal, limits, messages, model, paging, sweeps, troubles
from interop_server.core.abuse import challenges, reports, standing
from interop_server.core.consent import optin, reachability
from interop_server.core.keys import store as key_store
from interop_server.core.messaging import mailbox, receipts
from interop_server.core.operator import clock_control, operator
from interop_server.storage.sqlite import belongings, database

SIZES = {
    "PROTOCOL_VERSION": 1, "UNNAMED_PROTOCOL_VERSION": 1,
    "PUBLIC_KEY_BYTES": 32, "PRIVATE_KEY_BYTES": 32, "SIGNATURE_BYTES": 64, "REGISTRATION_ID_BYTES": 4,
    "PREKEY_ID_BYTES": 3, "MIN_PREKEY_ID": 1, "MAX_PREKEY_ID": 16_777_215, "MAX_ONE_TIME_PREKEYS": 20_000,
    "MAX_DEVICES": 100, "MAX_BUNDLE_USERS": 256, "KEM_PUBLIC_KEY_BYTES": 1_568, "MAX_KEM_PREKEYS": 5_000,
    "KEY_DIGEST_BYTES": 20, "MAX_TOKEN_BYTES": 4_096, "MIN_INTEGRATOR": 1, "MAX_INTEGRATOR": 999,
    "MAX_JID_CHARACTERS": 128, "MAX_ACCOUNT_ID": 18_446_744_073_709_551_615,
    "JID_NUMBER_MIN": 10_000_000_000_000, "JID_NUMBER_MAX": 99_999_999_999_999, "MAX_RESOLVE_USERS": 256,
    "MAX_RETRIES": 5, "SHA256_BYTES": 32, "TAG_BYTES": 16, "MAX_ACK_IDS": 4_096, "MAX_RECEIPT_IDS": 256,
    "MAX_OFFLINE_BATCH": 200, "MAX_SERVER_FRAME_BYTES": 4_194_240, "MIN_CLIENT_FRAME_BYTES": 131_072,
    "MAX_FRAME_BYTES": 16_777_215,
}  # fmt: skip
"""Of the protocol: all of them."""
OTHERS: list[tuple[ModuleType, dict[str, object]]] = [
    (crypto, {"MEDIA_KEY_BYTES": 32, "MAC_BYTES": 10, "CHUNK_BYTES": 1_048_576}),
    (chain, {"MAX_FORWARD_JUMP": 25_000, "MAX_ARCHIVED_JUMP": 2_000, "MAX_SKIPPED_KEYS": 2_000}),
    (kem, {"SEED_BYTES": 64}),
    (keys, {"ENCODED_KEY_BYTES": 33}),
    (signal_messages, {"SESSION_VERSION": 3, "MAC_BYTES": 8, "MAX_MESSAGE_BYTES": 1_048_576}),
    (ratchet, {"MAX_RECEIVING_CHAINS": 5}),
    (session, {"MAX_ARCHIVED_SESSIONS": 40}),
    (snapshot, {"VERSION": 2}),
    (store, {"MAX_SIGNED_PREKEYS": 5, "MAX_RETIRED_PREKEYS": 200}),
    (identifiers, {"MAX_IDENTIFIER_BYTES": 320}),
    (journal, {
        "MAX_ENTRIES": 100_000, "MAX_FIELD_CHARACTERS": 320, "MAX_WIDE_CHARACTERS": 80, "REQUEST_ID_BYTES": 8,
        "RUN_ID_BYTES": 4, "DEFAULT_NODE": "node-1",
    }),
    (limits, {
        "SECOND_MS": 1_000, "HOUR_MS": 3_600_000, "DAY_MS": 86_400_000, "STANZA_OVERHEAD_BYTES": 512,
        "EARLIEST_TIME_MS": 946_684_800_000, "LATEST_TIME_MS": 253_402_300_799_999,
    }),
    (model, {"PRIMARY_DEVICE": 0}),
    (paging, {"DEFAULT_PAGE": 100, "MAX_PAGE": 1_000, "MAX_TOKEN_CHARACTERS": 200}),
    (sweeps, {"STEP": 1_000}),
    (troubles, {"JOURNAL_FILE": "journal", "STORAGE": "storage", "BLOBS": "blobs"}),
    (challenges, {"MAX_ANSWER_CHARACTERS": 64}),
    (reports, {"MAX_REPORTED_MESSAGES": 16}),
    (standing, {"TOO_MANY_NEW_CHATS": 101, "REPORTED_BY_MANY": 102, "MAX_SANCTION_SECONDS": 31_536_000}),
    (optin, {"TERMS_ID": "20240306"}),
    (reachability, {"MAX_DISPLAY_NAME_CHARACTERS": 64}),
    (key_store, {"MAX_PUBLICATIONS": 100}),
    (mailbox, {"PAGE_BYTES": 262_144, "UNKNOWN_STANZA": 488}),
    (receipts, {"MEDIA_STATUSES": {404, 410}}),
    (clock_control, {"MAX_ADVANCE_MS": 315_360_000_000}),
    (operator, {"MAX_NAME_CHARACTERS": 128, "MAX_URL_CHARACTERS": 512}),
    (belongings, {"STEP_ROWS": 1_000}),
    (database, {"APPLICATION_ID": 1_229_934_675}),
]  # fmt: skip

ENUMS = {
    "Capability": {
        "TYPING": 1, "REACHABILITY_PINGS": 2, "TRUSTED_CONTACTS": 3, "CHALLENGES": 4, "KEY_DIGESTS": 5,
        "MESSAGE_REQUESTS": 6, "KEM_PREKEYS": 7,
    },
    "CiphertextType": {"PREKEY_MESSAGE": 1, "DOUBLE_RATCHET": 2, "SENDER_KEY": 3},
    "MessageType": {"TEXT": 1, "MEDIA": 2, "REACTION": 3},
    "ReceiptType": {"DELIVERED": 1, "READ": 2},
    "RetryReason": {
        "UNKNOWN": 0, "NO_SESSION": 1, "INVALID_KEY": 2, "INVALID_KEY_ID": 3, "INVALID_MESSAGE": 4,
        "INVALID_SIGNATURE": 5, "FUTURE_MESSAGE": 6, "BAD_MAC": 7, "INVALID_SESSION": 8, "INVALID_MESSAGE_KEY": 9,
        "BAD_BROADCAST_EPHEMERAL": 10, "UNKNOWN_COMPANION": 11, "DEVICE_IDENTITY_FAILURE": 12,
        "STATUS_REVOKE_DELAY": 13,
    },
    "TypingState": {"COMPOSING": 1, "RECORDING": 2, "PAUSED": 3},
    "NotificationType": {
        "IDENTITY_CHANGED": 2, "REACHABILITY_PING": 3, "TRUSTED_CONTACT": 4, "DIGEST_REQUESTED": 5,
        "CHALLENGE_CODE": 6,
    },
    "StanzaKind": {"MESSAGE": 1, "RECEIPT": 2, "NOTIFICATION": 3, "RETRY_RECEIPT": 4},
    "RetryOutcome": {"FORWARDED": 1, "NEVER_SENT": 2, "TOO_MANY": 3},
    "PartnerStatus": {"ACTIVE": 1, "ONBOARDING": 2, "REMOVED": 3, "SUSPENDED": 4},
    "IdentifierType": {"EMAIL": 1, "PHONE": 2, "USERNAME": 3},
    "Platform": {"ANDROID": 1, "IOS": 2, "WEB": 3, "DESKTOP": 4},
    "InboxMode": {"SEPARATE": 1, "COMBINED": 2},
    "AccountEnd": {"DELETED": 1, "EXPIRED": 2},
    "ConnectionMode": {"DIRECT": 1, "PROXY": 2},
    "MessageRequestState": {"REQUESTED": 1, "ACCEPTED": 2, "DECLINED": 3},
    "SpamFlow": {"MESSAGE_MENU": 1, "CONTACT_INFO": 2, "ACCOUNT_INFO_BLOCK": 3, "MESSAGE_REQUEST": 4},
    "ChallengeOption": {"CHANNEL": 1, "CAPTCHA": 2},
    "SanctionKind": {"NEW_CHATS_LOCKED": 1, "TEMPORARY_BAN": 2, "BAN": 3},
    "PreKeyKind": {"ONE_TIME": "one-time", "KEM": "one-time KEM"},
    "PingFate": {"DELIVERED": 1, "DROPPED": 2, "OUTSTANDING": 3, "CROWDED": 4},
}  # fmt: skip
"""What the store or a client knows by its number."""


def test_the_sizes_of_the_protocol_are_what_both_sides_know() -> None:
    """Each of them, and no other."""
    assert {name: value for name, value in vars(sizes).items() if name.isupper()} == SIZES


@pytest.mark.parametrize(("module", "numbers"), OTHERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_number_is_what_it_was(module: ModuleType, numbers: dict[str, object]) -> None:
    """Bounds that are documented, and what is stored in a file or sent to others."""
    assert {name: getattr(module, name) for name in numbers} == numbers


def test_what_is_stored_by_number_keeps_its_number() -> None:
    """Every member of every kind, and no other: a store that is there must stay readable."""
    found = {
        name: {each.name: each.value for each in kind}
        for module in (capabilities, messages, model)
        for name, kind in vars(module).items()
        if isinstance(kind, EnumType) and kind.__module__ == module.__name__
    }
    assert found == ENUMS
