"""Frames and stanzas of the wrong form: a frame that cannot be read ends the stream, a stanza is refused on its own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.connection.login import third_party_login, whatsapp_login
from interop_client.signal import SignalState
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET, RawStream, case, check_error, flipped, no_trace, refused
from tests.e2e.wire import message_ids, sealed_message

PING = stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=7))


@asynccontextmanager
async def logged_in(world: World, client: InteropClient) -> AsyncIterator[tuple[RawStream, stanza_pb2.LoginSuccess]]:
    """A raw stream of an account, up to the end of an empty backlog."""
    state = client.state
    if state.jid.endswith("@interop"):
        payload = third_party_login(state.jid, world.partner.issue_token("bob"))
    else:
        payload = whatsapp_login(state.jid)
    async with RawStream(world.endpoint.grpc) as stream:
        login = await stream.log_in(state.auth_private_key, payload)
        await stream.receive_kind("offline_end")
        yield stream, login


async def bobs_device(world: World) -> InteropClient:
    """Bob, enlisted and not connected."""
    bob = world.device("bob", QUIET)
    await bob.enlist(world.partner.issue_token("bob"))
    return bob


@pytest.mark.requirement("CHN-05")
async def test_a_frame_must_be_authentic(world: World) -> None:
    """Altered, repeated, cut off, of another key or none at all: it ends the stream (CHN-05)."""
    bob = await bobs_device(world)
    for name in ("altered", "altered at the end", "repeated", "skipped", "cut off", "short", "empty", "random"):
        with case(name):
            async with no_trace(world.admin), logged_in(world, bob) as (stream, _):
                sealed = stream.noise.encrypt(stanza_pb2.Batch(stanzas=(PING,)).SerializeToString())
                frames = {
                    "altered": [flipped(sealed)],
                    "altered at the end": [flipped(sealed, -1)],
                    "repeated": [sealed, sealed],
                    "skipped": [stream.noise.encrypt(b"")],
                    "cut off": [sealed[:-1]],
                    "short": [sealed[:15]],
                    "empty": [b""],
                    "random": [os.urandom(len(sealed))],
                }[name]
                await stream.send(*(chat_pb2.ConnectRequest(sealed=frame) for frame in frames))
                await stream.check_ends("FRAME_AUTHENTICATION_FAILED")


@pytest.mark.requirement("CHN-05")
async def test_a_frame_of_another_connection_is_refused(world: World) -> None:
    """The keys are fresh for each handshake, so nothing recorded can be sent again (CHN-05)."""
    bob = await bobs_device(world)
    async with logged_in(world, bob) as (stream, _):
        recorded = stream.noise.encrypt(stanza_pb2.Batch(stanzas=(PING,)).SerializeToString())
    async with logged_in(world, bob) as (stream, _):
        await stream.send(chat_pb2.ConnectRequest(sealed=recorded))
        await stream.check_ends("FRAME_AUTHENTICATION_FAILED")


@pytest.mark.requirement("CHN-09")
async def test_a_frame_has_a_longest_length(world: World) -> None:
    """One byte over the limit ends the stream; exactly the limit is read (CHN-09)."""
    bob = await bobs_device(world)
    async with logged_in(world, bob) as (stream, login):
        ping = stanza_pb2.Batch(stanzas=(PING,)).SerializeToString()
        room = login.limits.max_frame_bytes - 16
        unknown_field = b"\xfa\x3f"  # number 1023, of bytes: readers pass over it
        header = unknown_field + _varint(room - len(ping) - len(unknown_field) - 3)
        await stream.seal(ping + header + bytes(room - len(ping) - len(header)))
        assert (await stream.receive_kind("pong")).pong.id == 7
        await stream.seal(bytes(room + 1))
        await stream.check_ends("FRAME_TOO_LARGE")


@pytest.mark.requirement("CHN-09")
async def test_the_server_keeps_to_the_frames_that_a_client_takes(world: World) -> None:
    """What waits is told in more frames then, and nothing is lost; frames that are too short are refused (CHN-09)."""
    alice, bob = await world.whatsapp(options=QUIET), await bobs_device(world)
    for number in range(6):
        await alice.send_encrypted(sealed_message(bob.jid, f"m{number}", bytes(60_000)).message)
    payload = third_party_login(bob.jid, world.partner.issue_token("bob"))
    payload.max_frame_bytes = 131_072
    lengths, stanzas = [], []
    async with RawStream(world.endpoint.grpc) as stream:
        await stream.log_in(bob.state.auth_private_key, payload)
        await stream.receive_kind("offline_preview")
        await stream.send_stanzas(stanza_pb2.Stanza(offline_batch=stanza_pb2.OfflineBatch(count=10)))
        while not (stanzas and stanzas[-1].HasField("offline_end")):
            sealed = (await stream.read()).sealed
            lengths.append(len(sealed))
            stanzas += stanza_pb2.Batch.FromString(stream.noise.decrypt(sealed)).stanzas
    assert message_ids(stanzas) == [f"m{number}" for number in range(6)]
    assert 100_000 < max(lengths) <= 131_072
    payload.max_frame_bytes -= 1
    async with RawStream(world.endpoint.grpc) as stream:
        with refused("LOGIN_MALFORMED"):
            await stream.log_in(bob.state.auth_private_key, payload)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))


async def test_a_frame_must_hold_a_batch(world: World) -> None:
    """Garbage, an empty batch and a text that is no UTF-8 end the stream (CHN-09)."""
    bob = await bobs_device(world)
    message = stanza_pb2.Batch(
        stanzas=(stanza_pb2.Stanza(message=stanza_pb2.Message(to_jid="XY")),)
    ).SerializeToString()
    async with no_trace(world.admin):
        for name, plaintext in (
            ("garbage", b"\xff" * 64),
            ("random bytes", b"\xff" + os.urandom(1_000)),
            ("nothing", b""),
            ("a batch cut off", message[:-1]),
            ("an address that is no UTF-8", message.replace(b"XY", b"\xff\xfe")),
        ):
            with case(name):
                async with logged_in(world, bob) as (stream, _):
                    await stream.seal(plaintext)
                    await stream.check_ends("FRAME_MALFORMED")


async def test_of_a_frame_that_holds_no_batch_nothing_is_taken(world: World) -> None:
    """Not even the stanzas before the one that cannot be read; what came in frames before is done (CHN-09)."""
    bob = await bobs_device(world)
    other_ping = stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=8))
    unreadable = stanza_pb2.Stanza(message=stanza_pb2.Message(id="XY"))
    batch = stanza_pb2.Batch(stanzas=(other_ping, unreadable)).SerializeToString().replace(b"XY", b"\xff\xfe")
    async with logged_in(world, bob) as (stream, _):
        await stream.send_stanzas(PING)
        await stream.seal(batch)
        seen: list[stanza_pb2.Stanza] = []
        while not any(stanza.HasField("stream_error") for stanza in seen):
            seen += await stream.receive()
    assert [stanza.pong.id for stanza in seen if stanza.HasField("pong")] == [7]
    check_error(seen[-1].stream_error.error, "FRAME_MALFORMED")


async def test_a_connect_request_must_be_one(world: World) -> None:
    """Bytes that are no message at all end the stream like a frame that holds nothing (CHN-09)."""
    bob = await bobs_device(world)
    async with logged_in(world, bob) as (stream, _):
        await stream.send(b"\xff\xff\xff")
        await stream.check_ends("FRAME_MALFORMED")


async def test_a_batch_has_a_largest_size(world: World) -> None:
    """One stanza over the limit ends the stream; exactly the limit is taken (CHN-09)."""
    bob = await bobs_device(world)
    async with logged_in(world, bob) as (stream, login):
        most = login.limits.max_batch_stanzas
        await stream.send_stanzas(*(PING,) * most)
        pongs = 0
        while pongs < most:
            pongs += sum(stanza.HasField("pong") for stanza in await stream.receive())
        await stream.send_stanzas(*(PING,) * (most + 1))
        await stream.check_ends("BATCH_TOO_LARGE")


def bad_stanzas(own_jid: str) -> dict[str, tuple[stanza_pb2.Stanza, str]]:
    """Stanzas that are refused on their own, with the reason."""
    stanza, malformed, unknown = stanza_pb2.Stanza, "STANZA_MALFORMED", "STANZA_UNKNOWN"
    delivered, number = stanza_pb2.RECEIPT_TYPE_DELIVERED, "4915112345678@s.whatsapp.net"

    def receipt(**changes: object) -> stanza_pb2.Stanza:
        fields: dict[str, object] = {"type": delivered, "to_jid": number, "message_ids": ["m1"]}
        return stanza(receipt=stanza_pb2.Receipt(**(fields | changes)))  # type: ignore[arg-type]

    server_only = {
        kind: (stanza(**{kind: getattr(stanza(), kind)}), unknown)
        for kind in (
            "login_success",
            "login_failure",
            "stream_error",
            "pong",
            "send_acks",
            "notification",
            "offline_preview",
            "offline_end",
            "stanza_refused",
        )
    }
    return server_only | {
        "no kind": (stanza(), unknown),
        "no kind, a delivery id": (stanza(delivery_id=1, offline=True), unknown),
        "a kind of the future": (stanza.FromString(b"\xfa\x3f\x02ab"), unknown),
        "too many acks": (stanza(ack=stanza_pb2.Ack(delivery_ids=range(4_097))), "TOO_MANY_ITEMS"),
        "nack code 0": (stanza(nack=stanza_pb2.Nack(delivery_id=1)), malformed),
        "nack code 200": (stanza(nack=stanza_pb2.Nack(delivery_id=1, nack_code=200)), malformed),
        "nack code 399": (stanza(nack=stanza_pb2.Nack(delivery_id=1, nack_code=399)), malformed),
        "nack code 600": (stanza(nack=stanza_pb2.Nack(delivery_id=1, nack_code=600)), malformed),
        "nack code 4294967295": (stanza(nack=stanza_pb2.Nack(delivery_id=1, nack_code=2**32 - 1)), malformed),
        "0 of the backlog": (stanza(offline_batch=stanza_pb2.OfflineBatch()), malformed),
        "201 of the backlog": (stanza(offline_batch=stanza_pb2.OfflineBatch(count=201)), malformed),
        "a call": (stanza(call_offer=stanza_pb2.CallOffer(id="call", to_jid=number)), "CALLS_NOT_SUPPORTED"),
        "a call with a long id": (stanza(call_offer=stanza_pb2.CallOffer(id="x" * 9_000)), "CALLS_NOT_SUPPORTED"),
        "a receipt of no type": (receipt(type=0), malformed),
        "a receipt of an unknown type": (receipt(type=9), malformed),
        "a receipt for nothing": (receipt(message_ids=[]), malformed),
        "a receipt for too much": (receipt(message_ids=["m"] * 257), malformed),
        "a receipt with a line break": (receipt(message_ids=["m1\nm2"]), malformed),
        "a receipt with an empty id": (receipt(message_ids=["m1", ""]), malformed),
        "a receipt with a long id": (receipt(message_ids=["m" * 65]), malformed),
        "a receipt from another": (receipt(from_jid=number), "CONNECTION_MULTIPLEXED"),
        "a receipt to a username": (receipt(to_jid="alice"), "USER_VISIBLE_IDENTIFIER"),
        "a receipt to a group": (receipt(to_jid="123@g.us"), "GROUPS_NOT_SUPPORTED"),
        "a receipt to nobody": (receipt(to_jid=""), "ADDRESS_MALFORMED"),
        **_bad_retry_receipts(number),
        "typing nothing": (typing(number, state=0), malformed),
        "typing something unknown": (typing(number, state=4), malformed),
        "typing as another": (typing(number, from_jid=number), "CONNECTION_MULTIPLEXED"),
        "typing to a username": (typing("alice"), "USER_VISIBLE_IDENTIFIER"),
        "typing to a group": (typing("123@g.us"), "GROUPS_NOT_SUPPORTED"),
        "a receipt to oneself, device 1": (receipt(to_jid=own_jid.replace("@", ":1@")), "ADDRESS_NAMES_DEVICE"),
    }


def typing(to: str, **changes: object) -> stanza_pb2.Stanza:
    fields: dict[str, object] = {"to_jid": to, "state": stanza_pb2.TYPING_STATE_COMPOSING}
    return stanza_pb2.Stanza(typing=stanza_pb2.Typing(**(fields | changes)))  # type: ignore[arg-type]


def _bad_retry_receipts(number: str) -> dict[str, tuple[stanza_pb2.Stanza, str]]:
    """Retry receipts that are refused: their form, their keys, their address."""
    malformed, key_malformed = "STANZA_MALFORMED", "KEY_MALFORMED"
    keys = SignalState.generate().publishable
    signed = keys.signed_prekey
    bundle = {
        "identity_key": keys.identity_key,
        "signed_prekey_id": signed.key_id,
        "signed_prekey": signed.public_key,
        "signed_prekey_signature": signed.signature,
        "one_time_prekey_id": 1,
        "one_time_prekey": bytes(32),
    }

    def retry(**changes: object) -> stanza_pb2.Stanza:
        fields: dict[str, object] = {"to_jid": number, "message_id": "m1", "retry_count": 2, "keys": bundle}
        return stanza_pb2.Stanza(retry_receipt=stanza_pb2.RetryReceipt(**(fields | changes)))  # type: ignore[arg-type]

    def with_keys(**changes: object) -> stanza_pb2.Stanza:
        return retry(keys=bundle | changes)

    return {
        "a retry of nothing": (retry(message_id=""), malformed),
        "a retry of a long id": (retry(message_id="m" * 65), malformed),
        "a retry that counts from 0": (retry(retry_count=0), malformed),
        "a retry for no reason known": (retry(reason=14), malformed),
        "a second retry without keys": (retry(keys=None), malformed),
        "a retry for a download that went well": (retry(media_status=200), malformed),
        "a retry with a short identity key": (with_keys(identity_key=bytes(31)), key_malformed),
        "a retry with a signed prekey of id 0": (with_keys(signed_prekey_id=0), key_malformed),
        "a retry with an id of four bytes": (with_keys(one_time_prekey_id=1 << 24), key_malformed),
        "a retry without a one-time prekey": (with_keys(one_time_prekey=b""), key_malformed),
        "a retry signed by nobody": (with_keys(signed_prekey=b"\x09" + bytes(31)), "PREKEY_SIGNATURE_INVALID"),
        "a retry from another": (retry(from_jid=number), "CONNECTION_MULTIPLEXED"),
        "a retry to an e-mail address": (retry(to_jid="bob@bats.example"), "USER_VISIBLE_IDENTIFIER"),
        "a retry to nobody": (retry(to_jid=""), "ADDRESS_MALFORMED"),
    }


@pytest.mark.requirement("PRX-03", "RCP-03", "MSG-13")
async def test_a_bad_stanza_is_refused_and_the_connection_goes_on(world: World) -> None:
    """Server's own stanzas, unknown kinds, fields out of range: each is answered, none ends the stream (CHN-09)."""
    bob = await bobs_device(world)
    table = bad_stanzas(bob.jid)
    every_kind = {field.name for field in stanza_pb2.Stanza.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert len(every_kind - table.keys()) == 10  # the kinds that a client may send
    async with no_trace(world.admin), logged_in(world, bob) as (stream, _):
        for ref, (name, (stanza, reason)) in enumerate(table.items()):
            with case(name):
                await stream.send_stanzas(with_ref(stanza, ref))
                answer = await stream.receive_kind("stanza_refused")
                refused = answer.stanza_refused
                check_error(refused.error, reason)
                assert refused.id == (stanza.call_offer.id or stanza.retry_receipt.message_id)[:64]
                assert refused.kind == (stanza.WhichOneof("kind") or "")
                assert answer.HasField("ref") and answer.ref == ref
        await stream.send_stanzas(*(stanza for stanza, _ in table.values()), PING)
        answers: list[stanza_pb2.Stanza] = []
        while not any(answer.HasField("pong") for answer in answers):
            answers += await stream.receive()
        assert [answer.WhichOneof("kind") for answer in answers] == ["stanza_refused"] * len(table) + ["pong"]


def with_ref(stanza: stanza_pb2.Stanza, ref: int) -> stanza_pb2.Stanza:
    """Returns a stanza that the client calls by a number of its own."""
    named = stanza_pb2.Stanza.FromString(stanza.SerializeToString())
    named.ref = ref
    return named


async def test_a_client_knows_what_an_answer_answers(world: World) -> None:
    """What it calls a stanza comes back on the pong and on the refusal; without a name of its own, nothing does."""
    bob = await bobs_device(world)
    async with logged_in(world, bob) as (stream, _):
        most = 2**64 - 1
        await stream.send_stanzas(with_ref(PING, most), with_ref(stanza_pb2.Stanza(), 0), PING)
        answers: list[stanza_pb2.Stanza] = []
        while len(answers) < 3:
            answers += await stream.receive()
        seen = [(answer.WhichOneof("kind"), answer.ref if answer.HasField("ref") else None) for answer in answers]
        assert seen == [("pong", most), ("stanza_refused", 0), ("pong", None)]


def message(to: str, **changes: object) -> stanza_pb2.Message:
    """Returns a message of good form, with fields changed."""
    enc = stanza_pb2.Enc(type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=b"sealed")
    fields: dict[str, object] = {"id": "m1", "to_jid": to, "type": stanza_pb2.MESSAGE_TYPE_TEXT, "enc": [enc]}
    return stanza_pb2.Message(**(fields | changes))  # type: ignore[arg-type]


def bad_messages(alice: str, most: int) -> dict[str, tuple[stanza_pb2.Message, str]]:
    """Messages to somebody who can be reached, and why they are refused all the same."""
    malformed, devices = "STANZA_MALFORMED", "DEVICE_LIST_MISMATCH"

    def enc(**changes: object) -> stanza_pb2.Enc:
        fields: dict[str, object] = {"type": stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, "ciphertext": b"sealed"}
        return stanza_pb2.Enc(**(fields | changes))  # type: ignore[arg-type]

    sender_key = enc(type=stanza_pb2.CIPHERTEXT_TYPE_SENDER_KEY)
    ids = [
        "",
        "m" * 65,
        "a b",
        "a\n",
        "a/b",
        "é",
        "m\0",
        "\N{RIGHT-TO-LEFT OVERRIDE}m",
        "\N{FULLWIDTH DIGIT ONE}",
        "💬",
    ]
    return {
        **{f"id {bad!r}": (message(alice, id=bad), malformed) for bad in ids},
        "no type": (message(alice, type=0), malformed),
        "an unknown type": (message(alice, type=99), malformed),
        "from another": (message(alice, from_jid=alice), "CONNECTION_MULTIPLEXED"),
        "from another partner's user": (
            message(alice, from_jid="2-10000000000001@interop"),
            "CONNECTION_MULTIPLEXED",
        ),
        "no enc": (message(alice, enc=[]), devices),
        "two enc": (message(alice, enc=[enc(), enc(device_id=1)]), devices),
        "two enc for one device": (message(alice, enc=[enc(), enc()]), devices),
        "device 1": (message(alice, enc=[enc(device_id=1)]), devices),
        "the largest device": (message(alice, enc=[enc(device_id=2**32 - 1)]), devices),
        "device 1 in the address": (message(alice.replace("@", ":1@")), "ADDRESS_NAMES_DEVICE"),
        "a sender key": (message(alice, enc=[sender_key]), "GROUPS_NOT_SUPPORTED"),
        "a sender key beside": (message(alice, enc=[enc(), sender_key]), "GROUPS_NOT_SUPPORTED"),
        "no ciphertext": (message(alice, enc=[enc(ciphertext=b"")]), malformed),
        "a ciphertext of no type": (message(alice, enc=[enc(type=0)]), malformed),
        "a ciphertext of an unknown type": (message(alice, enc=[enc(type=4)]), malformed),
        "a sixth retry": (message(alice, retry_count=6), malformed),
        "a reporting token too short": (message(alice, reporting_token=bytes(15)), malformed),
        "a reporting token too long": (message(alice, reporting_token=bytes(17)), malformed),
        "a ciphertext too long": (message(alice, enc=[enc(ciphertext=bytes(most + 1))]), "MESSAGE_TOO_LARGE"),
    }


@pytest.mark.requirement("MSG-03", "PRX-03")
async def test_a_bad_message_is_refused_and_nothing_is_stored(world: World) -> None:
    """Each in its own ack, in order, in a batch or alone; a good one between them is taken (MSG-03, MSG-11)."""
    alice, bob = await world.whatsapp(options=QUIET), await bobs_device(world)
    async with logged_in(world, bob) as (stream, login):
        table = bad_messages(alice.jid, login.limits.max_ciphertext_bytes)
        async with no_trace(world.admin):
            for name, (bad, reason) in table.items():
                with case(name):
                    await stream.send_stanzas(stanza_pb2.Stanza(message=bad))
                    (ack,) = (await stream.receive_kind("send_acks")).send_acks.acks
                    assert (ack.id, ack.timestamp_ms) == (bad.id[:64], 0)
                    check_error(ack.error, reason)
        batch = [stanza_pb2.Stanza(message=bad) for bad, _ in table.values()]
        good = stanza_pb2.Stanza(message=message(alice.jid, id="good"))
        await stream.send_stanzas(*batch, good, *batch)
        acks = (await stream.receive_kind("send_acks")).send_acks.acks
        assert [ack.id for ack in acks if not ack.HasField("error")] == ["good"]
        assert len(acks) == 2 * len(table) + 1
        assert not acks[len(table)].HasField("error")


@pytest.mark.requirement("MSG-11")
async def test_the_longest_ciphertext_is_taken(world: World) -> None:
    """The limit itself is allowed (MSG-11)."""
    alice, bob = await world.whatsapp(options=QUIET), await bobs_device(world)
    async with logged_in(world, bob) as (stream, login):
        enc = stanza_pb2.Enc(
            type=stanza_pb2.CIPHERTEXT_TYPE_DOUBLE_RATCHET, ciphertext=bytes(login.limits.max_ciphertext_bytes)
        )
        await stream.send_stanzas(stanza_pb2.Stanza(message=message(alice.jid, enc=[enc])))
        (ack,) = (await stream.receive_kind("send_acks")).send_acks.acks
        assert not ack.HasField("error")


@pytest.mark.requirement("CHN-11")
async def test_the_last_login_counts(world: World) -> None:
    """The connection before it is told that it was replaced, and ends (CHN-11)."""
    bob = await bobs_device(world)
    async with logged_in(world, bob) as (first, _), logged_in(world, bob) as (second, _):
        await first.check_ends("CONNECTION_REPLACED")
        await second.send_stanzas(PING)
        assert (await second.receive_kind("pong")).pong.id == 7
