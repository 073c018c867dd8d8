"""Curve25519 keys that protect nothing, wherever one comes in; and keys that are one, whatever their top bit."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from interop_server.core.enlistment.enlistment import check_form_keys
from interop_server.core.errors import Reason
from interop_server.core.messages import RetryKeys, RetryReason, RetryReceipt
from interop_server.core.messaging.receipts import check_retry
from interop_server.core.model import Account, OneTimePreKey, Platform, SignedPreKey
from tests.unit.core.world import World, message, refused, token
from tests.weak_keys import LOW_ORDER, NOT_CANONICAL, with_top_bit

from .publishers import GOOD, KEYS, OTHER, bundle_of, publisher

WEAK = [*LOW_ORDER, *NOT_CANONICAL, *map(with_top_bit, LOW_ORDER)]
FORM = KEYS.form(token())
SIGNED = GOOD.signed_prekey

Entry = Callable[[World, Account, Account, bytes], Awaitable[object]]


async def _in_a_form(*, auth_key: bytes = FORM.auth_key, **keys: bytes) -> None:
    check_form_keys(replace(FORM, auth_key=auth_key, **keys))


async def _in_a_retry(keys: RetryKeys) -> None:
    check_retry(RetryReceipt("m1", 2, RetryReason.BAD_MAC, GOOD.registration_id, keys, None))


RETRY_KEYS = RetryKeys(GOOD.identity_key, SIGNED, OneTimePreKey(1, OTHER.auth_key))

ENTRIES: dict[str, Entry] = {
    "authkey": lambda _, __, ___, key: _in_a_form(auth_key=key),
    "e_ident": lambda _, __, ___, key: _in_a_form(identity_key=key),
    "e_skey_val": lambda _, __, ___, key: _in_a_form(signed_prekey=key),
    "authkey of a WhatsApp user": lambda world, _, __, key: world.operator.put_whatsapp_user(
        "+491511234567", key, Platform.IOS
    ),
    "identity_key": lambda world, ada, _, key: world.prekeys.publish(ada, GOOD._replace(identity_key=key), []),
    "identity_key of a WhatsApp user": lambda world, _, user, key: world.prekeys.publish(
        user, GOOD._replace(identity_key=key), []
    ),
    "signed_prekey": lambda world, ada, _, key: world.prekeys.publish(
        ada, GOOD._replace(signed_prekey=SIGNED._replace(public_key=key)), []
    ),
    "signed_prekey, rotated": lambda world, ada, _, key: world.prekeys.rotate(ada, SIGNED._replace(public_key=key)),
    "one_time_prekeys": lambda world, ada, _, key: world.prekeys.publish(
        ada, GOOD, [*KEYS.one_time(1, 2), OneTimePreKey(9, key)]
    ),
    "identity_key of a retry": lambda _, __, ___, key: _in_a_retry(RETRY_KEYS._replace(identity_key=key)),
    "signed_prekey of a retry": lambda _, __, ___, key: _in_a_retry(
        RETRY_KEYS._replace(signed_prekey=SIGNED._replace(public_key=key))
    ),
    "one_time_prekey of a retry": lambda _, __, ___, key: _in_a_retry(
        RETRY_KEYS._replace(one_time_prekey=OneTimePreKey(1, key))
    ),
    "one_time_prekeys, added": lambda world, ada, _, key: world.prekeys.add(ada, [OneTimePreKey(9, key)]),
}

FIELDS = {
    "authkey": "authkey",
    "e_ident": "e_ident",
    "e_skey_val": "e_skey_val",
    "authkey of a WhatsApp user": "authkey",
    "identity_key": "identity_key",
    "identity_key of a WhatsApp user": "identity_key",
    "signed_prekey": "signed_prekey.public_key",
    "signed_prekey, rotated": "signed_prekey.public_key",
    "one_time_prekeys": "one_time_prekeys[2].public_key",
    "identity_key of a retry": "retry_receipt.keys.identity_key",
    "signed_prekey of a retry": "retry_receipt.keys.signed_prekey",
    "one_time_prekey of a retry": "retry_receipt.keys.one_time_prekey",
    "one_time_prekeys, added": "one_time_prekeys[0].public_key",
}
"""What the refusal of each calls it."""


@pytest.mark.requirement("KEY-02")
@pytest.mark.parametrize("entry", ENTRIES)
async def test_a_weak_key_is_refused_wherever_one_comes_in(world: World, entry: str) -> None:
    """Zero, low order and not canonical, in each encoding; what was there before stays (KEY-02)."""
    ada, user = await publisher(world, 1), await world.opted_in()
    before = await world.prekeys.digest(ada)
    for key in WEAK:
        with refused(Reason.KEY_MALFORMED) as caught:
            await ENTRIES[entry](world, ada, user, key)
        assert [each.field for each in caught.value.violations] == [FIELDS[entry]]
    assert await world.prekeys.digest(ada) == before


@pytest.mark.requirement("KEY-04")
async def test_a_prekey_with_its_top_bit_set_was_published_before(world: World) -> None:
    """Whichever of the two came first, in one list or in two, still there or taken (KEY-04)."""
    ada, user = await publisher(world), await world.opted_in()
    plain = GOOD.signed_prekey.public_key
    for first, second in ((plain, with_top_bit(plain)), (with_top_bit(OTHER.auth_key), OTHER.auth_key)):
        with refused(Reason.PREKEY_REUSED):
            await world.prekeys.add(ada, [OneTimePreKey(1, first), OneTimePreKey(2, second)])
        await world.prekeys.publish(ada, GOOD, [OneTimePreKey(1, first)])
        with refused(Reason.PREKEY_REUSED):
            await world.prekeys.add(ada, [OneTimePreKey(2, second)])
        await world.prekeys.publish(ada, GOOD, [OneTimePreKey(1, second)])  # what is still there may be set again
        [taken] = await world.prekeys.take(user, [ada.jid])
        assert bundle_of(taken).one_time_prekey == OneTimePreKey(1, second)
        for again in (first, second):
            with refused(Reason.PREKEY_REUSED):
                await world.prekeys.add(ada, [OneTimePreKey(3, again)])


@pytest.mark.requirement("KEY-04", "KEY-17")
async def test_an_identity_with_its_top_bit_set_is_the_same_identity(world: World) -> None:
    """Enlisting or publishing with it keeps chats, keys and connection, and tells nobody (KEY-17, ENL-14)."""
    ada, user = await publisher(world, 3), await world.opted_in()
    await world.router.send_messages(ada, [message(user)])
    twin = GOOD._replace(identity_key=with_top_bit(GOOD.identity_key))
    with world.quiet():
        await world.prekeys.publish(ada, twin, KEYS.one_time(1, 3))
        form = KEYS.form(token(), auth_key=with_top_bit(KEYS.auth_key), identity_key=twin.identity_key)
        assert await world.enlistment.enlist(form) == ada.jid
    assert (await world.prekeys.count(ada)).one_time == 3
    await world.logins.log_in(world.login(ada))


@pytest.mark.requirement("KEY-02", "KEY-10")
async def test_a_signed_prekey_is_kept_as_it_was_signed(world: World) -> None:
    """With its top bit set its signature covers other bytes: takers get just those (KEY-02, KEY-10)."""
    ada, user = await publisher(world), await world.opted_in()
    public_key = with_top_bit(SIGNED.public_key)
    signed = SignedPreKey(2, public_key, KEYS.signature(b"\x05" + public_key))
    await world.prekeys.rotate(ada, signed)
    [taken] = await world.prekeys.take(user, [ada.jid])
    assert bundle_of(taken).keys.signed_prekey == signed
