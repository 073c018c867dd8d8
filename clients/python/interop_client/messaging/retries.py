"""A recipient's requests to send messages again; knows no network and saves nothing.

The first request has a count and a reason. From the second on, it also has a bundle made for this purpose, so that the
sender can begin a new session whose keys the recipient certainly has. Source: RCP-03, RCP-04, MED-08.
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
    """Says whether asking for a message again can help after an error.

    It cannot when the content is invalid, since it would be the same again, or when the user must first decide whether
    to trust another identity key.
    """
    return not isinstance(error, InvalidContent | UntrustedIdentity)


def ask_again(
    state: ClientState, name: MessageName, came_with: int, *, reason: int = 0, media_status: int | None = None
) -> stanza_pb2.RetryReceipt | None:
    """Returns a request for a message, and counts it; None after the last allowed request. Save the state first.

    Args:
        state: Counts the request; changes.
        name: The message.
        came_with: `retry_count` of the copy that came.
        reason: Why the message could not be opened, as `SignalError.retry_reason`.
        media_status: The status of the blob's download, in a request for the blob; None in a request for the message.
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
    """Forgets the requests for a message, and deletes the prekeys made for them that the sender has not used."""
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
    """Returns the bundle in a retry receipt, not verified."""
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
