"""Defects of the chat channel, its handshake and its logins."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_client.connection import channel
from interop_client.connection.channel import ChatChannel
from interop_client.connection.outbox import Outbox
from interop_client.errors import ServerRefusal
from interop_client.state import ClientState
from interop_driver import driver
from interop_driver.device import Device
from interop_driver.outcomes import outcome_of
from interop_protocol.noise import InitiatorHandshake, Transport
from interop_wrong.register import wrong_client

STAYS_AWAY = ("CHN-10.stays-away-after-a-ban", "CHN-11.stays-away-when-replaced", "LIF-03.stays-away-after-deletion")
IMPATIENT_SECONDS = 0.05
COLLECT_BYTES = 30_000
COLLECT_SECONDS = 0.5


@wrong_client("CHN-01.new-keys-for-each-handshake")
def reuses_its_ephemeral_key() -> None:
    """Makes one ephemeral key, and begins all handshakes with it."""
    keys: dict[bytes, bytes] = {}  # by auth key, which each device has for itself

    def begin(static: bytes, ephemeral: bytes) -> InitiatorHandshake:
        return InitiatorHandshake(static, keys.setdefault(static, ephemeral))

    channel.InitiatorHandshake = begin  # type: ignore[assignment,attr-defined]


@wrong_client(
    "CHN-07.one-key-over-a-restart",
    also=(
        "KEY-01.chats-survive-a-restart",
        "KEY-01.prekeys-survive-a-restart",
        "LIF-01.comes-after-a-crash",
        "MSG-03.old-keys-are-gone",
        "MSG-04.dishonest-replay",
        "MSG-04.dishonest-replay-of-a-first-message",
        "MSG-04.each-message-an-id",
        "MSG-09.lost-ack-and-a-crash",
    ),
)
def forgets_its_auth_key() -> None:
    """Makes a new auth key at each start."""
    restart = Device.restart

    async def restart_with_another(self: Device) -> None:
        await restart(self)
        state = self.client.state
        state.auth_private_key = ClientState.generate().auth_private_key
        self.client = self._client_of(state)

    Device.restart = restart_with_another  # type: ignore[method-assign]


@wrong_client("CHN-05.counts-many-frames")
def counts_frames_in_one_byte() -> None:
    """Counts the frames that it seals in one byte."""
    encrypt = Transport.encrypt

    def encrypt_with_less(self: Transport, plaintext: bytes) -> bytes:
        self._sending._counter %= 256
        return encrypt(self, plaintext)

    Transport.encrypt = encrypt_with_less  # type: ignore[method-assign]


@wrong_client("CHN-09.frames-within-the-limit")
def sends_frames_of_any_length() -> None:
    """Collects what is to be sent for a moment, and puts all of it into one frame."""
    prepare, next_batch = Outbox.__init__, Outbox.next_batch

    def prepare_without_bound(self: Outbox, limits: Any) -> None:
        prepare(self, limits)
        self._max_bytes = 1 << 24

    async def next_long_batch(self: Outbox) -> bytes | None:
        while not self._waiting and self._end is None:
            self._content_or_end.clear()
            await self._content_or_end.wait()
        if self._waiting_bytes > COLLECT_BYTES:
            await asyncio.sleep(COLLECT_SECONDS)
        return await next_batch(self)

    Outbox.__init__, Outbox.next_batch = prepare_without_bound, next_long_batch  # type: ignore[method-assign]


@wrong_client("CHN-12.keeps-alive")
def never_pings() -> None:
    """Says nothing when it has nothing to say."""

    async def do_nothing(self: ChatChannel) -> None:
        return

    ChatChannel._keep_alive = do_nothing  # type: ignore[method-assign]


@wrong_client(
    "CHN-12.end-is-shown",
    "CHN-10.stays-away-after-a-ban",
    "CHN-11.stays-away-when-replaced",
    "LIF-03.deletes-the-account",
    also=("ABU-05.ban-is-told", "ABU-05.ban-for-good-is-told"),
)
def hides_the_end() -> None:
    """Does not show that the server has ended the connection."""
    note = Device._note_connection

    async def note_own(self: Device, is_connected: bool, reason: str = "") -> None:
        if is_connected or reason == "CLOSED":
            await note(self, is_connected, reason)

    Device._note_connection = note_own  # type: ignore[method-assign]


@wrong_client("CHN-01.ends-its-connection", also=("LIF-01.comes-when-pushed", "LIF-04.enlists-again-after-thirty-days"))
def leaves_its_connection_open() -> None:
    """Shows that it is not connected when its user leaves, and leaves the stream open."""
    disconnect = Device.disconnect

    async def only_say_so(self: Device, *, is_abrupt: bool) -> None:
        if is_abrupt:
            await disconnect(self, is_abrupt=True)
        else:
            await self._note_connection(False, "CLOSED")

    Device.disconnect = only_say_so  # type: ignore[method-assign]


@wrong_client(*STAYS_AWAY)
def connects_again_whatever_the_reason() -> None:
    """Connects again at once whenever its connection has ended, and when that fails."""
    connect, note = Device.connect, Device._note_connection
    last: WeakKeyDictionary[Device, str] = WeakKeyDictionary()

    async def connect_and_keep(self: Device, token: str) -> None:
        last[self] = token or last.get(self, "")
        await connect(self, token)

    async def persist(self: Device) -> None:
        while not self._is_connected:
            try:
                await self.connect(last[self])
            except ServerRefusal:
                await asyncio.sleep(IMPATIENT_SECONDS)

    async def note_and_persist(self: Device, is_connected: bool, reason: str = "") -> None:
        await note(self, is_connected, reason)
        if not is_connected and reason != "CLOSED":
            self._begin(persist(self))

    Device.connect, Device._note_connection = connect_and_keep, note_and_persist  # type: ignore[method-assign]


@wrong_client("CHN-10.waits-as-told")
def hammers_at_the_login() -> None:
    """Tries a refused login again at once, some times."""
    connect = Device.connect

    async def insist(self: Device, token: str) -> None:
        for _ in range(5):
            try:
                await connect(self, token)
            except ServerRefusal as refusal:
                if refusal.retry_after_ms is None:
                    raise
                await asyncio.sleep(IMPATIENT_SECONDS)
            else:
                return
        await connect(self, token)

    Device.connect = insist  # type: ignore[method-assign]


@wrong_client(
    "CHN-10.waits-as-told",
    "KEY-14.waits-as-told",
    also=("OPT-09.limit-on-look-ups-is-told", "OPT-12.limit-on-pings-is-told"),
)
def does_not_say_when() -> None:
    """Leaves out of a refusal when a new attempt can succeed."""

    def without_delay(error: Exception) -> Any:
        outcome = outcome_of(error)
        if isinstance(outcome, pb.RefusedResult):
            outcome.ClearField("retry_after_ms")
        return outcome

    driver.outcome_of = without_delay  # type: ignore[attr-defined]


@wrong_client("CHN-10.connected-once-answered", also=("ENL-07.refused-login-is-told", "ENL-15.too-old-is-told"))
def shows_connected_too_early() -> None:
    """Shows that it is connected when it begins to connect."""
    connect = Device.connect
    is_early: WeakKeyDictionary[Device, bool] = WeakKeyDictionary()

    async def show_and_connect(self: Device, token: str) -> None:
        if self.client.jid and not self._is_connected and not is_early.get(self):
            is_early[self] = True
            await self.screen.show(connection_changed=pb.ConnectionChanged(is_connected=True))
        await connect(self, token)

    Device.connect = show_and_connect  # type: ignore[method-assign]
