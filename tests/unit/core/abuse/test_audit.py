"""The audit: everything that is kept about somebody, why and for how long; and that nothing is kept longer."""

import dataclasses

import pytest

from interop_protocol.franking import reporting_token
from interop_server.core.abuse.audit import IN_MEMORY, STORED, KeptField
from interop_server.core.errors import Reason
from interop_server.core.journal import OPERATOR
from interop_server.core.limits import DAY_MS
from interop_server.core.messages import ReportedMessage
from interop_server.core.model import (
    Account,
    ConnectionFacts,
    ConnectionMode,
    IdentifierType,
    Sanction,
    SanctionKind,
    SpamFlow,
)
from tests.unit.core.world import BATS, OWLS, ClientKeys, World, message, partner, refused

pytestmark = pytest.mark.requirement("ABU-08")

SECRET = bytes(range(32))


async def audit(world: World, account: Account) -> list[list[KeptField]]:
    return [record async for record in world.audit.of_account(account.jid)]


def values(records: list[list[KeptField]], place: str, field: str) -> list[str]:
    return [kept.value for record in records for kept in record if (kept.place, kept.field) == (place, field)]


async def a_life(world: World) -> tuple[Account, Account]:
    """A WhatsApp user and a third-party user who have done everything that leaves something behind."""
    user, ada = await world.opted_in(), await world.enlisted()
    await world.prekeys.add(ada, ClientKeys().one_time(1, 3))
    await world.router.send_messages(user, [message(ada, "m1", b"nobody's business")])
    token = reporting_token(SECRET, ada.jid, user.jid, "m2", b"words")
    await world.router.send_messages(ada, [message(user, "m2")._replace(reporting_token=token)])
    await world.reports.report(user, ada.jid, SpamFlow.MESSAGE_MENU, [ReportedMessage("m2", None)])
    await world.blocklist.block(user, ada.jid)
    lock = Sanction(SanctionKind.NEW_CHATS_LOCKED, 0, world.clock.now_ms() + DAY_MS)
    await world.standing.impose(ada, lock, OPERATOR, "scripted")
    facts = ConnectionFacts(ada, ConnectionMode.DIRECT, "", "ipv4:198.51.100.7:1", world.clock.now_ms())
    world.connections.known[ada.account_id] = facts
    await world.challenges.begin(ada)
    return user, ada


async def test_every_field_has_a_place_a_value_and_a_purpose(world: World) -> None:
    """By place; what it is for, how long it is kept, and by which requirement."""
    _, ada = await a_life(world)
    records = await audit(world, ada)
    places = [record[0].place for record in records]
    stored = [place for place in places if place in STORED]
    assert stored == sorted(stored) and places[len(stored) :] == ["challenge", "connection", "journal"]
    for record in records:
        assert [kept.field for kept in record] == sorted((STORED | IN_MEMORY)[record[0].place].fields)
        assert all("; kept " in kept.purpose and "{" not in kept.purpose for kept in record)
    assert values(records, "account", "external_id") == ["ada"]
    assert values(records, "account", "auth_key") == [ClientKeys().auth_key.hex()]
    assert values(records, "sanction", "kind") == ["1"]
    assert values(records, "connection", "peer_address") == ["ipv4:198.51.100.7:1"]
    entries, _ = world.journal.after(0, 10_000)
    about_ada = [entry for entry in entries if ada.jid in (entry.actor, entry.subject)]
    assert 0 < len(about_ada) < len(entries)
    assert values(records, "journal", "entries") == [str(len(about_ada))]
    mailbox = next(record for record in records if record[0].place == "mailbox")
    assert "30 days at most (MSG-07)" in mailbox[0].purpose


async def test_contents_and_secrets_are_not_shown(world: World) -> None:
    """Ciphertext as its length; codes, prompts and session tokens not at all."""
    _, ada = await a_life(world)
    challenge = await world.challenges.waiting(ada)
    assert challenge is not None
    records = await audit(world, ada)
    dump = repr(records)
    assert "17 bytes" in values(records, "mailbox", "content")
    assert "nobody's business" not in dump and b"nobody's business".hex() not in dump
    for secret in (challenge.code, challenge.prompt, challenge.token):
        assert f"'{secret}'" not in dump
    assert values(records, "connection", "session_token") == values(records, "challenge", "answers")


async def test_an_account_is_shown_by_its_person_too(world: World) -> None:
    """And what is left of somebody who has none any more: a JID, and how they stand."""
    _, ada = await a_life(world)
    by_person = [record async for record in world.audit.of_person(*ada.external_user)]
    assert by_person == await audit(world, ada)
    world.connections.known.clear()
    await world.deletion.delete(ada)
    assert [record[0].place for record in await audit(world, ada)] == ["blocked", "given_jid"]
    left = [record async for record in world.audit.of_person(*ada.external_user)]
    assert [record[0].place for record in left] == ["counted_report", "sanction"]
    assert values(left, "counted_report", "reporter_sha256") == ["another user"]


@pytest.mark.requirement("OPT-08")
async def test_a_person_is_found_by_any_form_of_their_name(world: World) -> None:
    """And an account by any form of its JID: it must not be said of anybody that nothing is kept, when something is."""
    await world.register(partner(OWLS, identifier_type=IdentifierType.PHONE))
    ada, owl = await world.enlisted("Ren\u00e9"), await world.enlisted("+49 1511 234 5678", OWLS)
    user = await world.whatsapp_user("+491511234567")
    for account, forms in (
        (ada, ("ren\u00e9", "Ren\u00e9", " RENE\u0301 ")),
        (owl, ("4915112345678", "+49 1511 2345678")),
        (user, ("491511234567", "+49 (1511) 234567")),
    ):
        kept = await audit(world, account)
        for form in forms:
            assert [record async for record in world.audit.of_person(account.integrator, form)] == kept, form
        with_device = account.jid.replace("@", ":0@")
        assert [record async for record in world.audit.of_account(with_device)] == kept
    with refused(Reason.REQUEST_MALFORMED, "ENL-02"):
        assert [record async for record in world.audit.of_person(BATS, "a b")]
    with refused(Reason.NOT_REGISTERED, "ABU-08"):
        assert [record async for record in world.audit.of_person(999, "ren\u00e9")]


async def test_whoever_never_was_is_not_shown(world: World) -> None:
    """Nothing is kept of them."""
    for jid in (f"{BATS}-99999999999999@interop", "ada", ""):
        with refused(Reason.NOT_REGISTERED):
            async for _ in world.audit.of_account(jid):
                pass


REQUIREMENTS = {
    "account": "ENL-12", "given_jid": "ENL-12", "published_keys": "KEY-01", "one_time_prekey": "KEY-05",
    "one_time_prekey_history": "KEY-04", "prekey_publication": "KEY-04", "kem_prekey": "KEY-15",
    "kem_prekey_history": "KEY-15", "interop_settings": "OPT-01", "opt_in": "OPT-01", "muted_partner": "OPT-11",
    "reachability_ping": "OPT-12", "chat": "OPT-06", "mailbox": "MSG-07", "sent_message": "MSG-04", "blocked": "ABU-01",
    "sanction": "ABU-05", "counted_report": "ABU-04", "media": "MED-04", "connection": "PRX-05", "challenge": "ABU-06",
    "journal": "SIM-07",
}  # fmt: skip


async def test_every_place_names_the_rule_that_it_is_kept_for(world: World) -> None:
    """In the catalogue, and after each purpose that is shown."""
    assert {place: kept.requirement for place, kept in (STORED | IN_MEMORY).items()} == REQUIREMENTS
    _, ada = await a_life(world)
    for kept in [kept for record in await audit(world, ada) for kept in record]:
        assert kept.purpose.endswith(f" ({REQUIREMENTS[kept.place]})")


def test_everything_that_is_known_of_a_connection_is_in_the_catalogue() -> None:
    """As for the tables: what has no purpose there is not kept."""
    known = {field.name for field in dataclasses.fields(ConnectionFacts)} - {"account"}
    assert known == IN_MEMORY["connection"].fields.keys() - {"session_token"}


async def test_nothing_is_kept_longer_than_it_says(world: World) -> None:
    """Sixty-one days later, only choices, chats and keys of accounts that last are there.

    1. Blocks, opt-ins and chats belong to the accounts.
    2. Of messages, reports and sanctions nothing is left.
    """
    user, ada = await a_life(world)
    world.clock.advance(61 * DAY_MS)
    world.connections.online.add(ada.account_id)
    await world.sweep()
    assert (await world.store.count_rows()).keys() >= STORED.keys()
    rows = await world.store.count_rows()
    assert {table: rows[table] for table in ("mailbox", "sent_message", "sanction", "counted_report", "media")} == {
        "mailbox": 0, "sent_message": 0, "sanction": 0, "counted_report": 0, "media": 0,
    }  # fmt: skip
    assert rows["chat"] == rows["blocked"] == 1
    assert await world.challenges.waiting(ada) is None
    assert user.is_whatsapp


def test_what_is_kept_of_a_blob_is_said_in_a_few_words() -> None:
    """As operators read it: what names it, where it is, whose it is, and from when until when."""
    assert STORED["media"].fields == {
        "sha256": "names the blob",
        "direct_path": "where it is downloaded",
        "length": "how long it is",
        "owner_id": "who uploaded it",
        "created_at_ms": "when",
        "expires_at_ms": "until when",
    }
