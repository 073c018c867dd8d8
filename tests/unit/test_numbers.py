"""The numbers that others count on, as literals: tests that use a constant by its name do not see it change.

Limits that an operator can set stand in limits.toml, numbers of the content format in test_content_numbers.py. Numbers
of policy are here as well: how long a lease is, or how much is done at once, is chosen, and changes on purpose only.
"""

import ast
import importlib
from enum import EnumType
from types import ModuleType

import pytest

from interop_client.media import crypto
from interop_client.signal import chain, content, kem, keys, ratchet, session, snapshot, store
from interop_client.signal import messages as signal_messages
from interop_protocol import (
    content_types,
    curve_keys,
    digest,
    fault_files,
    jid,
    noise,
    sizes,
    times,
    toml_text,
    whole_numbers,
    xeddsa_keys,
)
from interop_server.core import (
    capabilities,
    fault_checks,
    fault_rules,
    faults,
    identifiers,
    journal,
    limits,
    messages,
    model,
    newest,
    nodes,
    paging,
    ratelimit,
    reasons,
    sweeps,
    trace,
    troubles,
)
from interop_server.core.abuse import audit, challenges, reports, scoring, standing
from interop_server.core.consent import optin, reachability
from interop_server.core.enlistment import absence, client_ip
from interop_server.core.keys import kem_prekeys
from interop_server.core.keys import prekeys as key_rules
from interop_server.core.keys import store as key_store
from interop_server.core.media import grants, media
from interop_server.core.messaging import mailbox, receipts
from interop_server.core.operator import clock_control, operator
from interop_server.storage import groups
from interop_server.storage.postgres import belongings as postgres_belongings
from interop_server.storage.postgres import buckets, clock, holds, prekeys
from interop_server.storage.postgres import database as postgres_database
from interop_server.storage.postgres import engine as postgres_engine
from interop_server.storage.postgres import mailbox as postgres_mailbox
from interop_server.storage.postgres import nodes as postgres_nodes
from interop_server.storage.postgres import routes as postgres_routes
from interop_server.storage.postgres import session as postgres_session
from interop_server.storage.sqlite import belongings, database, engine, routes, rows
from interop_server.storage.sqlite import faults as sqlite_faults
from tests.mutants.rooms import ROOT, module_name, rooms
from tests.unit.test_content_numbers import CONSTANTS

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
    (crypto, {
        "MEDIA_KEY_BYTES": 32, "MAC_BYTES": 10, "CHUNK_BYTES": 1_048_576, "_BLOCK_BYTES": 16, "_EXPANDED_BYTES": 112,
    }),
    (curve_keys, {
        "FIELD_PRIME": 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFED, "_TOP_BIT": 128,
        "_LOW_ORDER": frozenset({
            0, 1, 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEC,
            325606250916557431795983626356110631294008115727848805560023387167927233504,
            39382357235489614581723060781553021112529911719440698176882885853963445705823,
        }),
    }),
    (digest, {"_PHASH_BYTES": 6}),
    (fault_files, {
        "MAX_FILE_BYTES": 1_048_576, "_BYTES": 12, "_ENUM": 14, "_MESSAGE": 11,
        "_WHOLE": frozenset({3, 4, 5, 13, 17, 18}),
    }),
    (jid, {"_CACHED_JIDS": 16_384}),
    (content_types, {"MAX_CHARACTERS": 256}),
    (noise, {"_MAX_COUNTER": 4_294_967_295}),
    (times, {
        "_UNITS_MS": {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1},
        "MAX_DURATION_MS": 253_402_300_799_999,
    }),
    (toml_text, {"MAX_DOTS": 16}),
    (whole_numbers, {"_MAX_DIGITS": 100}),
    (xeddsa_keys, {"_SIGN_BIT": 128}),
    (chain, {"MAX_FORWARD_JUMP": 25_000, "MAX_ARCHIVED_JUMP": 2_000, "MAX_SKIPPED_KEYS": 2_000}),
    (kem, {"SEED_BYTES": 64}),
    (keys, {"ENCODED_KEY_BYTES": 33}),
    (content, {"MAX_QUOTE_BYTES": 16_384, "MAX_CONTENT_BYTES": 97_280, "_SUPPORTED_CHANGES": (0, 14)}),
    (signal_messages, {"SESSION_VERSION": 3, "MAC_BYTES": 8, "MAX_MESSAGE_BYTES": 1_048_576, "_BLOCK_BYTES": 16}),
    (ratchet, {"MAX_RECEIVING_CHAINS": 5}),
    (session, {"MAX_ARCHIVED_SESSIONS": 40, "_BLOCK_BITS": 128}),
    (snapshot, {"VERSION": 2, "_READABLE": (1, 2)}),
    (store, {"MAX_SIGNED_PREKEYS": 5, "MAX_RETIRED_PREKEYS": 200, "_MAX_REGISTRATION_ID": 4_294_967_295}),
    (identifiers, {"MAX_IDENTIFIER_BYTES": 320, "_MOST_WRITTEN_BYTES": 1_280}),
    (fault_checks, {
        "MAX_FAULTS": 100, "MAX_REPLACEMENTS": 5, "MAX_FORGED_CHARACTERS": 320, "_MOST_NAMED": 20,
        "_RANGES": {
            "delay_ms": (1, 2_592_000_000), "copies": (1, 100), "bits": (1, 1_024), "keep_bytes": (0, 4_294_967_295),
            "flip_bits": (0, 1_024), "extra_bytes": (0, 1_048_576), "http_status": (200, 599),
            "chunk_delay_ms": (0, 2_592_000_000), "retry_after_ms": (0, 2_592_000_000),
            "timestamp_ms": (0, 9_223_372_036_854_775_807), "delivery_id": (0, 9_223_372_036_854_775_807),
        },
    }),
    (fault_rules, {
        "MAX_COPIES": 100, "MAX_BITS": 1_024, "MAX_DELAY_MS": 2_592_000_000, "MAX_NUMBER": 4_294_967_295,
        "MAX_VALUE_BYTES": 2_048,
    }),
    (faults, {"MAX_REMEMBERED": 1_000}),
    (newest, {"RUN_ID_BYTES": 4}),
    (nodes, {"NOWHERE": 0}),
    (ratelimit, {"_MAX_KEYS": 100_000, "_FORGOTTEN_AT_ONCE": 2, "_PARTS": 10**18, "_LATEST_FULL_MS": 2**62}),
    (reasons, {"_BACK_OFF_MS": 1_000, "_NEW_KEYS": 406}),
    (trace, {"ENTRY_BYTES": 400}),
    (journal, {
        "MAX_ENTRIES": 100_000, "MAX_FIELD_CHARACTERS": 320, "MAX_WIDE_CHARACTERS": 80, "REQUEST_ID_BYTES": 8,
        "RUN_ID_BYTES": 4, "DEFAULT_NODE": "node-1",
    }),
    (limits, {
        "LONGEST_REPEATABLE_BYTES": 1_048_576,
        "SECOND_MS": 1_000, "HOUR_MS": 3_600_000, "DAY_MS": 86_400_000, "STANZA_OVERHEAD_BYTES": 512,
        "LEAST_UPLOAD_BYTES": 65_536,
        "EARLIEST_TIME_MS": 946_684_800_000, "LATEST_TIME_MS": 253_402_300_799_999,
    }),
    (model, {"PRIMARY_DEVICE": 0}),
    (paging, {"DEFAULT_PAGE": 100, "MAX_PAGE": 1_000, "MAX_TOKEN_CHARACTERS": 200, "_CHECK_DIGITS": 16}),
    (sweeps, {"STEP": 1_000}),
    (troubles, {"JOURNAL_FILE": "journal", "STORAGE": "storage", "BLOBS": "blobs"}),
    (audit, {"_PAGE": 500}),
    (challenges, {"MAX_ANSWER_CHARACTERS": 64, "_TOKEN_BYTES": 16, "_DIGITS": 6}),
    (reports, {"MAX_REPORTED_MESSAGES": 16, "_REPORT_ID_BYTES": 8}),
    (scoring, {"MAX_POINTS": 4_294_967_295}),
    (standing, {"TOO_MANY_NEW_CHATS": 101, "REPORTED_BY_MANY": 102, "MAX_SANCTION_SECONDS": 31_536_000}),
    (optin, {"TERMS_ID": "20240306"}),
    (reachability, {"MAX_DISPLAY_NAME_CHARACTERS": 64}),
    (absence, {"_AT_ONCE": 200}),
    (client_ip, {"_SITE_PREFIX_BITS": 64, "_MAPPED_PREFIX_BITS": 96, "_REMEMBERED": 256, "_MAX_CHARACTERS": 64}),
    (kem_prekeys, {"_CHECKED_AT_ONCE": 16}),
    (key_rules, {"_LISTED_AT_ONCE": 1_000}),
    (key_store, {"MAX_PUBLICATIONS": 100}),
    (grants, {"_KEY_BYTES": 32, "_TIME_BYTES": 8, "_NONCE_BYTES": 8, "_SIGNATURE_BYTES": 16, "_GRANT_BYTES": 32}),
    (media, {"_PATH_BYTES": 24, "_PATH_CHARACTERS": 32, "_CHECK_CHARACTERS": 8}),
    (mailbox, {"PAGE_BYTES": 262_144, "UNKNOWN_STANZA": 488}),
    (receipts, {"MEDIA_STATUSES": {404, 410}, "_FIRST_WITH_KEYS": 2}),
    (clock_control, {"MAX_ADVANCE_MS": 315_360_000_000}),
    (operator, {"MAX_NAME_CHARACTERS": 128, "MAX_URL_CHARACTERS": 512}),
    (groups, {"MAX_WAITING": 256}),
    (belongings, {"STEP_ROWS": 1_000}),
    (database, {"APPLICATION_ID": 1_229_934_675}),
    (engine, {"_BUSY_SECONDS": 5.0, "_CACHED_STATEMENTS": 256}),
    (routes, {"_MAX_COUNTED_ITEMS": 100_000}),
    (rows, {"_SIZES": (256, 64, 16, 4, 1)}),
    (sqlite_faults, {
        "_LASTING": frozenset({11, 26}), "_OF_THE_FILE": frozenset({3, 5, 6, 7, 8, 10, 11, 13, 14, 26}),
    }),
    (buckets, {"_KEPT_MS": 604_800_000}),
    (postgres_belongings, {"STEP_ROWS": 1_000}),
    (clock, {"_MOST_SKEW_MS": 5_000}),
    (postgres_database, {"LEAST_VERSION": 160_000}),
    (postgres_engine, {"_MOST_ITEMS": 512, "_TRIES": 4, "_READERS": 3}),
    (buckets, {"_KEPT_MS": 7 * 24 * 3_600_000}),
    (holds, {"TURN_SECONDS": 0.05, "TURNS": 400, "_DIGITS": 16, "_KEYS": 18_446_744_073_709_551_616}),
    (postgres_mailbox, {"_SENT_COLUMNS": 7, "_MAILBOX_COLUMNS": 12, "_CHAT_COLUMNS": 6}),
    (postgres_nodes, {"LEASE_SECONDS": 5, "_FORGET_SECONDS": 60, "_LONGEST_LIST": 10_000}),
    (prekeys, {"_KEY_COLUMNS": 6}),
    (postgres_routes, {"_MAX_COUNTED_ITEMS": 100_000}),
    (postgres_session, {"CONNECT_SECONDS": 5.0, "ANSWER_SECONDS": 20.0, "_CACHED_STATEMENTS": 512}),
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


def is_number(value: object) -> bool:
    """Whether a value is a number, or consists of nothing else."""
    if isinstance(value, dict):
        return bool(value) and all(map(is_number, value.values()))
    if isinstance(value, tuple | frozenset | set):
        return bool(value) and all(map(is_number, value))
    return type(value) in (int, float)


def numbers_of(file: str) -> set[str]:
    """The names that a module gives to numbers of its own."""
    module = importlib.import_module(module_name(file))
    given = [each for each in ast.parse((ROOT / file).read_text()).body if isinstance(each, ast.Assign | ast.AnnAssign)]
    targets = [target for each in given for target in (each.targets if isinstance(each, ast.Assign) else [each.target])]
    names = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return {name for name in names if is_number(getattr(module, name))}


def test_every_number_stands_here() -> None:
    """A number of the core, the protocol, the sessions and the storage that gets a name belongs into a list above."""
    pinned = {sizes.__name__: set(SIZES)}
    for module, known in (*OTHERS, *CONSTANTS):
        pinned.setdefault(module.__name__, set()).update(known)
    files = [file for room in rooms() for file in room.files]
    found = {(module_name(file), name) for file in files for name in numbers_of(file)}
    assert found - {(module, name) for module, names in pinned.items() for name in names} == set()
