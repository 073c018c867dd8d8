"""The audit through a running server: everything that is kept about somebody, to the operator alone."""

import json
from pathlib import Path

import pytest

from interop_api.admin.v1alpha1 import standing_pb2
from interop_client.client import InteropClient
from interop_client.messaging.events import ChallengeCode, TextReceived
from interop_server.core.abuse.audit import IN_MEMORY, STORED
from tests.e2e.conftest import World
from tests.e2e.program import run
from tests.e2e.raw import QUIET, refused

pytestmark = pytest.mark.requirement("ABU-08")

WORDS = "the quick brown fox"


async def audit(world: World, client: InteropClient) -> list[list[standing_pb2.KeptField]]:
    return [record async for record in world.admin.audit_account(client.jid)]


def values(records: list[list[standing_pb2.KeptField]], place: str, field: str) -> set[str]:
    return {kept.value for record in records for kept in record if (kept.place, kept.field) == (place, field)}


async def test_the_operator_sees_every_field_that_is_kept(world: World) -> None:
    """Bob writes, is reported, blocked and locked, and answers no challenge; Carol is away, so that something waits.

    1. Of each record every field is there, with its purpose.
    2. Nobody's words are, nor any secret, nor who has blocked or reported him.
    3. Of Alice there is the same, from her side.
    """
    alice, carol, bob = await world.whatsapp(), await world.whatsapp(), await world.third_party("bob", QUIET)
    await carol.close()
    await bob.send_text(carol.jid, WORDS)
    await bob.send_text(alice.jid, WORDS)
    await alice.report(bob.jid, [await alice.wait_for(TextReceived)], reveal=True)
    await alice.send_text(bob.jid, WORDS)
    await bob.wait_for(TextReceived)
    challenge = await bob.request_challenge()
    code = (await bob.wait_for(ChallengeCode)).digits
    await world.admin.impose_sanction(bob.jid, standing_pb2.SANCTION_KIND_NEW_CHATS_LOCKED, 3_600)
    await alice.block(bob.jid)
    await alice.close()

    records = await audit(world, bob)
    assert len(records) > 50
    for record in records:
        kept = (STORED | IN_MEMORY)[record[0].place]
        assert [field.field for field in record] == sorted(kept.fields)
        assert all(field.purpose for field in record)
    assert values(records, "account", "external_id") == {"bob"}
    assert values(records, "account", "auth_key") == {bob.state.auth_public_key.hex()}
    assert values(records, "chat", "whatsapp_id") == {alice.jid, carol.jid}
    assert carol.jid in values(records, "mailbox", "recipient_id")
    assert all(value.endswith(" bytes") for value in values(records, "mailbox", "content"))
    assert values(records, "blocked", "account_id") == values(records, "counted_report", "reporter_sha256")
    assert values(records, "blocked", "account_id") == {"another user"}
    assert values(records, "sanction", "kind") == {"1"}
    assert values(records, "connection", "mode") == {"direct"}
    assert int(values(records, "journal", "entries").pop()) > 3
    dump = str(records)
    for secret in (WORDS, WORDS.encode().hex(), challenge.challenge_id, challenge.captcha_prompt[::-1]):
        assert f'"{secret}"' not in dump
    assert f'"{code}"' not in dump

    of_alice = await audit(world, alice)
    assert values(of_alice, "blocked", "jid") == {bob.jid} and values(of_alice, "blocked", "account_id") == {alice.jid}
    assert values(of_alice, "opt_in", "integrator") == {str(world.integrator)}
    assert not values(of_alice, "connection", "mode")


async def test_of_a_deleted_account_little_is_left(world: World) -> None:
    """That its JID was given out; and by its person, how that one stands."""
    bob = await world.third_party("bob", QUIET)
    await world.admin.impose_sanction(bob.jid, standing_pb2.SANCTION_KIND_NEW_CHATS_LOCKED, 3_600)
    await bob.delete_account()
    assert {record[0].place for record in await audit(world, bob)} == {"given_jid"}
    by_person = world.admin.audit_account(integrator=world.integrator, external_id="bob")
    assert {record[0].place async for record in by_person} == {"sanction"}


async def test_of_nobody_there_is_nothing(world: World) -> None:
    """A person of whom nothing is kept has no record; a JID that never was is none."""
    nobody = world.admin.audit_account(integrator=world.integrator, external_id="nobody")
    assert [record async for record in nobody] == []
    for jid in ("999-12345678901234@interop", "bob"):
        with refused("NOT_REGISTERED", jid):
            assert [record async for record in world.admin.audit_account(jid)]
    with refused("REQUEST_MALFORMED"):
        assert [record async for record in world.admin.audit_account()]
    with refused("NOT_REGISTERED"):
        assert [record async for record in world.admin.audit_account(integrator=1_000, external_id="nobody")]
    with refused("REQUEST_MALFORMED"):
        assert [record async for record in world.admin.audit_account(integrator=world.integrator, external_id="a b")]


async def test_an_operator_reads_it_on_the_command_line(world: World, tmp_path: Path) -> None:
    """As text for people, the first few of each kind; as JSON for machines, all."""
    bob = await world.third_party("bob", QUIET)
    ended = await run(tmp_path, "audit", bob.jid, "--admin", world.endpoint.admin)
    assert (ended.code, ended.stderr) == (0, "")
    for said in (
        "account: 1 record, kept as long as the account lasts",
        "one_time_prekey: 20 records, kept until it is taken",
        "  and 17 more\n",
        bob.jid,
        "(KEY-05)",
    ):
        assert said in ended.stdout, said
    ended = await run(tmp_path, "audit", bob.jid, "--json", "--admin", world.endpoint.admin)
    dump = json.loads(ended.stdout)
    assert [record["place"] for record in dump["records"]].count("one_time_prekey") == 20
    assert dump["records"][0] == {"place": "account", "fields": dump["records"][0]["fields"]}
    assert "one_time_prekey.public_key" in dump["purposes"]
    ended = await run(tmp_path, "audit", "nobody", "--admin", world.endpoint.admin)
    assert ended.code == 1 and "NOT_REGISTERED" in ended.stderr
