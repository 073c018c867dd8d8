"""What a third-party user gets to know of a WhatsApp user, taken from everything that reaches their client."""

from collections.abc import Iterator

import pytest
from google.protobuf.message import Message

from interop_api.v1 import integrity_pb2, interop_pb2, prekeys_pb2, stanza_pb2
from interop_client.client import InteropClient
from interop_client.state import ClientState
from interop_client.whatsapp import WhatsAppClient
from tests.e2e.conftest import World
from tests.e2e.raw import QUIET
from tests.e2e.wire import Wire, sealed_message


def texts(message: Message) -> Iterator[tuple[str, str]]:
    """Every text in a message, and in what lies in it, with the name of its field."""
    for field, value in message.ListFields():
        for each in value if field.is_repeated else (value,):
            if isinstance(each, Message):
                yield from texts(each)
            elif isinstance(each, str):
                yield f"{message.DESCRIPTOR.name}.{field.name}", each


async def call(client: InteropClient, service: str, method: str, request: Message) -> Message:
    module = {"InteropService": interop_pb2, "PreKeyService": prekeys_pb2, "IntegrityService": integrity_pb2}[service]
    response_type = getattr(module, f"{method}Response")
    response: Message = await client.transport.call(f"/interop_api.v1.{service}/{method}", request, response_type)
    return response


@pytest.mark.requirement("OPT-13")
async def test_a_third_party_learns_nothing_but_jid_and_number(world: World) -> None:
    """Look-up, bundle, message, receipt, trust and a new identity: no text of Alice's but these two (OPT-13).

    1. Bob looks Alice up, takes her bundle, and writes.
    2. Alice reads it, writes back, blocks somebody, and gets a new identity key.
    3. All that has reached Bob is searched for texts.
    """
    alice, bob = await world.whatsapp(options=QUIET), await world.third_party("bob", QUIET)
    number = alice.jid.partition("@")[0]
    user = interop_pb2.ExternalUser(external_id=f"+{number}")
    block = integrity_pb2.UpdateBlocklistRequest(action=integrity_pb2.BLOCK_ACTION_BLOCK, jid="999-1@interop")
    reached: list[Message] = [
        await call(bob, "InteropService", "Resolve", interop_pb2.ResolveRequest(users=[user])),
        await call(bob, "PreKeyService", "TakePreKeyBundles", prekeys_pb2.TakePreKeyBundlesRequest(jids=[alice.jid])),
        await call(bob, "IntegrityService", "UpdateBlocklist", block),
        await call(bob, "IntegrityService", "GetBlocklist", integrity_pb2.GetBlocklistRequest()),
    ]
    await bob.close()
    async with Wire(bob.transport) as wire:
        await wire.take_until("offline_end")
        await wire.send(sealed_message(alice.jid, "of-bob"))
        reached += await wire.ping()
        receipt = stanza_pb2.Receipt(type=stanza_pb2.RECEIPT_TYPE_READ, to=bob.jid, message_ids=["of-bob"])
        await alice.send_encrypted(sealed_message(bob.jid, "of-alice").message)
        await alice.transport.send(stanza_pb2.Stanza(receipt=receipt))
        await alice.ping()
        await alice.block("998-1@interop")
        await give_new_identity(world, alice)
        reached += await wire.ping()
    kinds = {stanza.WhichOneof("kind") for stanza in reached if isinstance(stanza, stanza_pb2.Stanza)}
    events = {
        stanza.notification.WhichOneof("event")
        for stanza in reached
        if isinstance(stanza, stanza_pb2.Stanza) and stanza.HasField("notification")
    }
    assert kinds >= {"send_acks", "message", "receipt", "notification"}
    assert events == {"trusted_contact", "identity_changed"}

    known = {alice.jid, number, f"+{number}", "of-bob", "of-alice", "999-1@interop"}
    found = {each for message in reached for each in texts(message)}
    assert {field for field, text in found if text == number} == {"Resolved.normalized_external_id"}
    assert {text for _, text in found} == known


async def give_new_identity(world: World, alice: WhatsAppClient) -> None:
    """Publishes the keys of a new phone of Alice's, whose connection replaces the one before."""
    new_phone = ClientState.generate(alice.jid)
    new_phone.auth_private_key = alice.state.auth_private_key
    async with WhatsAppClient.direct(world.endpoint, new_phone, options=QUIET) as alice_again:
        await alice_again.publish_prekeys(1)
