"""Asking for messages again, as a recipient does; knows no network and saves nothing.

The first request has a count and a reason. From the second on it brings a bundle made for this purpose, so that the
sender can begin a new session that the recipient is sure to hold the keys of. Source: RCP-03, RCP-04, MED-08.
"""

from interop_api.v1 import stanza_pb2
from interop_client.memory import Asked, MessageName
from interop_client.signal.errors import InvalidContent, SignalError, UntrustedIdentity
from interop_client.signal.store import SignalState
from interop_client.signal.x3dh import PreKeyBundle
from interop_client.state import ClientState
from interop_protocol.sizes import MAX_RETRIES

_FIRST_WITH_KEYS = 2


def can_help(error: SignalError) -> bool:
    """Says whether a message that could not be opened is worth asking for again.

    Its content is the same each time; and whether to trust another identity key is for a person to decide.
    """
    return not isinstance(error, InvalidContent | UntrustedIdentity)


def ask_again(
    state: ClientState, name: MessageName, came_with: int, *, reason: int = 0, media_status: int | None = None
) -> stanza_pb2.RetryReceipt | None:
    """Returns a request for a message, and counts it; None when it was asked for often enough. Save the state first.

    Args:
        state: Changes.
        name: The message.
        came_with: `retry_count` of the copy that came.
        reason: Why the message could not be opened, as `SignalError.retry_reason`.
        media_status: What the download of its blob was answered with, when that is what is asked for.
    """
    sender, message_id = name
    asked = state.deliveries.ask_again(name, came_with)
    state.signal.delete_one_time_prekeys(state.deliveries.forget_oldest_asked())
    if asked.count > MAX_RETRIES:
        end_asking(state, name)
        return None
    receipt = stanza_pb2.RetryReceipt(
        to_jid=sender,
        message_id=message_id,
        retry_count=asked.count,
        reason=stanza_pb2.RetryReason.ValueType(reason),
        registration_id=state.signal.registration_id,
        media_status=media_status,
    )
    if media_status is None and asked.count >= _FIRST_WITH_KEYS:
        receipt.keys.CopyFrom(_fresh_keys(state.signal, asked))
    return receipt


def end_asking(state: ClientState, name: MessageName) -> None:
    """Forgets that a message was asked for, and the prekeys that were made for it and that nobody used."""
    state.signal.delete_one_time_prekeys(state.deliveries.forget_asked(name))


def _fresh_keys(signal: SignalState, asked: Asked) -> stanza_pb2.RetryKeys:
    public = signal.publishable
    [one_time] = signal.generate_one_time_prekeys(1)
    asked.prekey_ids.append(one_time.key_id)
    return stanza_pb2.RetryKeys(
        identity_key=public.identity_key,
        signed_prekey_id=public.signed_prekey.key_id,
        signed_prekey=public.signed_prekey.public_key,
        signed_prekey_signature=public.signed_prekey.signature,
        one_time_prekey_id=one_time.key_id,
        one_time_prekey=one_time.public_key,
    )


def bundle_of(receipt: stanza_pb2.RetryReceipt) -> PreKeyBundle:
    """Returns the bundle in a retry receipt, which is still to be verified."""
    keys = receipt.keys
    return PreKeyBundle(
        registration_id=receipt.registration_id,
        device_id=0,
        identity_key=keys.identity_key,
        signed_prekey_id=keys.signed_prekey_id,
        signed_prekey=keys.signed_prekey,
        signed_prekey_signature=keys.signed_prekey_signature,
        one_time_prekey_id=keys.one_time_prekey_id,
        one_time_prekey=keys.one_time_prekey,
    )
