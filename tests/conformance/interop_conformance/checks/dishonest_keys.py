"""A dishonest server: certificates and keys that are not what they should be."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import stanza_pb2
from interop_conformance.attack import (
    Mallory,
    Replacement,
    attack,
    attempt,
    forged_signature,
    give_other_keys,
    grows_to,
    has_failed,
    must_warn,
    replacement,
    score,
    settle,
    to_bob,
    warnings,
)
from interop_conformance.check import Level, Score
from interop_conformance.checks.channel import CONNECTS
from interop_conformance.checks.deliveries import BACKLOG
from interop_conformance.checks.messages import SENDS, SHOWS, TELLS
from interop_conformance.device import Device, told
from interop_conformance.people import PREKEYS, Person
from interop_conformance.stage import Stage

LOW_ORDER = tuple(
    number.to_bytes(32, "little")
    for number in (
        0,
        1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    )
)
"""Points of order 4, 1 and 8, with which every secret that is agreed is zero."""
MAX_PUBLISHED = 10
"""How often a client may publish, when it is told fifty times that few prekeys are left."""
_VERIFIES = "A handshake that does not verify who answers protects against nobody."
_BOUND = "A session is bound to the identity keys of both ends: whoever takes another one talks with somebody else."


async def _refuses_chain(stage: Stage, chain: str) -> Score:
    """Shows a chain until the connection has failed; what is sent meanwhile comes with the next, honest one."""
    alice, bob = await stage.pair()
    await stage.sends(bob.jid, "login")
    await bob.disconnect()
    logins = len(stage.sent(bob.jid, "login"))
    shown = await stage.add_fault(
        "chain", {"call": "ChatService.Connect"}, present_certificates={"chain": f"FAULT_CHAIN_{chain}"}
    )
    result = await attempt(bob, connect=pb.ConnectCommand(token=bob.token()))
    stage.expect(has_failed(result), "`connect` fails", told(result))
    sent = await alice.send(bob.jid, "Are you there?")
    await stage.sends(alice.jid, "message", lambda each: each.get("id") == sent.id)
    carried = len(stage.sent(bob.jid, "login")) - logins
    stage.expect(carried == 0, "no login reaches a server that is not certified", f"{carried} did")
    await stage.clear_fault(shown)
    await bob.connect()
    await bob.shows_text("Are you there?")
    return Score.NOTICED


@attack(
    "CHN-04.dishonest-root",
    Level.MUST,
    "The client does not log in to a server whose certificates another root has signed.",
    forced_by=_VERIFIES,
    modes=("direct",),
    after=(CONNECTS, SHOWS, BACKLOG),
    is_alone=True,
)
async def another_root(stage: Stage) -> Score:
    """The chain is right but for its root."""
    return await _refuses_chain(stage, "WRONG_ROOT")


@attack(
    "CHN-04.dishonest-leaf",
    Level.MUST,
    "The client does not log in to a server whose certificates are for another key than it has proved.",
    forced_by=_VERIFIES,
    modes=("direct",),
    after=(CONNECTS, SHOWS, BACKLOG),
    is_alone=True,
)
async def another_leaf(stage: Stage) -> Score:
    """The right root has signed the leaf, which is not the server's."""
    return await _refuses_chain(stage, "WRONG_LEAF")


@attack(
    "CHN-04.dishonest-replayed-chain",
    Level.MUST,
    "The client does not log in to somebody in the middle who shows the server's own certificates.",
    forced_by=_VERIFIES,
    modes=("direct",),
    after=(CONNECTS, SHOWS, BACKLOG),
    is_alone=True,
)
async def replayed_chain(stage: Stage) -> Score:
    """The chain is right; the key that the handshake proves is not the one in it."""
    return await _refuses_chain(stage, "REPLAYED")


@attack(
    "CHN-04.dishonest-expired-chain",
    Level.SHOULD,
    "The client does not log in to a server whose certificates have expired.",
    modes=("direct",),
    after=(CONNECTS, SHOWS, BACKLOG),
    is_alone=True,
)
async def expired_chain(stage: Stage) -> Score:
    """It was valid until yesterday."""
    return await _refuses_chain(stage, "EXPIRED")


async def _tempt(stage: Stage, bundles: Iterable[Sequence[Replacement]]) -> Score:
    """Has Bob's client begin a chat with Alice, with one bundle after the other that nobody should use."""
    alice, bob = await stage.pair()
    for number, replacements in enumerate(bundles):
        faults = await give_other_keys(stage, bob, alice, replacements, f"keys{number}")
        result = await attempt(bob, send_text=pb.SendTextCommand(to_jid=alice.jid, text="For you alone"))
        stage.expect(has_failed(result), "nothing is sent under such keys", f"bundle {number}: {told(result)}")
        for fault in faults:
            await stage.clear_fault(fault)
    await settle(stage, alice, bob)
    stage.expect(not stage.sent(bob.jid, "message"), "nothing is sent under such keys", "a message went out")
    return Score.NOTICED


@attack(
    "KEY-01.dishonest-signature",
    Level.MUST,
    "The client sends nothing to whom a bundle is of whose signature does not verify.",
    milestone=3,
    after=(SENDS, SHOWS, TELLS),
)
async def bad_signature(stage: Stage) -> Score:
    """One bit is wrong; or all of it is zero; or it is too short."""
    signatures = (None, bytes(64), b"\xff" * 64, bytes(63))
    return await _tempt(stage, [[replacement("SIGNED_PREKEY_SIGNATURE", each)] for each in signatures])


@attack(
    "KEY-01.dishonest-signed-prekey",
    Level.MUST,
    "The client sends nothing under a signed prekey that the identity key beside it has not signed.",
    milestone=3,
    after=(SENDS, SHOWS, TELLS),
)
async def other_signed_prekey(stage: Stage) -> Score:
    """It is another one, with and without a signature by somebody else; or zero."""
    mallory = Mallory().bundle()
    zero = replacement("SIGNED_PREKEY", bytes(32))
    return await _tempt(stage, [[mallory[1]], [mallory[1], mallory[2]], [zero], [zero, mallory[2]]])


@attack(
    "KEY-01.dishonest-identity-beside-honest-keys",
    Level.MUST,
    "The client sends nothing under an identity key that has not signed the prekey beside it.",
    milestone=3,
    after=(SENDS, SHOWS, TELLS),
)
async def other_identity(stage: Stage) -> Score:
    """It is somebody else's; or zero."""
    keys = (Mallory().identity, bytes(32))
    return await _tempt(stage, [[replacement("IDENTITY_KEY", each)] for each in keys])


@attack(
    "KEY-01.dishonest-weak-keys",
    Level.MUST,
    "The client sends nothing under keys of low order.",
    forced_by="Whatever is agreed with a key of low order is zero: everybody can read what is sent.",
    milestone=3,
    after=(SENDS, SHOWS, TELLS),
)
async def weak_keys(stage: Stage) -> Score:
    """Identity and signed prekey are points of low order, and the signature verifies, as anybody can arrange."""
    prekey = bytes(32)
    return await _tempt(
        stage,
        [
            [
                replacement("IDENTITY_KEY", identity),
                replacement("SIGNED_PREKEY", prekey),
                replacement("SIGNED_PREKEY_SIGNATURE", forged_signature(identity, prekey)),
                replacement("ONE_TIME_PREKEY"),
            ]
            for identity in LOW_ORDER
        ],
    )


async def _must_arrive(stage: Stage, bundles: Iterable[Sequence[Replacement]]) -> Score:
    """Has Bob begin a chat with bundles that a client may refuse or use: what it sends, Alice must come to read."""
    alice, bob = await stage.pair()
    for number, replacements in enumerate(bundles):
        faults = await give_other_keys(stage, bob, alice, replacements, f"keys{number}")
        result = await attempt(bob, send_text=pb.SendTextCommand(to_jid=alice.jid, text="For you alone"))
        for fault in faults:
            await stage.clear_fault(fault)
        if not has_failed(result):
            await alice.reads("For you alone")
            return Score.SURVIVED
    await settle(stage, alice, bob)
    return Score.NOTICED


@attack(
    "KEY-02.dishonest-lengths",
    Level.SHOULD,
    "Keys of another length than 32 bytes do not have the client send what its recipient cannot read.",
    milestone=3,
    after=(SENDS, SHOWS, TELLS),
)
async def wrong_lengths(stage: Stage) -> Score:
    """Each key in turn is a byte too short, or too long."""
    parts = ("IDENTITY_KEY", "SIGNED_PREKEY", "ONE_TIME_PREKEY")
    keys = (b"\x09" * 31, b"\x09" * 33)
    return await _must_arrive(stage, [[replacement(part, key)] for part in parts for key in keys])


@attack(
    "KEY-05.dishonest-one-time-prekey",
    Level.SHOULD,
    "A one-time prekey that is not the recipient's keeps no message from being read in the end.",
    milestone=3,
    after=(SENDS, SHOWS, TELLS),
)
async def other_one_time_prekey(stage: Stage) -> Score:
    """Nobody signs it. A weak one can be refused; with another one, the recipient has to ask for the message again."""
    keys = (*LOW_ORDER, Mallory().identity)
    return await _must_arrive(stage, [[replacement("ONE_TIME_PREKEY", key)] for key in keys])


@attack(
    "KEY-06.dishonest-scarcity",
    Level.MUST,
    "The client begins a chat all the same when the server says that no one-time prekey is left.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def no_one_time_prekey(stage: Stage) -> Score:
    """The bundle comes without one, though there are some."""
    alice, bob = await stage.pair()
    await give_other_keys(stage, bob, alice, [replacement("ONE_TIME_PREKEY")])
    await bob.send(alice.jid, "Hello")
    await alice.reads("Hello")
    return Score.SURVIVED


@attack(
    "KEY-01.dishonest-bundle-of-somebody-else",
    Level.MUST,
    "When the first bundle of a peer was somebody else's, the client warns of the peer's own identity key.",
    forced_by=_BOUND,
    milestone=4,
    after=(SENDS, SHOWS),
)
async def bundle_of_somebody_else(stage: Stage) -> Score:
    """Nobody can notice it at the first contact. It comes out when the peer writes."""
    alice, bob = await stage.pair()
    mallory, before = Mallory(), warnings(bob)
    await give_other_keys(stage, bob, alice, mallory.bundle())
    result = await attempt(bob, send_text=pb.SendTextCommand(to_jid=alice.jid, text="For you alone"))
    if has_failed(result):
        return Score.NOTICED
    await alice.gets_messages()
    return await must_warn(stage, alice, bob, before, result.sent.message_id)


@attack(
    "KEY-17.dishonest-second-change",
    Level.MUST,
    "When a peer's new keys, of which the server has told, were somebody else's, the client warns of the right ones.",
    forced_by=_BOUND,
    milestone=4,
    after=(SENDS, SHOWS),
)
async def second_change(stage: Stage) -> Score:
    """Alice has a new phone; the bundle that Bob's client gets then is neither her old one nor her new one."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await alice.install_anew()
    await bob.shows("identity_change_shown", lambda each: each.jid == alice.jid, "that Alice's key is another one")
    mallory, before = Mallory(), warnings(bob)
    await give_other_keys(stage, bob, alice, mallory.bundle())
    result = await attempt(bob, send_text=pb.SendTextCommand(to_jid=alice.jid, text="For you alone"))
    if has_failed(result):
        return Score.NOTICED
    if not mallory.can_read(await alice.gets_messages()):
        return Score.SURVIVED
    return await must_warn(stage, alice, bob, before, result.sent.message_id)


@attack(
    "KEY-17.dishonest-identity-of-a-known-peer",
    Level.MUST,
    "The client sends nothing to a known peer under an identity key that is not theirs.",
    forced_by=_BOUND,
    milestone=4,
    after=(SENDS, SHOWS),
)
async def identity_of_a_known_peer(stage: Stage) -> Score:
    """The server says that the peer's device is another one, and gives a bundle that is in order, of somebody else."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    alice.client.state.signal.registration_id ^= 1
    await alice.client.publish_prekeys(PREKEYS)
    mallory = Mallory()
    await give_other_keys(stage, bob, alice, mallory.bundle())
    result = await attempt(bob, send_text=pb.SendTextCommand(to_jid=alice.jid, text="For you alone"))
    await _is_unread(stage, alice, mallory)
    await settle(stage, alice, bob)
    await _is_unread(stage, alice, mallory)
    return Score.NOTICED if has_failed(result) else score(bob)


async def _is_unread(stage: Stage, alice: Person, mallory: Mallory) -> None:
    """Looks that nothing that was sent to Alice is for somebody else to read."""
    await alice.does("ping", alice.client.ping())
    stage.expect(not mallory.can_read(alice.messages), "nothing that somebody else can read", "a message to them")


async def _ask_again(
    stage: Stage, alice: Person, bob: Device, mallory: Mallory, keys: stanza_pb2.RetryKeys | None = None
) -> Score:
    """Has Bob write, and Alice ask for it again, with Mallory's keys or with none: only she may be able to read it."""
    before = warnings(bob)
    message_id = await bob.send(alice.jid, "For you alone")
    await alice.reads("For you alone")
    receipt = stanza_pb2.RetryReceipt(
        to_jid=bob.jid,
        message_id=message_id,
        retry_count=1 if keys is None else 2,
        registration_id=alice.client.state.signal.registration_id,
        keys=keys,
    )

    def is_it(message: Mapping[str, Any]) -> bool:
        return message.get("id") == message_id

    await alice.client.transport.send(stanza_pb2.Stanza(retry_receipt=receipt))
    await stage.never(lambda: warnings(bob) > before or len(stage.sent(bob.jid, "message", is_it)) > 1)
    await _is_unread(stage, alice, mallory)
    await settle(stage, alice, bob)
    await _is_unread(stage, alice, mallory)
    return score(bob, before)


@attack(
    "RCP-03.dishonest-bundle-after-a-retry",
    Level.MUST,
    "A message that is asked for again does not go out under an identity key that is not the peer's.",
    forced_by=_BOUND,
    milestone=3,
    after=(SENDS, SHOWS),
)
async def bundle_after_a_retry(stage: Stage) -> Score:
    """A client may take a bundle for the new session that it begins then: it is somebody else's."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    mallory = Mallory()
    await give_other_keys(stage, bob, alice, mallory.bundle())
    return await _ask_again(stage, alice, bob, mallory)


@attack(
    "RCP-03.dishonest-keys-in-a-retry",
    Level.MUST,
    "A message is not sent again to the keys in a retry receipt that are not the peer's.",
    forced_by=_BOUND,
    milestone=3,
    after=(SENDS, SHOWS),
)
async def keys_in_a_retry(stage: Stage) -> Score:
    """The receipt comes from Alice, says the server; the keys in it are somebody else's, and in order."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    mallory = Mallory()
    return await _ask_again(stage, alice, bob, mallory, mallory.retry_keys())


@attack(
    "KEY-05.dishonest-prekey-given-twice",
    Level.MUST,
    "The client opens no second first message with a one-time prekey that was used.",
    milestone=3,
    after=(SHOWS,),
)
async def prekey_given_twice(stage: Stage) -> Score:
    """Two people got the same bundle. The second one's message cannot be opened: the private key is gone."""
    alice, bob = await stage.pair()
    carol = await stage.alice()
    bundle = await alice.does("take prekeys", alice.client.take_prekey_bundle(bob.jid))
    for person in (alice, carol):
        person.client.state.signal.process_bundle(bob.jid, bundle)
    await settle(stage, alice, bob)
    await settle(stage, alice, bob)
    await carol.send_sealed(await carol.seal(bob.jid, "I am the second"))
    await settle(stage, alice, bob)
    stage.expect("I am the second" not in bob.texts(), "the second first message is not opened", "it is shown")
    return score(bob)


@attack(
    "KEY-09.dishonest-low-notices",
    Level.SHOULD,
    "The client does not publish prekeys over and over because it is told again and again that few are left.",
    milestone=2,
    after=(CONNECTS, SHOWS),
)
async def low_notices(stage: Stage) -> Score:
    """One notice comes fifty times."""
    alice, bob = await stage.pair()
    await to_bob(stage, bob, "notices", "notification", 20, duplicate={"copies": 49})
    for _ in range(PREKEYS - 5):
        await alice.does("take prekeys", alice.client.take_prekey_bundle(bob.jid))
    await settle(stage, alice, bob)

    def published() -> int:
        calls = ("PreKeyService.AddOneTimePreKeys", "PreKeyService.SetPreKeys")
        return sum(len(stage.decisions(bob.jid, call)) for call in calls)

    count = await grows_to(stage, published, MAX_PUBLISHED)
    stage.expect(count <= MAX_PUBLISHED, "prekeys are published a few times at most", f"{count} times")
    await settle(stage, alice, bob)
    return Score.SURVIVED
