"""PRX: clients that connect through their messenger's proxy."""

from interop_conformance.check import Level, check
from interop_conformance.checks.channel import CONNECTS
from interop_conformance.checks.messages import SENDS
from interop_conformance.stage import CLIENT_IP, Stage


@check(
    "PRX-01.says-direct",
    Level.MUST,
    "A client that connects itself says so, and names no address.",
    milestone=2,
    modes=("direct",),
    after=(CONNECTS,),
)
async def says_direct(stage: Stage) -> None:
    """As the login has it."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    login = (await stage.sends(bob.jid, "login")).fields
    said = (login.get("connection_mode"), login.get("client_ip", ""))
    stage.expect(said == ("CONNECTION_MODE_DIRECT", ""), "a login in direct mode", said)


@check(
    "PRX-01.says-proxy",
    Level.MUST,
    "A client that connects through a proxy is connected in proxy mode.",
    milestone=2,
    modes=("proxy",),
    after=(CONNECTS,),
)
async def says_proxy(stage: Stage) -> None:
    """As the login has it."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    mode = (await stage.sends(bob.jid, "login")).fields.get("connection_mode")
    stage.expect(mode == "CONNECTION_MODE_PROXY", "a login in proxy mode", mode)


@check(
    "PRX-02.says-the-address",
    Level.MUST,
    "The login through a proxy names the client's own public address.",
    milestone=2,
    modes=("proxy",),
    after=(CONNECTS,),
)
async def says_the_address(stage: Stage) -> None:
    """The address that the client was given."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    address = (await stage.sends(bob.jid, "login")).fields.get("client_ip")
    stage.expect(address == CLIENT_IP, CLIENT_IP, address)


@check(
    "PRX-03.a-connection-for-each-client",
    Level.MUST,
    "Two clients behind a proxy have a connection each, and each gets what is its own.",
    milestone=2,
    modes=("proxy",),
    after=(CONNECTS, SENDS),
)
async def a_connection_for_each_client(stage: Stage) -> None:
    """One user writes to both."""
    alice, bob = await stage.pair()
    carol = await stage.bob("carol")
    for device in (bob, carol):
        await alice.send(device.jid, f"for {device.user}")
        await device.shows_text(f"for {device.user}")
    stage.expect(bob.texts() == ["for bob"] and carol.texts() == ["for carol"], "each its own text", "others")
    used = {(await stage.sends(device.jid, "login")).entry.connection for device in (bob, carol)}
    stage.expect(len(used) == 2, "two connections", f"{len(used)}")


@check(
    "PRX-04.ends-with-its-client",
    Level.MUST,
    "When the client disconnects, its proxy says that it has closed, and the connection ends.",
    milestone=2,
    modes=("proxy",),
    after=(CONNECTS,),
)
async def ends_with_its_client(stage: Stage) -> None:
    """The server is told `client_closed`, and the channel ends."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    await bob.disconnect()
    await stage.sends(bob.jid, "client_closed", what="word through its proxy that it has closed")
    await stage.decides(bob.jid, "chat.closed", what="the server sees the connection end")


@check(
    "PRX-04.ends-with-a-client-that-breaks-off",
    Level.MUST,
    "When the client's network is gone, its connection through the proxy ends, too.",
    milestone=2,
    modes=("proxy",),
    after=(CONNECTS,),
)
async def ends_with_a_client_that_breaks_off(stage: Stage) -> None:
    """The server sees the end of the channel, and the client comes back in a new one."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    await bob.disconnect(abruptly=True)
    await stage.decides(bob.jid, "chat.closed", what="the server sees the connection end")
    await bob.connect()
    await stage.sends(bob.jid, "login", count=2)
