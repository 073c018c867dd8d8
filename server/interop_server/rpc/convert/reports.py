"""Messages that a report names; lengths of what is revealed are checked by the rules."""

import re

from interop_api.v1 import integrity_pb2
from interop_server.core.errors import Reason, Refusal
from interop_server.core.messages import (
    ReportedMessage,
    RevealedContent,
)

_STANZA_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def reported_message_from(message: integrity_pb2.ReportedMessage, index: int) -> ReportedMessage:
    """Reads a message that a report names, by its index in it; lengths of what is revealed are checked by the rules.

    Raises:
        Refusal: REQUEST_MALFORMED.
    """
    if not _STANZA_ID.fullmatch(message.message_id):
        field = f"messages[{index}].message_id"
        raise Refusal(Reason.REQUEST_MALFORMED, "`message_id` is no id of a message", field=field, requirement="ABU-03")
    if message.HasField("plaintext") != message.HasField("message_secret"):
        field = f"messages[{index}].{'message_secret' if message.HasField('plaintext') else 'plaintext'}"
        raise Refusal(
            Reason.REQUEST_MALFORMED,
            "`plaintext` and `message_secret` come together",
            field=field,
            requirement="ABU-03",
        )
    if not message.HasField("plaintext"):
        return ReportedMessage(message.message_id, None)
    return ReportedMessage(message.message_id, RevealedContent(message.plaintext, message.message_secret))
