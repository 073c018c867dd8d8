"""The commands to a device, by the names that driver.proto gives them; knows no stream."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import stanza_pb2
from interop_client.messaging.outgoing import SentMessage
from interop_driver.device import Device
from interop_driver.outcomes import WrongCommand
from interop_protocol.sizes import MAX_ONE_TIME_PREKEYS

Command = Callable[[Device, Any], Awaitable[Message | None]]
"""Does a command, and returns its outcome: None when there is nothing more to say."""

MAX_READ = 256
"""Messages read at once, as driver.proto says; the bounds below likewise."""
MAX_REPORTED = 16
MAX_TEXT_BYTES = 65_536
"""UTF-8."""

_TYPING = {
    pb.TYPING_ACTIVITY_COMPOSING: stanza_pb2.TYPING_STATE_COMPOSING,
    pb.TYPING_ACTIVITY_RECORDING: stanza_pb2.TYPING_STATE_RECORDING,
    pb.TYPING_ACTIVITY_PAUSED: stanza_pb2.TYPING_STATE_PAUSED,
}
_ENDINGS = {pb.ENDING_CLEAN: False, pb.ENDING_ABRUPT: True}


async def _supply_token(device: Device, command: pb.SupplyTokenCommand) -> None:
    device.tokens.give(command.token)


async def _enlist(device: Device, command: pb.EnlistCommand) -> pb.AccountResult:
    return pb.AccountResult(jid=await device.enlist(command.token))


async def _connect(device: Device, command: pb.ConnectCommand) -> None:
    await device.connect(command.token)


async def _disconnect(device: Device, command: pb.DisconnectCommand) -> None:
    if command.ending not in _ENDINGS:
        raise WrongCommand("`ending` must be CLEAN or ABRUPT.")
    await device.disconnect(is_abrupt=_ENDINGS[command.ending])


async def _restart(device: Device, _: pb.RestartCommand) -> None:
    await device.restart()


async def _wipe(device: Device, _: pb.WipeCommand) -> None:
    await device.wipe()


async def _publish_prekeys(device: Device, command: pb.PublishPreKeysCommand) -> None:
    _require("count", command.count, 0, MAX_ONE_TIME_PREKEYS)
    await device.client.publish_prekeys(command.count)


async def _resolve(device: Device, command: pb.ResolveCommand) -> pb.AccountResult:
    return pb.AccountResult(jid=await device.client.resolve(command.external_id))


async def _send_text(device: Device, command: pb.SendTextCommand) -> pb.SendResult:
    _require("text", len(command.text.encode()), 0, MAX_TEXT_BYTES)
    reply_to = device.message(command.to_jid, command.reply_to) if command.reply_to else None
    return _sent(await device.client.send_text(command.to_jid, command.text, reply_to))


async def _send_reaction(device: Device, command: pb.SendReactionCommand) -> pb.SendResult:
    return _sent(
        await device.client.send_reaction(
            command.to_jid, command.message_id, command.emoji, is_own_message=command.is_own_message
        )
    )


async def _send_edit(device: Device, command: pb.SendEditCommand) -> pb.SendResult:
    return _sent(await device.client.send_edit(command.to_jid, command.message_id, command.text))


async def _send_deletion(device: Device, command: pb.SendDeletionCommand) -> pb.SendResult:
    return _sent(await device.client.send_deletion(command.to_jid, command.message_id))


async def _send_media(device: Device, command: pb.SendMediaCommand) -> pb.SendResult:
    return _sent(await device.send_media(command))


async def _mark_read(device: Device, command: pb.MarkReadCommand) -> None:
    _require("message_ids", len(command.message_ids), 1, MAX_READ)
    await device.client.mark_read(*(device.message(command.sender_jid, each) for each in command.message_ids))


async def _show_typing(device: Device, command: pb.ShowTypingCommand) -> None:
    if command.activity not in _TYPING:
        raise WrongCommand("`activity` must be COMPOSING, RECORDING or PAUSED.")
    await device.client.send_typing(command.to_jid, _TYPING[command.activity])


async def _block(device: Device, command: pb.BlockCommand) -> None:
    await device.client.block(command.jid)


async def _unblock(device: Device, command: pb.UnblockCommand) -> None:
    await device.client.unblock(command.jid)


async def _list_blocked(device: Device, _: pb.ListBlockedCommand) -> pb.ListBlockedResult:
    return pb.ListBlockedResult(jids=await device.client.get_blocklist())


async def _report_messages(device: Device, command: pb.ReportMessagesCommand) -> pb.ReportResult:
    _require("message_ids", len(command.message_ids), 1, MAX_REPORTED)
    messages = [device.message(command.jid, each) for each in command.message_ids]
    return pb.ReportResult(report_id=await device.client.report(command.jid, messages, reveal=command.reveals))


async def _ping_reachability(device: Device, command: pb.PingReachabilityCommand) -> None:
    await device.client.send_reachability_ping(command.phone_number, command.display_name)


async def _accept_identity(device: Device, command: pb.AcceptIdentityCommand) -> None:
    await device.client.accept_identity(command.jid)


async def _delete_account(device: Device, _: pb.DeleteAccountCommand) -> None:
    await device.client.delete_account()


async def _list_shown(device: Device, command: pb.ListShownCommand) -> pb.ListShownResult:
    return device.screen.after(command.after)


def _require(field: str, size: int, least: int, most: int) -> None:
    if not least <= size <= most:
        raise WrongCommand(f"`{field}` has {size:,}: {least} to {most:,} are right.")


def _sent(message: SentMessage) -> pb.SendResult:
    return pb.SendResult(message_id=message.id)


COMMANDS: Mapping[str, Command] = {
    "supply_token": _supply_token,
    "enlist": _enlist,
    "connect": _connect,
    "disconnect": _disconnect,
    "restart": _restart,
    "wipe": _wipe,
    "publish_prekeys": _publish_prekeys,
    "resolve": _resolve,
    "send_text": _send_text,
    "send_reaction": _send_reaction,
    "send_edit": _send_edit,
    "send_deletion": _send_deletion,
    "send_media": _send_media,
    "mark_read": _mark_read,
    "show_typing": _show_typing,
    "block": _block,
    "unblock": _unblock,
    "list_blocked": _list_blocked,
    "report_messages": _report_messages,
    "ping_reachability": _ping_reachability,
    "accept_identity": _accept_identity,
    "delete_account": _delete_account,
    "list_shown": _list_shown,
}
"""By name."""
