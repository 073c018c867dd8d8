"""KEY: prekeys, as the server and the peers see them."""

import asyncio
from collections.abc import Sequence

from interop_api.admin.v1alpha1 import faults_pb2, journal_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import errors_pb2
from interop_client.signal.errors import SignalError
from interop_client.signal.x3dh import PreKeyBundle
from interop_conformance.check import Level, NotApplicable, NotSo, check
from interop_conformance.checks.channel import CONNECTS, RETRY_AFTER_MS, is_patient
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device, refused, told
from interop_conformance.people import Person
from interop_conformance.stage import Stage

MAX_PREKEY_ID = 16_777_215
FEW = 12
"""Prekeys of which some are taken until the server says that few are left."""
MOST_TAKEN = 400
"""After so many bundles few must be left, also of a client that publishes more than it was asked to."""
MOST_REFILLS = 2
MOST_BUNDLES = 2
REPEATED = 6

TAKE = "PreKeyService.TakePreKeyBundles"
SET = "PreKeyService.SetPreKeys"
ADD = "PreKeyService.AddOneTimePreKeys"


@check(
    "KEY-01.bundle-verifies",
    Level.MUST,
    "The keys that the client has published verify, and are those with which it encrypts.",
    milestone=2,
    after=(CONNECTS, SENDS),
)
async def bundle_verifies(stage: Stage) -> None:
    """The identity key has signed the signed prekey, and it is the one in the client's first message."""
    alice, bob = await stage.pair()
    await bob.send(alice.jid, "Hello")
    await alice.reads("Hello")
    bundle = await _taken(alice, bob)
    try:
        bundle.verify()
    except SignalError as error:
        raise NotSo("a bundle that verifies", str(error)) from error
    used = alice.client.state.signal.trusted_identity(bob.jid)
    stage.expect(used == bundle.identity_key, "one identity key in bundle and messages", "two")


@check(
    "KEY-12.one-registration-id",
    Level.SHOULD,
    "The registration id in the client's messages is the one that it has published.",
    milestone=2,
    after=(CONNECTS, SENDS),
)
async def one_registration_id(stage: Stage) -> None:
    """A peer tells by it whether a session is with the device that there is."""
    alice, bob = await stage.pair()
    await bob.send(alice.jid, "Hello")
    await alice.reads("Hello")
    used = alice.client.state.signal.remote_registration_id(bob.jid)
    published = (await _taken(alice, bob)).registration_id
    stage.expect(used == published, f"{published} in its messages", used)


@check(
    "KEY-05.prekeys-differ",
    Level.MUST,
    "Each one-time prekey is another key under another id, and opens the message of whoever got it.",
    milestone=2,
    after=(CONNECTS, SHOWS),
)
async def prekeys_differ(stage: Stage) -> None:
    """Three users write for the first time, at once."""
    bob, *people = await asyncio.gather(stage.bob(), stage.alice(), stage.alice(), stage.alice())
    bundles = await asyncio.gather(*(_taken(person, bob) for person in people))
    prekeys = [(bundle.one_time_prekey_id, bundle.one_time_prekey) for bundle in bundles]
    stage.expect(all(key_id for key_id, _ in prekeys), "a one-time prekey in each bundle", "one without")
    stage.expect(all(len(set(part)) == len(people) for part in zip(*prekeys, strict=True)), "three keys", prekeys)
    stage.expect(all(1 <= (key_id or 0) <= MAX_PREKEY_ID for key_id, _ in prekeys), "ids in range", prekeys)
    for person, bundle in zip(people, bundles, strict=True):
        await _begin(person, bob, bundle)
    await asyncio.gather(*(person.send(bob.jid, f"from {person.jid}") for person in people))
    for person in people:
        await bob.shows_text(f"from {person.jid}")


@check(
    "KEY-05.used-prekey-is-gone",
    Level.MUST,
    "A one-time prekey opens one session, and no second one.",
    milestone=2,
    after=(CONNECTS, SHOWS),
)
async def used_prekey_is_gone(stage: Stage) -> None:
    """A second user writes with the bundle that the first one got."""
    alice, bob = await stage.pair()
    carol = await stage.alice()
    bundle = await _taken(alice, bob)
    stage.expect(bundle.one_time_prekey_id, "a one-time prekey in the bundle", "none")
    await _begin(alice, bob, bundle)
    await alice.send(bob.jid, "first use")
    await bob.shows_text("first use")
    await _begin(carol, bob, bundle)
    await carol.send_sealed(await carol.seal(bob.jid, "second use"))
    await stage.marker(alice, bob)
    stage.expect("second use" not in bob.texts(), "a message that cannot be opened", "it is shown")


@check(
    "KEY-06.opens-without-one-time-prekey",
    Level.MUST,
    "A first message is opened, too, when no one-time prekey was left for its sender.",
    milestone=2,
    after=(CONNECTS, SHOWS),
)
async def opens_without_one_time_prekey(stage: Stage) -> None:
    """The bundle that the WhatsApp user gets has none."""
    alice, bob = await stage.pair()
    await _leave_out_one_time_prekey(stage, alice.jid, bob.jid)
    await alice.send_sealed(await alice.seal(bob.jid, "without one-time prekey"))
    await bob.shows_text("without one-time prekey")


@check(
    "KEY-06.begins-without-one-time-prekey",
    Level.MUST,
    "The client begins a session also with a user of whom no one-time prekey is left.",
    milestone=2,
    after=(CONNECTS, SENDS),
)
async def begins_without_one_time_prekey(stage: Stage) -> None:
    """The bundle that the client gets has none."""
    alice, bob = await stage.pair()
    await _leave_out_one_time_prekey(stage, bob.jid, alice.jid)
    await bob.send(alice.jid, "without one-time prekey")
    await alice.reads("without one-time prekey")


@check(
    "KEY-09.refills",
    Level.SHOULD,
    "When the server says that few one-time prekeys are left, the client adds some.",
    milestone=2,
    after=(CONNECTS,),
)
async def refills(stage: Stage) -> None:
    """Bundles are taken until it says so."""
    alice = await stage.alice()
    bob = await stage.bob(prekeys=FEW)
    before = await _use_up(stage, alice, bob)
    await stage.decides(
        bob.jid, "PreKeyService.", lambda _: len(_publications(stage, bob)) > before, "the client adds prekeys"
    )


@check(
    "KEY-09.refills-once",
    Level.SHOULD,
    "The client does not publish again for each repetition of the notice that few prekeys are left.",
    milestone=2,
    after=(CONNECTS, "KEY-09.refills"),
)
async def refills_once(stage: Stage) -> None:
    """The notice comes seven times at once."""
    alice = await stage.alice()
    bob = await stage.bob(prekeys=FEW)
    match = {"stanza": "notification", "direction": faults_pb2.FAULT_DIRECTION_TO_CLIENT, "actor": bob.jid}
    await stage.add_fault("repeated", match, duplicate=faults_pb2.FaultDuplicate(copies=REPEATED))
    before = await _use_up(stage, alice, bob)
    is_quiet = await stage.never(lambda: len(_publications(stage, bob)) > before + MOST_REFILLS)
    stage.expect(is_quiet, f"prekeys published at most {MOST_REFILLS} times", "more often")


@check(
    "KEY-10.answers-digest-request",
    Level.SHOULD,
    "Asked by the server, the client compares its keys with those that the server holds.",
    milestone=2,
    after=(CONNECTS,),
)
async def answers_digest_request(stage: Stage) -> None:
    """It asks for the digest."""
    bob = await stage.bob()
    login = await stage.sends(bob.jid, "login")
    if "CAPABILITY_KEY_DIGESTS" not in login.fields.get("capabilities", ()):
        raise NotApplicable("The client says at login that it does not know such requests.")
    await stage.admin.request_key_digest(bob.jid)
    await stage.decides(bob.jid, "PreKeyService.GetKeyDigest", what="the client asks for the digest of its keys")


@check(
    "KEY-11.opens-with-keys-before-the-last",
    Level.SHOULD,
    "A message that was under way while the client published new keys is still opened.",
    milestone=2,
    after=(CONNECTS, SHOWS),
)
async def opens_with_keys_before_the_last(stage: Stage) -> None:
    """Sealed for the bundle of before, it is sent after two publications."""
    alice, bob = await stage.pair()
    message = await alice.seal(bob.jid, "under way")
    for _ in range(2):
        await bob.do(publish_prekeys=pb.PublishPreKeysCommand(count=20))
    await alice.send_sealed(message)
    await bob.shows_text("under way")


@check(
    "KEY-13.publishes-after-trouble",
    Level.SHOULD,
    "When the server could not take prekeys for a moment, the client tries again, or can be told to.",
    milestone=2,
    after=(CONNECTS, SHOWS),
)
async def publishes_after_trouble(stage: Stage) -> None:
    """The first publication is refused as the server's fault; after the next the keys are right."""
    alice, bob = await asyncio.gather(stage.alice(), _connected(stage))
    refuse = faults_pb2.FaultRefuse(reason=errors_pb2.ERROR_REASON_SERVER_FAULT)
    await stage.add_fault("trouble", {"call": SET, "actor": bob.jid}, times=1, refuse=refuse)
    await _publish_until_done(bob)
    await alice.send(bob.jid, "after trouble")
    await bob.shows_text("after trouble")


@check(
    "KEY-13.renews-a-refused-signed-prekey",
    Level.SHOULD,
    "When the server refuses the signed prekey, the client makes another one.",
    milestone=2,
    after=(CONNECTS, SHOWS),
)
async def renews_a_refused_signed_prekey(stage: Stage) -> None:
    """The first publication is refused for its signature."""
    alice, bob = await asyncio.gather(stage.alice(), stage.bob())
    before = await _taken(alice, bob)
    refuse = faults_pb2.FaultRefuse(reason=errors_pb2.ERROR_REASON_PREKEY_SIGNATURE_INVALID)
    await stage.add_fault("bad-signature", {"call": SET, "actor": bob.jid}, times=1, refuse=refuse)
    await _publish_until_done(bob)
    after = await _taken(alice, bob)
    stage.expect(after.signed_prekey != before.signed_prekey, "another signed prekey", "the one that was refused")
    await alice.send(bob.jid, "with new keys")
    await bob.shows_text("with new keys")


@check(
    "KEY-03.keeps-keys-of-a-lost-answer",
    Level.SHOULD,
    "When the answer to a publication is lost, the client keeps the keys: the server may have them.",
    milestone=2,
    after=(CONNECTS, SHOWS),
)
async def keeps_keys_of_a_lost_answer(stage: Stage) -> None:
    """The server has taken them, and a user writes with one of them."""
    alice, bob = await asyncio.gather(stage.alice(), _connected(stage))
    match = {"call": SET, "actor": bob.jid}
    fault = await stage.add_fault("lost-answer", match, lose_answer=faults_pb2.FaultLoseAnswer())
    asking = asyncio.create_task(bob.ask(publish_prekeys=pb.PublishPreKeysCommand(count=20)))
    try:
        await stage.decides(bob.jid, SET)
        await asyncio.wait((asking,), timeout=stage.patience / 2)  # whether it gives up is its own affair
        await stage.clear_fault(fault)
    finally:
        asking.cancel()
    bundle = await _taken(alice, bob)
    stage.expect(bundle.one_time_prekey, "the keys at the server", "none")
    await _begin(alice, bob, bundle)
    await alice.send_sealed(await alice.seal(bob.jid, "with those keys"))
    await bob.shows_text("with those keys")


@check(
    "KEY-14.a-bundle-for-a-session",
    Level.SHOULD,
    "The client takes a bundle to begin a session, not one for each message.",
    milestone=3,
    after=(CONNECTS, SENDS),
)
async def a_bundle_for_a_session(stage: Stage) -> None:
    """Five texts to one user, who answers the third."""
    alice, bob = await stage.pair()
    for number in range(5):
        await bob.send(alice.jid, f"text {number}")
        await alice.reads(f"text {number}")
        if number == 2:
            await stage.marker(alice, bob)
    last = await bob.send(alice.jid, "last text")
    await stage.decides(bob.jid, "stanza.message", lambda entry: entry.subject == last)
    taken = stage.decisions(bob.jid, "prekey.take", lambda entry: entry.subject == alice.jid)
    stage.expect(len(taken) <= MOST_BUNDLES, "a bundle for the session", f"{len(taken)} bundles for five texts")


@check(
    "KEY-14.waits-as-told",
    Level.SHOULD,
    "A client that gets no bundle until later says when, or waits; it does not ask again and again.",
    milestone=3,
    after=(CONNECTS, SENDS),
)
async def waits_as_told(stage: Stage) -> None:
    """The server says that it gives out bundles again in a minute."""
    alice, bob = await stage.pair()
    refuse = faults_pb2.FaultRefuse(
        reason=errors_pb2.ERROR_REASON_RATE_LIMITED, retry_after_ms=RETRY_AFTER_MS, requirement="KEY-14"
    )
    await stage.add_fault("no-bundles", {"call": TAKE, "actor": bob.jid}, refuse=refuse)
    await is_patient(stage, bob, send_text=pb.SendTextCommand(to_jid=alice.jid, text="Hello"))


async def _with_a_new_phone(stage: Stage) -> tuple[Person, Device]:
    """Has two talk, and Alice write from a new phone; waits until Bob was shown that her key has changed."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await alice.install_anew()
    await alice.send(bob.jid, "from the new phone")
    await bob.shows("identity_change_shown", lambda each: each.jid == alice.jid, "that the identity key has changed")
    return alice, bob


@check(
    "KEY-17.changed-identity-is-shown",
    Level.MUST,
    "The user is shown that a peer's identity key has changed.",
    milestone=4,
    after=(CONNECTS, SENDS, SHOWS),
)
async def changed_identity_is_shown(stage: Stage) -> None:
    """The WhatsApp user has a new phone."""
    await _with_a_new_phone(stage)


@check(
    "KEY-17.talks-with-a-changed-identity",
    Level.MUST,
    "After a peer's identity key has changed, and the user has accepted it, both can write again.",
    milestone=4,
    after=(CONNECTS, SENDS, SHOWS),
)
async def talks_with_a_changed_identity(stage: Stage) -> None:
    """Texts both ways, with the new phone."""
    alice, bob = await _with_a_new_phone(stage)
    await bob.ask(accept_identity=pb.AcceptIdentityCommand(jid=alice.jid))
    await bob.shows_text("from the new phone")
    await bob.send(alice.jid, "to the new phone")
    await alice.reads("to the new phone")


@check(
    "KEY-17.waiting-message-comes",
    Level.MUST,
    "A message under another identity key, of which nobody has told, warns the user, and comes when they accept it.",
    milestone=4,
    after=(CONNECTS, SENDS, SHOWS),
)
async def waiting_message_comes(stage: Stage) -> None:
    """The server's notice is lost."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    match = {"stanza": "notification", "direction": faults_pb2.FAULT_DIRECTION_TO_CLIENT, "actor": bob.jid}
    await stage.add_fault("no-notice", match, drop=faults_pb2.FaultDrop())
    await alice.install_anew()
    await alice.send(bob.jid, "unannounced")
    await bob.shows("identity_change_shown", lambda each: each.jid == alice.jid, "that the identity key has changed")
    await bob.ask(accept_identity=pb.AcceptIdentityCommand(jid=alice.jid))
    await bob.shows_text("unannounced")


async def _taken(person: Person, device: Device) -> PreKeyBundle:
    return await person.does("take prekeys", person.client.take_prekey_bundle(device.jid))


async def _begin(person: Person, device: Device, bundle: PreKeyBundle) -> None:
    async def begin() -> None:
        person.client.state.signal.process_bundle(device.jid, bundle)

    await person.does("begin a session", begin())


async def _connected(stage: Stage) -> Device:
    device = await stage.device()
    await device.enlist()
    await device.connect()
    return device


async def _publish_until_done(device: Device) -> None:
    """Publishes, and once more when that is refused: whether a client tries again by itself is its own affair."""
    first = await device.ask(publish_prekeys=pb.PublishPreKeysCommand(count=20))
    if refused(first) or first.HasField("failed"):
        again = await device.ask(publish_prekeys=pb.PublishPreKeysCommand(count=20))
        if not again.HasField("done"):
            raise NotSo("`publish_prekeys` succeeds at the second attempt", told(again))


async def _leave_out_one_time_prekey(stage: Stage, actor: str, peer: str) -> None:
    part = faults_pb2.FaultReplacement(part=faults_pb2.FAULT_KEY_PART_ONE_TIME_PREKEY)
    replace_keys = faults_pb2.FaultReplaceKeys(replacements=[part])
    await stage.add_fault("none-left", {"call": TAKE, "actor": actor, "peer": peer}, replace_keys=replace_keys)


def _publications(stage: Stage, device: Device) -> Sequence[journal_pb2.JournalEntry]:
    return [entry for entry in stage.decisions(device.jid, "PreKeyService.") if entry.action in (SET, ADD)]


async def _use_up(stage: Stage, alice: Person, bob: Device) -> int:
    """Takes bundles until the server tells the client that few are left; returns how often it had published before."""
    await _taken(alice, bob)
    await stage.decides(alice.jid, "prekey.take")  # after that the record has all earlier decisions
    before = len(_publications(stage, bob))
    for _ in range(MOST_TAKEN):
        await _taken(alice, bob)
        if _notices(stage, bob):
            return before
    raise NotApplicable("The client publishes so many prekeys that they do not come to an end.")


def _notices(stage: Stage, device: Device) -> Sequence[object]:
    """Notices that few are left, apart from the one that there are none yet."""
    return stage.got(device.jid, "notification", lambda fields: int(fields.get("prekeys_low", {}).get("count", 0)) > 0)
