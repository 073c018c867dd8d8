"""CHN: the chat channel and its handshake."""

from interop_conformance.check import Level, check
from interop_conformance.checks.enlistment import ENLISTS
from interop_conformance.stage import Stage

CONNECTS = "CHN-01.connects"


@check(
    CONNECTS,
    Level.MUST,
    "The client opens the chat channel with a Noise handshake, and sends nothing before it.",
    milestone=2,
    after=(ENLISTS,),
)
async def connects(stage: Stage) -> None:
    """The first that the server sees of the channel are the messages of a handshake, then the login."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    await stage.sends(bob.jid, "login")
    kinds = [each.kind for each in stage.record.wire(bob.jid) if each.is_from_client][:3]
    stage.expect(kinds == ["client_hello", "client_finish", "login"], "client_hello, client_finish, login", kinds)


@check(
    "CHN-01.new-keys-for-each-handshake",
    Level.MUST,
    "Each handshake begins with a new ephemeral key.",
    milestone=2,
    after=(CONNECTS,),
)
async def new_keys_for_each_handshake(stage: Stage) -> None:
    """Three connections, three keys."""
    bob = await stage.device()
    await bob.enlist()
    for _ in range(3):
        await bob.connect()
    await stage.sends(bob.jid, "login", count=3)
    keys = [each.fields.get("ephemeral") for each in stage.sent(bob.jid, "client_hello")]
    stage.expect(len(set(keys)) == len(keys), "three different ephemeral keys", f"{len(set(keys))} different")
