"""The payload of a login for either kind of account; knows no handshake.

Source: interop_api/v1/chat.proto, LoginPayload; CHN-06, PRX-02.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from interop_api.v1 import chat_pb2
from interop_protocol.jid import parse_jid
from interop_protocol.sizes import PROTOCOL_VERSION

CAPABILITIES = (
    chat_pb2.CAPABILITY_TYPING,
    chat_pb2.CAPABILITY_REACHABILITY_PINGS,
    chat_pb2.CAPABILITY_TRUSTED_CONTACTS,
    chat_pb2.CAPABILITY_CHALLENGES,
    chat_pb2.CAPABILITY_KEY_DIGESTS,
    chat_pb2.CAPABILITY_MESSAGE_REQUESTS,
    chat_pb2.CAPABILITY_KEM_PREKEYS,
)
"""Optional parts of the protocol that this SDK knows."""


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """The choices of a client at login."""

    read_receipts: bool = True
    """Whether this user sends and receives read receipts (RCP-01)."""
    client_ip: str = ""
    """The end client's public IP address, set by a proxy only: it makes this a login in proxy mode."""
    protocol_version: int = PROTOCOL_VERSION
    """Interop protocol version (ENL-15)."""
    capabilities: Sequence[chat_pb2.Capability.ValueType] = CAPABILITIES
    """Optional parts that the client knows: what needs another one is not sent to it."""


def third_party_login(jid: str, token: str, options: LoginOptions | None = None) -> chat_pb2.LoginPayload:
    """Returns the login of a third-party user.

    Args:
        jid: As the enlistment returned it, `{integrator}-{number}@interop`.
        token: A token that the partner issued for this user.
        options: Choices; the defaults when None.

    Raises:
        JidError: `jid` is not a JID.
    """
    options = options or LoginOptions()
    return chat_pb2.LoginPayload(
        product=chat_pb2.PRODUCT_INTEROP,
        interop_data=chat_pb2.InteropData(
            account_id=int(parse_jid(jid).user), token=token.encode(), enable_read_receipts=options.read_receipts
        ),
        protocol_version=options.protocol_version,
        connection_mode=_mode(options),
        client_ip=options.client_ip,
        capabilities=options.capabilities,
    )


def whatsapp_login(jid: str, options: LoginOptions | None = None) -> chat_pb2.LoginPayload:
    """Returns the login of a WhatsApp user, whose auth key alone proves who they are.

    Args:
        jid: `{digits}@s.whatsapp.net`.
        options: Choices; the defaults when None.

    Raises:
        JidError: `jid` is not a JID.
    """
    options = options or LoginOptions()
    return chat_pb2.LoginPayload(
        username=int(parse_jid(jid).user),
        product=chat_pb2.PRODUCT_WHATSAPP,
        protocol_version=options.protocol_version,
        connection_mode=_mode(options),
        client_ip=options.client_ip,
        enable_read_receipts=options.read_receipts,
        capabilities=options.capabilities,
    )


def _mode(options: LoginOptions) -> chat_pb2.ConnectionMode.ValueType:
    return chat_pb2.CONNECTION_MODE_PROXY if options.client_ip else chat_pb2.CONNECTION_MODE_DIRECT
