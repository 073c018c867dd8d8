"""LIF: leaving, and being away; and ENL: coming again, on the same device or after installing anew."""

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.messaging.events import IdentityChanged
from interop_conformance.check import Level, check
from interop_conformance.checks.channel import CONNECTS, is_refused, stays_away, tries_so_far
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device, told
from interop_conformance.people import Person
from interop_conformance.stage import Stage

DAYS_AWAY = 31
"""More than the thirty days after which an account is un-enlisted."""


@check(
    "ENL-13.enlisting-again-keeps-the-account",
    Level.MUST,
    "A client that enlists again keeps JID and identity key, and its chats go on.",
    milestone=1,
    after=(CONNECTS, SENDS, SHOWS),
)
async def enlisting_again_keeps_the_account(stage: Stage) -> None:
    """Nothing has changed for a user who has a chat with it."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    jid, identity = bob.jid, await _identity(alice, bob)
    again = await bob.enlist()
    stage.expect(again == jid, jid, again)
    await bob.connect()
    stage.expect(await _identity(alice, bob) == identity, "the same identity key", "another one")
    await _go_on(stage, alice, bob)


@check(
    "ENL-13.installing-anew-keeps-the-account",
    Level.MUST,
    "A user who installs the client anew and enlists again keeps the JID, and others can write with them.",
    milestone=1,
    after=(CONNECTS, SENDS, SHOWS),
)
async def installing_anew_keeps_the_account(stage: Stage) -> None:
    """The chat goes on under the new keys."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    jid = bob.jid
    await _install_anew(alice, bob)
    stage.expect(bob.jid == jid, jid, bob.jid)
    await alice.send(bob.jid, "to the new installation")
    await bob.shows_text("to the new installation")
    await bob.send(alice.jid, "from the new installation")
    await alice.reads("from the new installation")


@check(
    "ENL-14.new-identity-after-installing-anew",
    Level.SHOULD,
    "A client that is installed anew has another identity key than before.",
    milestone=1,
    after=(CONNECTS, SENDS),
)
async def new_identity_after_installing_anew(stage: Stage) -> None:
    """Keys that were deleted with the app do not come back."""
    alice, bob = await stage.pair()
    identity = await _identity(alice, bob)
    await bob.do(wipe=pb.WipeCommand())
    await bob.enlist()
    await bob.connect()
    await bob.do(publish_prekeys=pb.PublishPreKeysCommand(count=20))
    stage.expect(await _identity(alice, bob) != identity, "another identity key", "the one before")


@check(
    "KEY-01.chats-survive-a-restart",
    Level.MUST,
    "Identity key and sessions are saved: after a crash chats go on as before.",
    milestone=3,
    after=(CONNECTS, SENDS, SHOWS),
)
async def chats_survive_a_restart(stage: Stage) -> None:
    """Texts both ways in the session of before, and no word of a message that cannot be opened."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    identity = await _identity(alice, bob)
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await _go_on(stage, alice, bob)
    stage.expect(not bob.shown("undecryptable_shown"), "all messages opened", "one could not be opened")
    stage.expect(await _identity(alice, bob) == identity, "the same identity key", "another one")


@check(
    "KEY-01.prekeys-survive-a-restart",
    Level.MUST,
    "The private keys of published prekeys are saved: after a crash a first message is opened.",
    milestone=3,
    after=(CONNECTS, SHOWS),
)
async def prekeys_survive_a_restart(stage: Stage) -> None:
    """It was sealed before, and is sent after."""
    alice, bob = await stage.pair()
    message = await alice.seal(bob.jid, "first message")
    await bob.do(restart=pb.RestartCommand())
    await alice.send_sealed(message)
    await bob.connect()
    await bob.shows_text("first message")


@check(
    "LIF-01.comes-when-pushed",
    Level.MUST,
    "What was sent while the client was away comes when it connects.",
    milestone=3,
    after=(CONNECTS, SHOWS),
)
async def comes_when_pushed(stage: Stage) -> None:
    """Three texts wait, the messenger gets a push, the client connects."""
    alice, bob = await stage.pair()
    await bob.disconnect()
    texts = [f"while away {number}" for number in range(3)]
    for text in texts:
        await alice.send(bob.jid, text)
    await stage.partner.wait_for_push(bob.user, stage.patience)
    await bob.connect()
    for text in texts:
        await bob.shows_text(text)
    await stage.marker(alice, bob)
    stage.expect(len(bob.texts()) == len(texts) + 1, "each of the three texts once", bob.texts())


@check(
    "LIF-01.comes-after-a-crash",
    Level.MUST,
    "What was sent after the client had crashed comes when it was started and connects.",
    milestone=3,
    after=(CONNECTS, SHOWS),
)
async def comes_after_a_crash(stage: Stage) -> None:
    """A text before, and one after."""
    alice, bob = await stage.pair()
    await stage.marker(alice, bob)
    await bob.do(restart=pb.RestartCommand())
    await alice.send(bob.jid, "after the crash")
    await bob.connect()
    await bob.shows_text("after the crash")


@check(
    "LIF-03.deletes-the-account",
    Level.MUST,
    "A user who deletes their account is gone at the server, and is not connected any more.",
    milestone=5,
    after=(CONNECTS,),
)
async def deletes_the_account(stage: Stage) -> None:
    """The server has deleted it; a login is refused, and the client says so."""
    bob = await stage.bob()
    await bob.do(delete_account=pb.DeleteAccountCommand())
    await stage.decides(bob.jid, "AccountService.DeleteAccount", what="the server deletes the account")
    await bob.shows("connection_changed", lambda each: not each.is_connected, "that the connection has ended")
    result = await bob.ask(connect=pb.ConnectCommand(token=bob.token()))
    stage.expect(not result.HasField("done"), "`connect` fails", told(result))


@check(
    "LIF-03.comes-back-as-somebody-new",
    Level.MUST,
    "Who has deleted their account and enlists again has another JID, and uses it.",
    milestone=5,
    after=(CONNECTS, SENDS, SHOWS, "LIF-03.deletes-the-account"),
)
async def comes_back_as_somebody_new(stage: Stage) -> None:
    """Texts both ways under the new JID."""
    alice, bob = await stage.pair()
    before = bob.jid
    await bob.do(delete_account=pb.DeleteAccountCommand())
    await bob.shows("connection_changed", lambda each: not each.is_connected, "that the connection has ended")
    await bob.do(wipe=pb.WipeCommand())
    stage.expect(await bob.enlist() != before, "another JID", "the one before")
    await bob.connect()
    await bob.do(publish_prekeys=pb.PublishPreKeysCommand(count=20))
    await stage.talk(alice, bob)


@check(
    "LIF-03.stays-away-after-deletion",
    Level.SHOULD,
    "A client whose account was deleted does not connect again and again.",
    milestone=5,
    after=(CONNECTS, "LIF-03.deletes-the-account"),
)
async def stays_away_after_deletion(stage: Stage) -> None:
    """The deletion ends the connection."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    before = await tries_so_far(stage, bob)
    await bob.do(delete_account=pb.DeleteAccountCommand())
    await stays_away(stage, bob, before)


@check(
    "LIF-04.enlists-again-after-thirty-days",
    Level.MUST,
    "A client that was away for thirty days says that it is not enlisted any more, and can be enlisted again.",
    milestone=5,
    is_alone=True,
    after=(CONNECTS, SENDS, SHOWS),
)
async def enlists_again_after_thirty_days(stage: Stage) -> None:
    """The first login is refused; after an enlistment there are texts both ways."""
    bob = await stage.bob()
    await bob.disconnect()
    await stage.decides(bob.jid, "chat.closed", what="the server sees the connection end")
    await stage.advance_clock(DAYS_AWAY)
    await is_refused(bob, bob.token())
    await bob.enlist()
    await bob.connect()
    await bob.do(publish_prekeys=pb.PublishPreKeysCommand(count=20))
    await stage.talk(await stage.alice(), bob)


async def _go_on(stage: Stage, alice: Person, bob: Device) -> None:
    await stage.marker(alice, bob)
    await bob.send(alice.jid, "and on it goes")
    await alice.reads("and on it goes")


async def _identity(person: Person, device: Device) -> bytes:
    bundle = await person.does("take prekeys", person.client.take_prekey_bundle(device.jid))
    return bundle.identity_key


async def _install_anew(alice: Person, bob: Device) -> None:
    await bob.do(wipe=pb.WipeCommand())
    await bob.enlist()
    await bob.connect()
    await bob.do(publish_prekeys=pb.PublishPreKeysCommand(count=20))
    await alice.receives(IdentityChanged, what="notice of the new identity key")
