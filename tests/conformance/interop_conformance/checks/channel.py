"""CHN: the chat channel, its handshake and its logins."""

import asyncio
from typing import Any

from interop_api.admin.v1alpha1 import faults_pb2, standing_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import errors_pb2
from interop_conformance.check import Level, NotSo, check
from interop_conformance.checks.enlistment import ENLISTS, digest_of
from interop_conformance.device import Device, refused, told
from interop_conformance.record import Stanza
from interop_conformance.stage import Stage

CONNECTS = "CHN-01.connects"
_TEXTS = ("MSG-12.sends-text", "MSG-12.shows-text")
"""Of `messages`, which rests on this module."""

MANY_FRAMES = 260
"""More than a counter of one byte counts."""
MOST_STANZAS = 800
"""After so many stanzas there were many frames, also of a client that sends several in one."""
KEEPALIVE_SECONDS = 35.0
"""Longest wait for a keep-alive: the longest that was observed, and some."""
RETRY_AFTER_MS = 60_000
TRIES = 2
"""How often a client may try what will not succeed, before it is a storm."""
LONG_TEXTS = 18
"""Texts of 60,000 characters, together longer than a frame may be."""


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


@check(
    "CHN-06.login-names-the-account",
    Level.MUST,
    "The login says the product, and the number of the account that was enlisted.",
    milestone=2,
    after=(CONNECTS,),
)
async def login_names_the_account(stage: Stage) -> None:
    """Product INTEROP, the number of the JID, a token."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    login = (await stage.sends(bob.jid, "login")).fields
    data = login.get("interop_data", {})
    said = (login.get("product"), str(data.get("account_id")), "token" in data)
    stage.expect(said == ("PRODUCT_INTEROP", number_of(bob.jid), True), f"account {number_of(bob.jid)}", said)


@check(
    "CHN-07.one-key-over-a-restart",
    Level.MUST,
    "The client keeps its auth key and its JID, and logs in with them after a restart.",
    milestone=2,
    after=(CONNECTS,),
)
async def one_key_over_a_restart(stage: Stage) -> None:
    """The server takes no other key, and the login names the same account."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    await bob.do(restart=pb.RestartCommand())
    await bob.connect()
    await stage.sends(bob.jid, "login", count=2)
    named = {login.fields.get("interop_data", {}).get("account_id") for login in stage.sent(bob.jid, "login")}
    stage.expect(named == {number_of(bob.jid)}, f"account {number_of(bob.jid)} in both logins", named)


@check(
    "ENL-07.asks-for-a-token",
    Level.SHOULD,
    "A client that is to log in and has no token asks its messenger for one.",
    milestone=1,
    after=(CONNECTS,),
)
async def asks_for_a_token(stage: Stage) -> None:
    """It asks twice, and each login carries one of the tokens that it was given."""
    bob = await stage.device()
    await bob.enlist()
    known = len(bob.tokens)
    for number in (1, 2):
        await bob.do(connect=pb.ConnectCommand())
        await bob.shows("token_wanted", what="nothing, but its messenger is asked for a token", count=number)
        await stage.sends(bob.jid, "login", count=number)
    carried = {token_of(login) for login in stage.sent(bob.jid, "login")}
    given = {digest_of(token) for token in bob.tokens[known:]}
    stage.expect(len(carried) > 1 and carried <= given, "tokens that it has asked for, one in each login", "others")


@check(
    "ENL-07.refused-login-is-told",
    Level.MUST,
    "When the server does not take a token, the client says that it is not connected, and goes on with a new one.",
    milestone=1,
    after=(CONNECTS,),
)
async def refused_login_is_told(stage: Stage) -> None:
    """A token of another user, then one that has expired, then a right one."""
    bob = await stage.device()
    await bob.enlist()
    for claims in ({"sub": "mallory"}, {"exp": 1}):
        await is_refused(bob, bob.token(**claims))
    await bob.connect()


@check(
    "ENL-15.too-old-is-told",
    Level.MUST,
    "When the server says that the client's protocol version is too old, the client says that it is not connected.",
    milestone=1,
    after=(CONNECTS,),
)
async def too_old_is_told(stage: Stage) -> None:
    """The login is refused as that of an old client."""
    bob = await stage.device()
    await bob.enlist()
    await _refuse_logins(stage, bob, errors_pb2.ERROR_REASON_PROTOCOL_VERSION_TOO_OLD)
    await is_refused(bob, bob.token())


@check(
    "CHN-10.connected-once-answered",
    Level.SHOULD,
    "The client says that it is connected when the server has answered the login, not before.",
    milestone=2,
    after=(CONNECTS,),
)
async def connected_once_answered(stage: Stage) -> None:
    """The answer to the login is held for a while."""
    bob = await stage.device()
    await bob.enlist()
    match = {"call": "ChatService.Connect", "actor": bob.jid}
    fault = await stage.add_fault("held-login", match, hold=faults_pb2.FaultHold())
    connecting = asyncio.create_task(bob.connect())
    try:
        await stage.decides(bob.jid, "fault.hold", what="the client logs in")
        for _ in range(3):  # so that a client that is too fast has time to say so
            await stage.fired(fault)
        early = connecting.done() or bob.shown("connection_changed", lambda each: each.is_connected)
        stage.expect(not early, "no word of a connection before the answer", "the client says that it is connected")
        await stage.clear_fault(fault)
        await connecting
        await bob.shows("connection_changed", lambda each: each.is_connected, "that the client is connected")
    finally:
        connecting.cancel()


@check(
    "CHN-10.waits-as-told",
    Level.SHOULD,
    "A client whose login is refused until later says when, or waits; it does not try again and again.",
    milestone=2,
    after=(CONNECTS,),
)
async def waits_as_told(stage: Stage) -> None:
    """The server says that it takes logins again in a minute."""
    bob = await stage.device()
    await bob.enlist()
    await _refuse_logins(stage, bob, errors_pb2.ERROR_REASON_RATE_LIMITED, "PRX-07")
    await is_patient(stage, bob, connect=pb.ConnectCommand(token=bob.token()))


@check(
    "CHN-05.counts-many-frames",
    Level.MUST,
    "The nonce of a frame is counted on past a byte.",
    milestone=2,
    modes=("direct",),
    features=("typing",),
    after=(CONNECTS, *_TEXTS),
    seconds=120.0,
    forced_by="The server opens frame 257 with the nonce of frame 257, and ends the connection otherwise.",
)
async def counts_many_frames(stage: Stage) -> None:
    """After more than 256 frames the same connection still carries texts both ways."""
    alice, bob = await stage.pair()
    for number in range(MOST_STANZAS):
        activity = pb.TYPING_ACTIVITY_PAUSED if number % 2 else pb.TYPING_ACTIVITY_COMPOSING
        await bob.do(show_typing=pb.ShowTypingCommand(to_jid=alice.jid, activity=activity))
        if number >= MANY_FRAMES and number % 10 == 0 and _frames(stage, bob) >= MANY_FRAMES:
            break
    await bob.send(alice.jid, "after many frames")
    await alice.reads("after many frames")
    await stage.marker(alice, bob)
    lost = bob.shown("connection_changed", lambda each: not each.is_connected)
    stage.expect(not lost, "one connection for all frames", "it has ended")


@check(
    "CHN-09.frames-within-the-limit",
    Level.SHOULD,
    "No frame is longer than the server says that it may be.",
    milestone=2,
    modes=("direct",),
    after=(CONNECTS, *_TEXTS),
)
async def frames_within_the_limit(stage: Stage) -> None:
    """Many long texts are sent at once, to somebody who is away."""
    alice, bob = await stage.pair()
    await bob.send(alice.jid, "Hello")
    await alice.close()
    await asyncio.gather(*(bob.send(alice.jid, str(number) + "x" * 60_000) for number in range(LONG_TEXTS)))
    await stage.sends(bob.jid, "message", count=1 + LONG_TEXTS)
    [login, *_] = stage.got(bob.jid, "login_success")
    limits = login.fields.get("limits", {})
    longest = max(each.entry.frame_bytes for each in stage.sent(bob.jid, "message"))
    most = int(limits.get("max_frame_bytes", 0))
    stage.expect(longest <= most, f"frames of at most {most:,} bytes", f"one of {longest:,}")


@check(
    "CHN-12.keeps-alive",
    Level.SHOULD,
    "A client that has nothing to say pings the server by itself.",
    milestone=2,
    modes=("direct",),
    after=(CONNECTS,),
    seconds=60.0,
)
async def keeps_alive(stage: Stage) -> None:
    """The server has said how often; a client that is slower than told, but as fast as observed ones, is right."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    stage.patience *= KEEPALIVE_SECONDS / 10
    await stage.sends(bob.jid, "ping", what="a ping by itself")


@check(
    "CHN-12.end-is-shown",
    Level.SHOULD,
    "When a connection ends the user is shown so, and a new one brings what came meanwhile.",
    milestone=2,
    after=(CONNECTS, *_TEXTS),
)
async def end_is_shown(stage: Stage) -> None:
    """The server ends the stream in good order, then breaks it off, each time in place of a message."""
    alice, bob = await stage.pair()
    for number, ending in enumerate((faults_pb2.FAULT_ENDING_CLEAN, faults_pb2.FAULT_ENDING_RESET), 1):
        match = {"stanza": "message", "direction": faults_pb2.FAULT_DIRECTION_TO_CLIENT, "actor": bob.jid}
        close = faults_pb2.FaultClose(ending=ending)
        await stage.add_fault(f"end-{number}", match, times=1, close=close)
        await alice.send(bob.jid, f"lost on its way {number}")
        await bob.shows(
            "connection_changed", lambda each: not each.is_connected, "that the connection has ended", count=number
        )
        await bob.connect()
        await bob.shows_text(f"lost on its way {number}")


@check(
    "CHN-12.goes-on-after-a-broken-connection",
    Level.SHOULD,
    "After its network was gone the client connects again, and nothing is lost either way.",
    milestone=2,
    after=(CONNECTS, *_TEXTS),
)
async def goes_on_after_a_broken_connection(stage: Stage) -> None:
    """The connection breaks three times."""
    alice, bob = await stage.pair()
    for number in range(3):
        await bob.send(alice.jid, f"before {number}")
        await bob.disconnect(abruptly=True)
        await alice.reads(f"before {number}")
        await alice.send(bob.jid, f"while away {number}")
        await bob.connect()
        await bob.shows_text(f"while away {number}")


@check(
    "CHN-01.ends-its-connection",
    Level.SHOULD,
    "A client that disconnects ends its connection, also in the eyes of the server.",
    milestone=2,
    after=(CONNECTS,),
)
async def ends_its_connection(stage: Stage) -> None:
    """The server sees the end of the channel."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    await bob.disconnect()
    await stage.decides(bob.jid, "chat.closed", what="the server sees the connection end")


@check(
    "CHN-10.stays-away-after-a-ban",
    Level.SHOULD,
    "A client whose account is banned is shown so, and does not connect again and again.",
    milestone=2,
    after=(CONNECTS,),
)
async def stays_away_after_a_ban(stage: Stage) -> None:
    """The ban ends the connection."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    before = await tries_so_far(stage, bob)
    await stage.admin.impose_sanction(bob.jid, standing_pb2.SANCTION_KIND_BAN)
    await stays_away(stage, bob, before)


@check(
    "CHN-11.stays-away-when-replaced",
    Level.SHOULD,
    "A client in whose place another one was installed is shown so, and does not fight for the account.",
    milestone=2,
    after=(CONNECTS,),
)
async def stays_away_when_replaced(stage: Stage) -> None:
    """The same user enlists and connects on a second device."""
    bob = await stage.device()
    await bob.enlist()
    await bob.connect()
    before = await tries_so_far(stage, bob)
    second = await stage.device()
    await second.enlist()
    await second.connect()
    await stays_away(stage, bob, before, others=1)


def number_of(jid: str) -> str:
    """Returns the number of a third-party user's account."""
    return jid.partition("-")[2].partition("@")[0]


def token_of(login: Stanza) -> Any:
    """Returns what the wire's record says of the token in a login."""
    return login.fields.get("interop_data", {}).get("token", {}).get("sha256")


def tries(stage: Stage, device: Device) -> int:
    """Returns how often somebody has logged in to a device's account, or tried to."""
    claimed = f"account {number_of(device.jid)}"
    refusals = stage.decisions("anonymous", "chat.login", lambda entry: entry.subject == claimed)
    return len(stage.decisions(device.jid, "chat.login")) + len(refusals)


async def tries_so_far(stage: Stage, device: Device) -> int:
    """Returns the same, once a login of the device that has succeeded is among them."""
    await stage.decides(device.jid, "chat.login", what="the client logs in")
    return tries(stage, device)


async def stays_away(stage: Stage, device: Device, before: int, others: int = 0) -> None:
    """Judges a client whose connection ends for good.

    Args:
        stage: The stage.
        device: The client.
        before: The tries before the end.
        others: Logins of others to the same account since.
    """
    await device.shows("connection_changed", lambda each: not each.is_connected, "that the connection has ended")
    most = before + others + TRIES
    if not await stage.never(lambda: tries(stage, device) > most):
        raise NotSo(f"at most {TRIES} attempts to log in again", "the client tries again and again")


async def is_refused(device: Device, token: str) -> None:
    """Judges a client whose login is refused: it says so, or asks for another token and tries again."""
    asked = len(device.shown("token_wanted"))
    result = await device.ask(connect=pb.ConnectCommand(token=token))
    if len(device.shown("token_wanted")) > asked:
        return
    _expect_not_done(result, "`connect` is refused")
    connected = device.shown("connection_changed")[-1:]
    if connected and connected[0].is_connected:
        raise NotSo("the user is not shown that they are connected", "they are")


async def is_patient(stage: Stage, device: Device, **command: Any) -> None:
    """Judges a client that is told to come back in a minute: it says so, or waits, and does not try again and again."""
    asking = asyncio.create_task(device.ask(**command))
    try:
        await stage.decides(device.jid, "fault.refuse", what="the client tries")
        is_quiet = await stage.never(lambda: len(stage.decisions(device.jid, "fault.refuse")) > TRIES)
        stage.expect(is_quiet, f"at most {TRIES} attempts in a row", "the client tries again and again")
        if not asking.done():
            return  # it waits by itself
        result = asking.result()
        _expect_not_done(result, f"`{next(iter(command))}` is refused")
        if refused(result):
            after = result.refused.retry_after_ms
            stage.expect(0 < after <= RETRY_AFTER_MS, f"told to wait {RETRY_AFTER_MS:,} ms", f"told {after:,} ms")
    finally:
        asking.cancel()


def _frames(stage: Stage, device: Device) -> int:
    return len([each for each in stage.record.wire(device.jid) if each.is_from_client and each.entry.position == 1])


async def _refuse_logins(
    stage: Stage, device: Device, reason: errors_pb2.ErrorReason.ValueType, requirement: str = ""
) -> None:
    match = {"call": "ChatService.Connect", "actor": device.jid}
    refuse = faults_pb2.FaultRefuse(reason=reason, retry_after_ms=RETRY_AFTER_MS, requirement=requirement)
    await stage.add_fault("no-logins", match, refuse=refuse)


def _expect_not_done(result: pb.CommandResult, expected: str) -> None:
    if result.WhichOneof("outcome") not in ("refused", "failed"):
        raise NotSo(expected, told(result))
