"""Steps: the simulator gets to know the messenger, Alice and Bob; knows no message."""

from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2
from interop_demo.people import Person
from interop_demo.stage import ALICE_NUMBER, INTEGRATOR, MESSENGER, Stage, expect


async def register(stage: Stage) -> str:
    """Registers the messenger and Alice's number with the simulator, as its operator does."""
    tell = stage.timeline.tell
    await stage.start()
    count = len(stage.ground.nodes)
    servers = "the simulator" if count == 1 else f"{count} nodes of the simulator"
    tell("all processes", f"are ready: {servers}, {MESSENGER}'s server, and a device each for Alice, Bob and Carol")
    if count > 1:
        tell("operator", "sends Alice to the first node, Bob to the second, Carol and her messenger to the last")
    async with stage.admin() as admin:
        keys = await admin.put_partner(_partner(stage))
        stage.timeline.decide(f"registers {MESSENGER} as partner {INTEGRATOR}, fetches {keys} of its public keys")
        expect(keys >= 1, "the server fetched no key of the messenger")
        partner = next((p for p in await admin.list_partners() if p.integrator == INTEGRATOR), None)
        expect(partner is not None and partner.proxy_allowed, "the partner is not listed with proxy mode allowed")
        auth_key = bytes.fromhex((await stage.alice.ask("make_keys"))["auth_public_key"])
        stage.alice.jid = await admin.put_whatsapp_user(ALICE_NUMBER, auth_key)
    tell(stage.alice, f"gets the number {ALICE_NUMBER}, JID {stage.alice.jid}")
    await stage.alice.ask("connect", simulator=stage.place_of(stage.alice))
    await _publish_prekeys(stage, stage.alice)
    settings = await stage.alice.ask("get_settings")
    expect(settings["eligible"], "Alice's number does not qualify for third-party chats")
    expect(not settings["enabled"] and not settings["integrators"], "third-party chats are not off at first")
    stage.timeline.decide("third-party chats are off for Alice until she turns them on")
    return f"{keys} signing key of {MESSENGER} fetched; third-party chats are off for Alice"


async def enlist(stage: Stage) -> str:
    """Lets Bob enlist with a token, connect and publish prekeys."""
    bob, addresses = stage.bob, stage.place_of(stage.bob)
    bob.jid = (await bob.ask("enlist", simulator=addresses))["jid"]
    expect(bob.jid.startswith(f"{INTEGRATOR}-") and bob.jid.endswith("@interop"), f"{bob.jid} is not a partner's JID")
    stage.timeline.tell(bob, f"enlists with a token of {MESSENGER}: POST /3p/interop_reg, becomes {bob.jid}")
    await bob.ask("connect", simulator=addresses)
    async with stage.admin(bob) as admin:
        connected = {connection.jid for connection in await admin.list_connections()}
    expect({bob.jid, stage.alice.jid} <= connected, "the server does not list Bob and Alice as connected")
    stage.timeline.tell(bob, "connects: Noise handshake, the server's certificate and Bob's token are verified")
    count = await _publish_prekeys(stage, bob)
    return f"Bob is {bob.jid}; connected; {count} one-time prekeys at the server, digest equal on both sides"


async def _publish_prekeys(stage: Stage, person: Person) -> int:
    published = await person.ask("publish_prekeys")
    expect(published["count"] > 0 and published["intact"], f"the server does not hold the keys of {person.name}")
    stage.timeline.tell(person, f"publishes {published['count']} one-time prekeys")
    return int(published["count"])


def _partner(stage: Stage) -> admin_pb2.Partner:
    ready = stage.messenger.ready
    return admin_pb2.Partner(
        integrator=INTEGRATOR,
        name=MESSENGER,
        issuer=ready["issuer"],
        base_url=ready["base_url"],
        push_url=ready["push_url"],
        media_url=ready["media_url"],
        status=interop_pb2.PARTNER_STATUS_ACTIVE,
        identifier_type=interop_pb2.IDENTIFIER_TYPE_EMAIL,
        proxy_allowed=True,
    )
