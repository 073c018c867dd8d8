"""Whom one may not write to, and what is said about it: the same for everybody who is out of reach."""

from collections.abc import Iterable, Sequence

import pytest

from interop_api.v1 import errors_pb2, integrity_pb2, interop_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.errors import ServerRefusal
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, case, check_error, no_trace, refused
from tests.e2e.wire import Wire, sealed_message

NOBODY = "4915199999999@s.whatsapp.net"
"""A WhatsApp user's JID that is nobody's."""

ADDRESSES = {
    "USER_VISIBLE_IDENTIFIER": [
        "bob", "@bob", "bob@example.com", "bob@s.whatsapp.net.example", "+4915112345678", "4915112345678", "+49 151 1",
        "whatsapp:4915112345678", "https://wa.me/4915112345678", "a@b@c", "' OR 1=1 --", "../../etc/passwd", "%s%n",
        "\N{RIGHT-TO-LEFT OVERRIDE}bob", "bob\0", "\N{PILE OF POO}", "b\N{COMBINING ACUTE ACCENT}" * 60, " ", "\n",
        "1-10000000000001@interop ", "1-10000000000001@interop\n",
    ],
    "GROUPS_NOT_SUPPORTED": ["123456789-987654321@g.us", "120363000000000000@g.us", "x@G.US", "@g.us"],
    "CALLS_NOT_SUPPORTED": ["4915112345678@call", "@call"],
    "NUMBER_BASED_NOT_SUPPORTED": [
        "sms:+4915112345678", "smsto:4915112345678", "mms:1", "mmsto:1", "tel:+4915112345678", "TEL:112", "sms:",
    ],
    "ADDRESS_MALFORMED": [
        "", "4915112345678@lid", "x@newsletter", "status@broadcast", "1@bot", "1@hosted", "1@msgr",
        "@interop", "@s.whatsapp.net", "0-10000000000001@interop", "1000-10000000000001@interop", "1@interop",
        "1-0@interop", "1-01@interop", "1--1@interop", "-1-1@interop", "1-18446744073709551616@interop",
        "1-10000000000001@INTEROP", "1-1_1@interop",
        "01234567@s.whatsapp.net", "1234@s.whatsapp.net", "1234567890123456@s.whatsapp.net",
        "\N{ARABIC-INDIC DIGIT ONE}2345678@s.whatsapp.net", "+4915112345678@s.whatsapp.net", "x" * 129,
        "9" * 100_000 + "@interop",
    ],
    "ADDRESS_NAMES_DEVICE": ["4915112345678:1@s.whatsapp.net", "1-10000000000001:99@interop"],
}  # fmt: skip
"""Texts that are no address of a person here, by the reason that is given."""


def addresses() -> Iterable[tuple[str, str]]:
    """Yields each text and its reason."""
    for reason, texts in ADDRESSES.items():
        for text in texts:
            yield text, reason


async def send(client: InteropClient, to: str) -> errors_pb2.Refusal:
    """Sends a message and returns why it was refused."""
    with pytest.raises(ServerRefusal) as raised:
        await client.send_encrypted(sealed_message(to, client.state.take_message_id()).message)
    return as_error(raised.value)


def as_error(refusal: ServerRefusal) -> errors_pb2.Refusal:
    """Returns a refusal as it came, to be compared field by field."""
    error = errors_pb2.Refusal(
        reason=errors_pb2.ErrorReason.Value(f"ERROR_REASON_{refusal.reason}"),
        requirement=refusal.requirement,
        advice=refusal.advice,
        code=refusal.code,
        request_id=refusal.request_id,
        recovery=errors_pb2.Recovery.Value(f"RECOVERY_{refusal.recovery.value}"),
        violations=[errors_pb2.FieldViolation(**violation._asdict()) for violation in refusal.violations],
    )
    if refusal.retry_after_ms is not None:
        error.retry_after_ms = refusal.retry_after_ms
    return error


def check_alike(errors: Sequence[errors_pb2.Refusal], reason: str) -> None:
    """Asserts that refusals are for a reason and equal in every field but the request id, of which each has its own.

    Where the address stood is told, and is not the same in each request.
    """
    for error in errors:
        check_error(error, reason)
    request_ids = [error.request_id for error in errors]
    assert len(set(request_ids)) == len(errors) and all(request_ids)
    for error in errors:
        error.ClearField("request_id")
        error.ClearField("violations")
        assert error == errors[0]


async def take(client: InteropClient, *jids: str) -> list[prekeys_pb2.PreKeyBundleResult]:
    """Asks for bundles."""
    response = await client.transport.call(
        "/interop_api.v1.PreKeyService/TakePreKeyBundles",
        prekeys_pb2.TakePreKeyBundlesRequest(jids=jids),
        prekeys_pb2.TakePreKeyBundlesResponse,
    )
    return list(response.results)


async def resolve(client: InteropClient, external_id: str, integrator: int) -> errors_pb2.Refusal:
    """Looks somebody up and returns why that failed."""
    response = await client.transport.call(
        "/interop_api.v1.InteropService/Resolve",
        interop_pb2.ResolveRequest(users=[interop_pb2.ExternalUser(external_id=external_id, integrator=integrator)]),
        interop_pb2.ResolveResponse,
    )
    (user,) = response.users
    assert (user.external_id, user.integrator) == (external_id, integrator)
    assert user.HasField("error"), user
    error: errors_pb2.Refusal = user.error
    return error


@pytest.mark.requirement("MSG-01")
async def test_only_a_jid_is_an_address(world: World) -> None:
    """For messages, bundles, blocking and chats alike: what a person is called is none (MSG-01, MSG-12, LIF-06)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    block = integrity_pb2.BLOCK_ACTION_BLOCK
    async with no_trace(world.admin):
        for client in (alice, bob):
            results = await take(client, *(text for text, _ in addresses()))
            for (text, reason), result in zip(addresses(), results, strict=True):
                with case(f"{text[:40]!r}"):
                    assert result.jid == text
                    check_error(result.error, reason)
                    check_error(await send(client, text), reason)
                with refused(reason, f"blocking {text[:40]!r}"):
                    await client.transport.call(
                        "/interop_api.v1.IntegrityService/UpdateBlocklist",
                        integrity_pb2.UpdateBlocklistRequest(action=block, jid=text),
                        integrity_pb2.UpdateBlocklistResponse,
                    )
        for text, reason in addresses():
            with refused(reason, f"deleting the chat with {text[:40]!r}"):
                await alice.delete_chat(text)


@pytest.mark.requirement("MSG-06")
async def test_one_end_is_a_whatsapp_user_and_the_other_is_not(world: World) -> None:
    """Two third-party users, of one messenger or two, and two WhatsApp users have no route here (MSG-06)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    other_alice, carol = await world.whatsapp(options=QUIET), await world.third_party("carol", QUIET)
    async with no_trace(world.admin):
        for client, to in (
            (bob, carol.jid),
            (bob, bob.jid),
            (bob, "998-10000000000001@interop"),
            (alice, other_alice.jid),
            (alice, alice.jid),
            (alice, NOBODY),
        ):
            with case(f"{client.jid} to {to}"):
                check_error(await send(client, to), "ROUTE_NOT_SUPPORTED")
                check_error((await take(client, to))[0].error, "ROUTE_NOT_SUPPORTED")


@pytest.mark.requirement("OPT-09", "MSG-06")
async def test_who_is_out_of_reach_is_so_for_no_reason_that_shows(world: World, second_world: World) -> None:
    """Unknown, not opted in, off, opted in elsewhere: equal in every field, for sends, bundles, look-ups (OPT-09)."""
    bob = await world.third_party("bob", QUIET)
    unopted, off = await world.whatsapp(opted_in=False, options=QUIET), await world.whatsapp(options=QUIET)
    await off.set_third_party_chats(False)
    out = await world.whatsapp(options=QUIET)
    await out.opt_out([world.integrator])
    elsewhere = await second_world.whatsapp(options=QUIET)
    without_keys = await world.whatsapp_device(QUIET)
    await without_keys.connect()
    await without_keys.accept_terms()
    await without_keys.opt_in([world.integrator])
    hidden = [NOBODY, unopted.jid, off.jid, out.jid, elsewhere.jid]
    async with no_trace(world.admin):
        errors = [await send(bob, jid) for jid in hidden]
        errors += [result.error for result in await take(bob, *hidden, without_keys.jid)]
        errors += [await resolve(bob, f"+{jid.partition('@')[0]}", 0) for jid in hidden]
    check_alike(errors, "RECIPIENT_NOT_REACHABLE")


@pytest.mark.requirement("LIF-05")
async def test_a_deleted_account_was_never_there(world: World, second_world: World) -> None:
    """To a WhatsApp user it is like a JID that nobody ever had, and a username of nobody (OPT-09, LIF-03)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await bob.delete_account()
    bob_again = world.device("bob", QUIET)
    unknown = [f"{world.integrator}-10000000000001@interop", f"{world.integrator}-1@interop"]
    async with no_trace(world.admin):
        errors = [await send(alice, jid) for jid in (bob.jid, *unknown)]
        errors += [result.error for result in await take(alice, bob.jid, *unknown)]
        errors += [await resolve(alice, name, world.integrator) for name in ("bob", "nobody")]
        errors += [await resolve(alice, "bob", integrator) for integrator in (second_world.integrator, 997)]
    await bob_again.enlist(world.partner.issue_token("bob"))
    assert bob_again.jid != bob.jid
    check_alike([*errors, await send(alice, bob.jid)], "RECIPIENT_NOT_REACHABLE")


async def test_a_suspended_messengers_users_are_out_of_reach(world: World) -> None:
    """Like anybody else who is, whatever is asked (ENL-01, OPT-09)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    await world.register(status=interop_pb2.PARTNER_STATUS_SUSPENDED)
    async with no_trace(world.admin):
        errors = [await send(alice, f"{world.integrator}-1@interop"), await send(alice, bob.jid)]
        errors += [(await take(alice, bob.jid))[0].error, await resolve(alice, "bob", world.integrator)]
    check_alike(errors, "RECIPIENT_NOT_REACHABLE")


@pytest.mark.requirement("MSG-06")
async def test_who_blocks_somebody_does_not_write_to_them(world: World) -> None:
    """The sender's own doing is said plainly (MSG-06)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    for client, to in ((alice, bob.jid), (bob, alice.jid)):
        await client.transport.call(
            "/interop_api.v1.IntegrityService/UpdateBlocklist",
            integrity_pb2.UpdateBlocklistRequest(action=integrity_pb2.BLOCK_ACTION_BLOCK, jid=to),
            integrity_pb2.UpdateBlocklistResponse,
        )
        async with no_trace(world.admin):
            check_error(await send(client, to), "RECIPIENT_BLOCKED_BY_SENDER")


@pytest.mark.requirement("OPT-01")
async def test_who_has_not_opted_in_is_told_to(world: World) -> None:
    """A WhatsApp user's own choice stands in the way, whether or not the recipient exists (OPT-01, OPT-09)."""
    alice, bob = await world.whatsapp(opted_in=False, options=QUIET), await world.third_party("bob", QUIET)
    unknown = f"{world.integrator}-10000000000001@interop"
    async with no_trace(world.admin):
        errors = [await send(alice, bob.jid), await send(alice, unknown)]
        errors += [result.error for result in await take(alice, bob.jid, unknown)]
    check_alike(errors, "SENDER_NOT_OPTED_IN")


@pytest.mark.requirement("KEY-07")
async def test_a_request_for_bundles_names_each_user_once(world: World) -> None:
    """Also by the other way to write a JID; 1 to 256 users; a bad request takes nobody's keys (KEY-05, KEY-07)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    alias = bob.jid.replace("@", ":0@")
    filler = [f"{world.integrator}-{number}@interop" for number in range(1, 258)]
    for jids, reason in (
        ([], "REQUEST_MALFORMED"),
        (filler, "TOO_MANY_ITEMS"),
        ([bob.jid, bob.jid], "REQUEST_MALFORMED"),
        ([bob.jid, alias], "REQUEST_MALFORMED"),
        ([*filler[:254], alias, bob.jid], "REQUEST_MALFORMED"),
        (["nonsense", bob.jid, "nonsense"], "REQUEST_MALFORMED"),
    ):
        async with no_trace(world.admin):
            with refused(reason, jids[-2:]):
                await take(alice, *jids)
            device = prekeys_pb2.KnownDevice(registration_id=1)
            known = [prekeys_pb2.KnownRegistration(jid=jid, devices=[device]) for jid in jids]
            with refused(reason, f"missing {jids[-2:]}"):
                await alice.transport.call(
                    "/interop_api.v1.PreKeyService/TakeMissingPreKeyBundles",
                    prekeys_pb2.TakeMissingPreKeyBundlesRequest(users=known),
                    prekeys_pb2.TakeMissingPreKeyBundlesResponse,
                )
    assert await bob.count_prekeys() == 20
    results = await take(alice, *filler[:255], alias)
    assert [len(result.bundles) for result in results] == [0] * 255 + [1]
    assert results[-1].bundles[0].device.jid == bob.jid


async def test_a_batch_with_bad_addresses_keeps_its_order(world: World) -> None:
    """Every message has its own answer, in the order of sending (MSG-04)."""
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    table = list(addresses())
    stanzas = [sealed_message(text, f"m{index}") for index, (text, _) in enumerate(table)]
    async with Wire(world.device("bob", state=bob.state).transport) as wire:
        await wire.take_until("offline_end")
        await wire.send(*stanzas, sealed_message(alice.jid, "good"))
        acks: list[stanza_pb2.SendAck] = []
        while len(acks) <= len(table):
            acks += (await wire.take_until("send_acks"))[-1].send_acks.acks
    assert [ack.id for ack in acks] == [*(stanza.message.id for stanza in stanzas), "good"]
    for (text, reason), ack in zip(table, acks, strict=False):
        with case(repr(text[:40])):
            check_error(ack.error, reason)
    assert not acks[-1].HasField("error")
