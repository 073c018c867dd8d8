"""Defects of what is saved, and of leaving."""

from interop_api.v1 import stanza_pb2
from interop_client.messaging.inbox import Answers, Inbox, Opened
from interop_client.third_party import ThirdPartyClient
from interop_driver.device import Device
from interop_wrong.register import wrong_client


@wrong_client("KEY-01.chats-survive-a-restart", also=("MSG-03.sessions-survive-a-restart",))
def forgets_sessions_at_a_restart() -> None:
    """Saves its identity, and no sessions."""
    restart = Device.restart

    async def restart_without(self: Device) -> None:
        await restart(self)
        self.client.state.signal.records.clear()

    Device.restart = restart_without  # type: ignore[method-assign]


@wrong_client("KEY-01.prekeys-survive-a-restart")
def forgets_prekeys_at_a_restart() -> None:
    """Saves its identity and its sessions, and no private keys of one-time prekeys."""
    restart = Device.restart

    async def restart_without(self: Device) -> None:
        await restart(self)
        self.client.state.signal.one_time_prekeys.clear()

    Device.restart = restart_without  # type: ignore[method-assign]


@wrong_client("LIF-03.deletes-the-account")
def deletes_only_what_it_has_itself() -> None:
    """Ends its connection when the user deletes the account, and tells the server nothing."""

    async def close(self: ThirdPartyClient) -> None:
        await self.close()

    ThirdPartyClient.delete_account = close  # type: ignore[method-assign]


@wrong_client(
    "LIF-01.comes-when-pushed",
    "LIF-01.comes-after-a-crash",
    "MSG-07.backlog-is-shown",
    also=(
        "CHN-12.end-is-shown",
        "CHN-12.goes-on-after-a-broken-connection",
        "KEY-01.prekeys-survive-a-restart",
        "KEY-10.answers-digest-request",
        "MSG-07.broken-connection",
        "RCP-01.delivered-after-being-away",
        "RCP-01.receipt-again",
    ),
)
def takes_the_backlog_for_seen() -> None:
    """Acks what has waited for it, and shows none of it."""
    open_one = Inbox.open

    def open_live(self: Inbox, stanza: stanza_pb2.Stanza, answers: Answers) -> Opened:
        if stanza.offline and stanza.HasField("message"):
            answers.acks.append(stanza.delivery_id)
            return Opened()
        return open_one(self, stanza, answers)

    Inbox.open = open_live  # type: ignore[method-assign]
