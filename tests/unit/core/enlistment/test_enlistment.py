"""How a token and a set of keys become an account, and what becomes of the keys that were there before."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from interop_protocol.encoding import decode_base64url
from interop_server.core.enlistment.enlistment import EnlistmentForm, check_form_keys
from interop_server.core.errors import Reason
from interop_server.core.mailbox_content import IdentityChanged, decode
from interop_server.core.messages import ReceiptType, StanzaKind
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import IdentifierType, PublishedKeys, SignedPreKey
from interop_server.runtime.rng import SeededRng
from tests.unit.core.world import BATS, OWLS, SEED, ClientKeys, World, message, partner, refused, token

KEYS = ClientKeys()
OTHER = ClientKeys(seed=2)

META_SAMPLE = {
    "auth_key": ("mLsPDd27k07BJa54dtt2e9Yz-vJfECLXRAPrFp7YeX4", 32),
    "key_type": ("BQ", 1),
    "registration_id": ("x6g6tA", 4),
    "identity_key": ("x6g6tGpek0Obx65-vVx9t3wNtjJUXcQY2iarR-Aush4", 32),
    "signed_prekey_id": ("_tdJ", 3),
    "signed_prekey": ("_tdJvCOi0-F9hl7iaHhrn42d1GnI3p6LwkFx3BS_jXw", 32),
    "signed_prekey_signature": (
        "BPEcejlI7RhacXe9MvBMUEs_IHctlcDyza24vDrZca0N77YDGqCAXr2VWDALvOcTSziNWfVMJ4IDxIENwvyACA",
        64,
    ),
}
"""The key material of the published enlistment sample (ENL-09)."""


@pytest.mark.requirement("ENL-08", "ENL-09", "ENL-10")
async def test_the_published_sample_of_an_enlistment_is_accepted(world: World) -> None:
    """Its key material passes every check and enlists (ENL-08, ENL-09, ENL-10)."""
    values = {name: decode_base64url(text, length) for name, (text, length) in META_SAMPLE.items()}
    form = EnlistmentForm(**values, token=token(), protocol_version=1)
    keys = check_form_keys(form)
    assert (keys.registration_id, keys.signed_prekey.key_id) == (0xC7A83AB4, 0xFED749)
    account = await world.account(await world.enlistment.enlist(form))
    assert (account.auth_key, account.external_id, account.is_whatsapp) == (values["auth_key"], "ada", False)
    assert await world.store.prekeys.get_published([account.account_id]) == {account.account_id: keys}


@pytest.mark.requirement("ENL-12")
async def test_a_jid_names_the_partner_and_a_number_that_tells_nothing(world: World) -> None:
    """Two users of one partner differ, and neither JID holds the identifier (ENL-12)."""
    ada, bea = await world.enlisted("491511234567"), await world.enlisted("bea")
    for account in (ada, bea):
        assert re.fullmatch(rf"{BATS}-[1-9][0-9]{{13}}@interop", account.jid)
        assert account.external_id not in account.jid
    assert ada.jid != bea.jid


@pytest.mark.requirement("ENL-08")
@pytest.mark.parametrize("wrong", [-1, 1, None], ids=["short", "long", "empty"])
@pytest.mark.parametrize(
    "name",
    [
        "auth_key",
        "key_type",
        "registration_id",
        "identity_key",
        "signed_prekey_id",
        "signed_prekey",
        "signed_prekey_signature",
    ],
)
async def test_every_key_has_exactly_its_length(world: World, name: str, wrong: int | None) -> None:
    """A wrong length is a refusal that names what was wrong; nobody's server is asked and nothing is kept (ENL-08)."""
    value: bytes = getattr(KEYS.form(token()), name)
    changed = b"" if wrong is None else (value + b"\x01")[: len(value) + wrong]
    before = await world.store.count_rows()
    with refused(Reason.KEY_MALFORMED) as caught:
        await world.enlistment.enlist(KEYS.form(token(), **{name: changed}))
    assert f"{len(changed)} bytes" in caught.value.detail
    assert world.key_servers.fetches == []
    assert await world.store.count_rows() == before


def flipped(value: bytes, index: int) -> bytes:
    return value[:index] + bytes((value[index] ^ 1,)) + value[index + 1 :]


GOOD = KEYS.form("")
SIGNATURE = GOOD.signed_prekey_signature


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"key_type": b"\x04"}, Reason.KEY_MALFORMED, id="another key type"),
        pytest.param({"key_type": b"\x00"}, Reason.KEY_MALFORMED, id="no key type"),
        pytest.param({"signed_prekey_id": bytes(3)}, Reason.KEY_MALFORMED, id="prekey id 0"),
        pytest.param(
            {"signed_prekey_signature": flipped(SIGNATURE, 0)}, Reason.PREKEY_SIGNATURE_INVALID, id="signature's point"
        ),
        pytest.param(
            {"signed_prekey_signature": flipped(SIGNATURE, 40)}, Reason.PREKEY_SIGNATURE_INVALID, id="its scalar"
        ),
        pytest.param({"signed_prekey_signature": bytes(64)}, Reason.PREKEY_SIGNATURE_INVALID, id="only zeros"),
        pytest.param(
            {"signed_prekey_signature": KEYS.signature(GOOD.signed_prekey)},
            Reason.PREKEY_SIGNATURE_INVALID,
            id="signed without the type byte",
        ),
        pytest.param(
            {"signed_prekey": flipped(GOOD.signed_prekey, 5)}, Reason.PREKEY_SIGNATURE_INVALID, id="another prekey"
        ),
        pytest.param(
            {"identity_key": OTHER.published.identity_key}, Reason.PREKEY_SIGNATURE_INVALID, id="another's identity key"
        ),
        pytest.param({"protocol_version": 0}, Reason.PROTOCOL_VERSION_TOO_OLD, id="an old client"),
        pytest.param({"token": token(exp=1)}, Reason.TOKEN_EXPIRED, id="an old token"),
        pytest.param({"token": token("two words")}, Reason.TOKEN_CLAIMS_INVALID, id="an identifier of no form"),
        pytest.param({"token": token(integrator=999, key="k100")}, Reason.BAD_INTEGRATOR, id="no partner"),
    ],
)
async def test_a_refused_enlistment_leaves_no_trace(world: World, changes: dict[str, Any], reason: Reason) -> None:
    """Type, range, signature and token each refuse with a reason of their own (ENL-05, ENL-07, ENL-08, ENL-10)."""
    await world.key_sets.refresh(partner(BATS))
    before = await world.store.count_rows()
    with refused(reason), world.quiet():
        await world.enlistment.enlist(KEYS.form(token(), **changes))
    assert await world.store.count_rows() == before


@pytest.mark.requirement("KEY-02")
@pytest.mark.parametrize("registration_id", [0, 1, 0x3FFF, 0xFFFFFFFF])
async def test_a_registration_id_uses_all_of_its_four_bytes(world: World, registration_id: int) -> None:
    """The full 32-bit range is served to peers as it came (ENL-08, KEY-02)."""
    form = KEYS.form(token(), registration_id=registration_id.to_bytes(4, "big"))
    account = await world.account(await world.enlistment.enlist(form))
    published = await world.store.prekeys.get_published([account.account_id])
    assert published[account.account_id].registration_id == registration_id


@pytest.mark.requirement("ENL-15")
async def test_versions_under_the_floor_are_refused(build_world: Callable[..., Awaitable[World]]) -> None:
    """At the floor it works, under it there is a reason of its own, at enlistment and at connection (ENL-15)."""
    world = await build_world(min_protocol_version=3)
    with refused(Reason.PROTOCOL_VERSION_TOO_OLD):
        await world.enlistment.enlist(KEYS.form(token(), protocol_version=2))
    ada = await world.account(await world.enlistment.enlist(KEYS.form(token(), protocol_version=3)))
    with refused(Reason.PROTOCOL_VERSION_TOO_OLD):
        await world.logins.log_in(world.login(ada, protocol_version=2))
    assert await world.logins.log_in(world.login(ada, protocol_version=3)) == ada


@pytest.mark.parametrize(
    ("kind", "first", "again"),
    [
        (IdentifierType.USERNAME, "Ada", "ada"),
        (IdentifierType.EMAIL, "Ada@Bats.Example", "ada@bats.example"),
        (IdentifierType.PHONE, "+49 (151) 1234-567", "491511234567"),
    ],
)
async def test_an_identifier_written_otherwise_is_the_same_account(
    world: World, kind: IdentifierType, first: str, again: str
) -> None:
    """Identifiers are compared in their normal form, by what the partner calls its users by (ENL-13)."""
    await world.register(partner(BATS, identifier_type=kind))
    assert await world.enlisted(first) == await world.enlisted(again)


async def test_the_same_identifier_at_two_partners_is_two_accounts(world: World) -> None:
    """An identifier belongs to its partner (ENL-07, T1)."""
    bat, owl = await world.enlisted("ada", BATS), await world.enlisted("ada", OWLS)
    assert (bat.integrator, owl.integrator) == (BATS, OWLS)
    assert bat.account_id != owl.account_id


async def talk(world: World) -> tuple[Any, Any]:
    """Ada, with one-time prekeys, in a chat with a WhatsApp user; a message waits for each."""
    ada, user = await world.enlisted(), await world.opted_in()
    await world.prekeys.publish(ada, KEYS.published, KEYS.one_time(1, 20))
    await world.router.send_messages(ada, [message(user)])
    await world.router.send_messages(user, [message(ada)])
    return ada, user


@pytest.mark.requirement("ENL-17")
async def test_an_identical_retry_changes_nothing(world: World) -> None:
    """Whoever lost the answer asks again and gets the same one (ENL-13, ENL-17)."""
    ada, _ = await talk(world)
    before = await world.store.count_rows()
    with world.quiet():
        assert await world.enlisted() == ada
    assert await world.store.count_rows() == before


@pytest.mark.requirement("PRX-07")
async def test_enlisting_is_limited_by_address(world: World) -> None:
    """Before anything is verified, which is what costs; other addresses do not suffer."""
    enlistment = world.with_limits(enlist_address_burst=2, enlist_address_per_second=0.1).enlistment
    await enlistment.enlist(KEYS.form(token()), "2001:db8::1")
    with refused(Reason.TOKEN_MALFORMED):
        await enlistment.enlist(KEYS.form("x"), "2001:db8::2")
    with refused(Reason.RATE_LIMITED, "PRX-07") as caught:
        await enlistment.enlist(KEYS.form("x"), "2001:db8::3")
    assert caught.value.retry_after_ms == 10_001
    await enlistment.enlist(KEYS.form(token()), "203.0.113.7")
    world.clock.advance(10_001)
    await enlistment.enlist(KEYS.form(token()), "2001:db8::3")


@pytest.mark.requirement("ENL-17")
async def test_enlisting_is_limited_per_user_and_per_messenger(world: World) -> None:
    """Who enlists one user too often waits, and so does everybody of a messenger that does; others do not (ENL-17)."""
    enlistment = world.with_limits(enlist_identifier_burst=2, enlist_partner_burst=3).enlistment

    async def enlist(name: str, integrator: int = BATS) -> None:
        await enlistment.enlist(KEYS.form(token(name, integrator=integrator)))

    await enlist("ada")
    await enlist("ada")
    with refused(Reason.RATE_LIMITED, "ENL-17") as caught:
        await enlist("ada")
    assert caught.value.retry_after_ms == 10_001
    await enlist("bea")
    with refused(Reason.RATE_LIMITED, "ENL-17"):
        await enlist("cleo")
    await enlist("ada", OWLS)
    world.clock.advance(10_001)
    await enlist("ada")


@pytest.mark.requirement("ENL-13", "ENL-14")
async def test_a_new_identity_replaces_all_that_belonged_to_the_old(world: World) -> None:
    """JID and account stay; one-time prekeys, mailbox and connection go; peers are told (ENL-13, ENL-14, KEY-17)."""
    ada, user = await talk(world)
    stranger = await world.opted_in("+33612345678")

    again = await world.enlisted("ada", keys=OTHER)

    assert again == replace(ada, auth_key=OTHER.auth_key)
    assert await world.store.prekeys.get_published([ada.account_id]) == {ada.account_id: OTHER.published}
    assert (await world.prekeys.count(ada)).one_time == 0
    assert await world.waiting(ada) == []
    assert world.connections.ended == [(ada.account_id, Reason.KEYS_REPLACED)]
    assert world.connections.woken[-1] == user.account_id
    notice = (await world.waiting(user))[-1]
    assert decode(notice) == IdentityChanged(ada.jid)
    assert await world.waiting(stranger) == []


@pytest.mark.requirement("KEY-17")
async def test_peers_are_told_of_a_new_identity_once(world: World) -> None:
    """While a notice waits there is no second one; after its ack the next change is told again (KEY-17)."""
    _, user = await talk(world)
    await world.enlisted("ada", keys=OTHER)
    await world.enlisted("ada", keys=ClientKeys(seed=3))
    waiting = await world.mailbox.deliveries(user, 0, 100)
    notices = [delivery for delivery in waiting if delivery.item.kind is StanzaKind.NOTIFICATION]
    assert len(notices) == 1
    await world.mailbox.forget(user, [notices[0].delivery_id])
    await world.enlisted("ada", keys=KEYS)
    assert [item.kind for item in await world.waiting(user)].count(StanzaKind.NOTIFICATION) == 1


async def test_a_new_auth_key_ends_the_connection_and_nothing_else(world: World) -> None:
    """The live connection was proved with a key that is no longer the account's; identity and keys stay (ENL-14)."""
    ada, user = await talk(world)
    waiting = await world.waiting(ada)
    jid = await world.enlistment.enlist(KEYS.form(token(), auth_key=OTHER.auth_key))
    assert jid == ada.jid
    assert world.connections.ended == [(ada.account_id, Reason.KEYS_REPLACED)]
    assert (await world.prekeys.count(ada)).one_time == 20
    assert await world.waiting(ada) == waiting
    assert all(item.kind is StanzaKind.MESSAGE for item in await world.waiting(user))


async def test_a_new_signed_prekey_and_registration_id_come_with_any_enlistment(world: World) -> None:
    """What is published is always what was enlisted last (ENL-13)."""
    ada = await world.enlisted()
    signed = KEYS.signed_prekey(key_id=9)
    form = KEYS.form(
        token(),
        registration_id=bytes((0, 0, 0, 42)),
        signed_prekey_id=bytes((0, 0, 9)),
        signed_prekey=signed.public_key,
        signed_prekey_signature=signed.signature,
    )
    with world.quiet():
        await world.enlistment.enlist(form)
    expected = PublishedKeys(42, KEYS.published.identity_key, SignedPreKey(*signed))
    assert await world.store.prekeys.get_published([ada.account_id]) == {ada.account_id: expected}


@pytest.mark.requirement("ENL-12")
async def test_a_jid_is_never_given_out_twice(world: World) -> None:
    """Even when the same number is drawn again after its account was deleted (ENL-12, LIF-03)."""
    ada = await world.enlisted()
    await world.deletion.delete(ada)
    drawing_the_same = replace(world.enlistment, rng=SeededRng(SEED))
    again = await world.account(await drawing_the_same.enlist(KEYS.form(token())))
    assert again.jid != ada.jid
    assert again.account_id != ada.account_id


async def test_receipts_of_the_old_identity_go_with_its_mailbox(world: World) -> None:
    """Nothing that waited for the old identity reaches the new one (ENL-14)."""
    ada, user = await talk(world)
    await world.receipts.send(user, [OutgoingReceipt(ReceiptType.DELIVERED, ada.jid, ["m1"])], True)
    assert (await world.mailbox.backlog(ada)).receipts == 1
    await world.enlisted("ada", keys=OTHER)
    assert (await world.mailbox.backlog(ada)).total == 0
