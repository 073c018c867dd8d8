"""The login, from its payload to the limits that answer it; knows no rule and no store."""

import re
from urllib.parse import unquote

from google.protobuf.message import DecodeError

from interop_api.v1 import chat_pb2, enlistment_pb2, stanza_pb2
from interop_protocol.sizes import MAX_ACK_IDS, MAX_OFFLINE_BATCH, MAX_RECEIPT_IDS, UNNAMED_PROTOCOL_VERSION
from interop_server.core.enlistment.client_ip import plain_address
from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import Limits
from interop_server.core.model import ConnectionMode, Login
from interop_server.rpc.convert.enums import known
from interop_server.rpc.wire_lists import TooMany, Unreadable, WireLists

_PEER = re.compile(r"(?:ipv4:(?P<v4>[0-9.]+)|ipv6:\[(?P<v6>[0-9A-Fa-f:.]+)(?:%\w+)?\]):(?P<port>\d+)")
MAX_LOGIN_BYTES = 128 << 10
"""Longest payload of a login; policy: many times the longest token."""
_MAX_CAPABILITIES = 1_024
"""Optional parts that a client may name, those to come included."""
_LISTS = WireLists.of(chat_pb2.LoginPayload.DESCRIPTOR, {"LoginPayload.capabilities": _MAX_CAPABILITIES}, 64)
_MAX_PHONE_NUMBER = 10**15


def peer_ip_from(peer: str) -> str:
    """Returns the address in what gRPC calls a peer, such as `ipv4:127.0.0.1:443`; empty when it has none."""
    match = _PEER.fullmatch(unquote(peer))
    return (match["v4"] or match["v6"]) if match else ""


def peer_in_one_form(peer: str) -> str:
    """Returns a peer as gRPC writes it, an IPv4 address that comes inside of an IPv6 one as IPv4."""
    match = _PEER.fullmatch(unquote(peer))
    address = plain_address(match["v6"]) if match and match["v6"] else ""
    return f"ipv4:{address}:{match['port']}" if match and "." in address else peer


def login_from(payload: bytes, static_key: bytes) -> Login:
    """Reads the payload of the last handshake message (CHN-06).

    Raises:
        Refusal: LOGIN_MALFORMED.
    """
    if len(payload) > MAX_LOGIN_BYTES:
        raise Refusal(
            Reason.LOGIN_MALFORMED, f"the payload has at most {MAX_LOGIN_BYTES:,} bytes", requirement="CHN-06"
        )
    try:
        _LISTS.check(payload)
        login = chat_pb2.LoginPayload.FromString(payload)
    except TooMany as error:
        detail = f"`{error.path}` is too long"
        raise Refusal(Reason.LOGIN_MALFORMED, detail, field=error.path, requirement="CHN-06") from error
    except (DecodeError, Unreadable) as error:
        raise Refusal(Reason.LOGIN_MALFORMED, "the payload is no LoginPayload", requirement="CHN-06") from error
    if login.product not in (chat_pb2.PRODUCT_WHATSAPP, chat_pb2.PRODUCT_INTEROP):
        raise Refusal(
            Reason.LOGIN_MALFORMED, "`product` must be WHATSAPP or INTEROP", field="product", requirement="CHN-06"
        )
    mode = known(ConnectionMode, login.connection_mode, "connection_mode", "PRX-01", Reason.LOGIN_MALFORMED)
    is_interop = login.product == chat_pb2.PRODUCT_INTEROP
    if is_interop != login.HasField("interop_data"):
        detail = "`interop_data` belongs to product INTEROP, and only there"
        raise Refusal(Reason.LOGIN_MALFORMED, detail, field="interop_data", requirement="CHN-06")
    if is_interop == bool(login.username) or login.username >= _MAX_PHONE_NUMBER:
        detail = "`username` is a phone number of up to 15 digits, for product WHATSAPP"
        raise Refusal(Reason.LOGIN_MALFORMED, detail, field="username", requirement="CHN-06")
    try:
        token = login.interop_data.token.decode("ascii")
    except UnicodeDecodeError as error:
        raise Refusal(Reason.TOKEN_MALFORMED) from error
    receipts = login.interop_data.enable_read_receipts if is_interop else login.enable_read_receipts
    return Login(
        static_key=static_key,
        phone_number="" if is_interop else str(login.username),
        account_number=login.interop_data.account_id,
        token=token,
        protocol_version=version_from(login),
        mode=mode,
        client_ip=login.client_ip,
        read_receipts=receipts,
        is_interop=is_interop,
        max_frame_bytes=login.max_frame_bytes if login.HasField("max_frame_bytes") else None,
        capabilities=frozenset(login.capabilities),
    )


def version_from(message: chat_pb2.LoginPayload | enlistment_pb2.EnlistRequest) -> int:
    """Returns the protocol version that a client names (ENL-15)."""
    return message.protocol_version if message.HasField("protocol_version") else UNNAMED_PROTOCOL_VERSION


def limits_to(limits: Limits) -> stanza_pb2.ChannelLimits:
    """Returns the limits that a client must know."""
    return stanza_pb2.ChannelLimits(
        max_frame_bytes=limits.max_frame_bytes,
        max_batch_stanzas=limits.max_batch_stanzas,
        max_ciphertext_bytes=limits.max_ciphertext_bytes,
        max_unacked_deliveries=limits.max_unacked_deliveries,
        keepalive_seconds=limits.keepalive_seconds,
        silent_seconds=limits.silent_seconds,
        max_ack_ids=MAX_ACK_IDS,
        max_receipt_ids=MAX_RECEIPT_IDS,
        max_offline_batch=MAX_OFFLINE_BATCH,
        handshake_seconds=limits.handshake_seconds,
        max_mailbox_items=limits.max_mailbox_items,
        max_mailbox_bytes=limits.max_mailbox_bytes,
        mailbox_days=limits.mailbox_days,
        sent_message_days=limits.sent_message_days,
    )
