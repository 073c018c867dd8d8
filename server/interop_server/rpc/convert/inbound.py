"""Stanzas that a client sends: form is validated once, here; knows no rule and no store."""

import re

from interop_api.v1 import stanza_pb2
from interop_protocol.franking import REPORTING_TOKEN_BYTES
from interop_protocol.sizes import MAX_RECEIPT_IDS, MAX_RETRIES
from interop_server.core.errors import Reason, Refusal
from interop_server.core.messages import (
    CiphertextType,
    DeviceCiphertext,
    MessageType,
    OutgoingMessage,
    ReceiptType,
    RetryKeys,
    RetryReason,
    RetryReceipt,
)
from interop_server.core.messaging.receipts import OutgoingReceipt
from interop_server.core.model import (
    OneTimePreKey,
    SignedPreKey,
)
from interop_server.rpc.convert.enums import known

_STANZA_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MESSAGE_TYPES = {int(each): each for each in MessageType}
_CIPHERTEXT_TYPES = {int(each): each for each in CiphertextType}
NACK_CODES = range(400, 600)
"""MSG-10; those observed on the wire, and room for those to come: what is not taken is delivered again for ever."""


def message_from(message: stanza_pb2.Message, own_jid: str) -> OutgoingMessage:
    """Reads a message that a client sends.

    Raises:
        Refusal: STANZA_MALFORMED or CONNECTION_MULTIPLEXED.
    """
    check_sender(message.from_jid, own_jid, "message")
    stanza_id, number, parts = message.id, message.type, message.enc  # every look at a field makes a new object
    if not _STANZA_ID.fullmatch(stanza_id):
        detail = "`id` must be 1 to 64 characters of A-Z, a-z, 0-9, `-`, `_`, `.`"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="message.id", requirement="MSG-04")
    message_type = _MESSAGE_TYPES.get(number) or known(
        MessageType, number, "message.type", "MSG-12", Reason.STANZA_MALFORMED
    )
    # A list out of the container first: to go through the container itself costs more than all else here.
    enc = tuple([_ciphertext_from(part, index) for index, part in enumerate(parts[:])])
    retry_count = message.retry_count
    if retry_count > MAX_RETRIES:
        raise Refusal(
            Reason.STANZA_MALFORMED,
            f"`retry_count` is 0 to {MAX_RETRIES}",
            field="message.retry_count",
            requirement="RCP-04",
        )
    token = message.reporting_token
    if token and len(token) != REPORTING_TOKEN_BYTES:
        detail = f"`reporting_token` has {REPORTING_TOKEN_BYTES} bytes, or none"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="message.reporting_token", requirement="ABU-04")
    return OutgoingMessage(stanza_id, message.to_jid, message_type, enc, retry_count, token)


def _ciphertext_from(part: stanza_pb2.Enc, index: int) -> DeviceCiphertext:
    number, ciphertext = part.type, part.ciphertext
    if number not in _CIPHERTEXT_TYPES:
        known(CiphertextType, number, f"message.enc[{index}].type", "MSG-03", Reason.STANZA_MALFORMED)
    if not ciphertext:
        field = f"message.enc[{index}].ciphertext"
        raise Refusal(Reason.STANZA_MALFORMED, "`ciphertext` is empty", field=field, requirement="MSG-03")
    registration_id = part.registration_id if part.HasField("registration_id") else None
    return DeviceCiphertext(_CIPHERTEXT_TYPES[number], part.device_id, ciphertext, registration_id)


def receipt_from(receipt: stanza_pb2.Receipt, own_jid: str) -> OutgoingReceipt:
    """Reads a receipt that a client sends.

    Raises:
        Refusal: STANZA_MALFORMED or CONNECTION_MULTIPLEXED.
    """
    check_sender(receipt.from_jid, own_jid, "receipt")
    receipt_type = known(ReceiptType, receipt.type, "receipt.type", "RCP-01", Reason.STANZA_MALFORMED)
    if not 1 <= len(receipt.message_ids) <= MAX_RECEIPT_IDS:
        detail = f"a receipt names 1 to {MAX_RECEIPT_IDS} messages"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="receipt.message_ids", requirement="RCP-02")
    for index, message_id in enumerate(receipt.message_ids):
        if not _STANZA_ID.fullmatch(message_id):
            detail = "a receipt names a message id of the wrong form"
            raise Refusal(Reason.STANZA_MALFORMED, detail, field=f"receipt.message_ids[{index}]", requirement="RCP-02")
    return OutgoingReceipt(receipt_type, receipt.to_jid, receipt.message_ids)


def retry_receipt_from(receipt: stanza_pb2.RetryReceipt, own_jid: str) -> RetryReceipt:
    """Reads a retry receipt that a client sends; what it must hold is checked by the rules.

    Raises:
        Refusal: STANZA_MALFORMED or CONNECTION_MULTIPLEXED.
    """
    check_sender(receipt.from_jid, own_jid, "retry_receipt")
    if not _STANZA_ID.fullmatch(receipt.message_id):
        detail = "a retry receipt names a message id of the wrong form"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="retry_receipt.message_id", requirement="RCP-03")
    if receipt.retry_count == 0:
        detail = "`retry_count` counts this time, too: it begins with 1"
        raise Refusal(Reason.STANZA_MALFORMED, detail, field="retry_receipt.retry_count", requirement="RCP-03")
    reason = known(RetryReason, receipt.reason, "retry_receipt.reason", "RCP-03", Reason.STANZA_MALFORMED)
    return RetryReceipt(
        message_id=receipt.message_id,
        retry_count=receipt.retry_count,
        reason=reason,
        registration_id=receipt.registration_id,
        keys=_retry_keys_from(receipt.keys) if receipt.HasField("keys") else None,
        media_status=receipt.media_status if receipt.HasField("media_status") else None,
    )


def _retry_keys_from(keys: stanza_pb2.RetryKeys) -> RetryKeys:
    signed_prekey = SignedPreKey(keys.signed_prekey_id, keys.signed_prekey, keys.signed_prekey_signature)
    return RetryKeys(keys.identity_key, signed_prekey, OneTimePreKey(keys.one_time_prekey_id, keys.one_time_prekey))


def check_sender(sender: str, own_jid: str, kind: str) -> None:
    """Checks that a stanza names its own connection's account as its sender, or nobody.

    Raises:
        Refusal: CONNECTION_MULTIPLEXED.
    """
    if sender and sender != own_jid:
        raise Refusal(Reason.CONNECTION_MULTIPLEXED, field=f"{kind}.from_jid")
