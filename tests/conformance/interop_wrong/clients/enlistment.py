"""Defects at enlistment and login."""

from contextlib import suppress
from weakref import WeakKeyDictionary

from interop_client.errors import LoginRefused, ServerRefusal
from interop_client.signal.keys import SignedPreKey
from interop_client.state import ClientState
from interop_driver.device import Device
from interop_driver.tokens import Tokens
from interop_wrong.register import wrong_client

NOBODY = "1-1@interop"


@wrong_client(
    "ENL-07.token-at-each-connection",
    also=("ENL-07.asks-for-a-token", "ENL-07.refused-login-is-told", "LIF-04.enlists-again-after-thirty-days"),
)
def uses_one_token_for_ever() -> None:
    """Logs in again and again with the first token that it got."""
    take = Tokens.take
    first: WeakKeyDictionary[Tokens, str] = WeakKeyDictionary()  # of each device: the process has many

    async def take_first(self: Tokens) -> str:
        return first.setdefault(self, await take(self))

    Tokens.take = take_first  # type: ignore[method-assign]


@wrong_client("ENL-07.asks-for-a-token")
def logs_in_with_an_old_token() -> None:
    """Asks for a token once, and then uses the last one wherever it has no new one."""
    take, give = Tokens.take, Tokens.give
    last: WeakKeyDictionary[Tokens, str] = WeakKeyDictionary()

    def give_and_keep(self: Tokens, token: str) -> None:
        give(self, token)
        if token:
            last[self] = token

    async def take_or_repeat(self: Tokens) -> str:
        return last[self] if not self._given and self in last else await take(self)

    Tokens.give, Tokens.take = give_and_keep, take_or_repeat  # type: ignore[method-assign]


@wrong_client("ENL-11.refusal-is-told", also=("ENL-11.not-enlisted-is-not-connected",))
def takes_every_enlistment_for_done() -> None:
    """Says that it has enlisted its user whatever the server answers."""
    enlist = Device.enlist

    async def enlist_somehow(self: Device, token: str) -> str:
        with suppress(ServerRefusal):
            return await enlist(self, token)
        return NOBODY

    Device.enlist = enlist_somehow  # type: ignore[method-assign]


@wrong_client(
    "ENL-07.refused-login-is-told",
    "ENL-15.too-old-is-told",
    "LIF-04.enlists-again-after-thirty-days",
    also=("LIF-03.deletes-the-account", "CHN-10.waits-as-told"),
)
def takes_every_login_for_done() -> None:
    """Says that it is connected whatever the server answers to the login."""
    connect = Device.connect

    async def connect_somehow(self: Device, token: str) -> None:
        with suppress(LoginRefused):
            await connect(self, token)

    Device.connect = connect_somehow  # type: ignore[method-assign]


@wrong_client("ENL-13.enlisting-again-keeps-the-account")
def makes_new_keys_at_each_enlistment() -> None:
    """Makes a new identity whenever it enlists, also when it has one."""
    enlist = Device.enlist

    async def enlist_anew(self: Device, token: str) -> str:
        if self.client.jid:
            await self.client.close()
            self.client = self._client_of(ClientState.generate(self.client.jid))
        return await enlist(self, token)

    Device.enlist = enlist_anew  # type: ignore[method-assign]


@wrong_client("ENL-14.new-identity-after-installing-anew", also=("ENL-13.installing-anew-keeps-the-account",))
def keeps_its_identity_for_ever() -> None:
    """Keeps the identity key where it outlives the app, as in a keychain."""
    wipe = Device.wipe

    async def wipe_but_for_it(self: Device) -> None:
        identity = self.client.state.signal.identity
        await wipe(self)
        signal = self.client.state.signal
        signal.identity = identity
        for key_id in signal.signed_prekeys:
            signal.signed_prekeys[key_id] = SignedPreKey.generate(key_id, identity, signal.entropy)

    Device.wipe = wipe_but_for_it  # type: ignore[method-assign]
