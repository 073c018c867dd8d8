"""What this client has sent, as it is true now; knows no session and saves nothing.

A message that is sent again says what its sender last said: an edited text is the new text, and of a deleted message
there is only the deletion. Source: MSG-12, RCP-03.
"""

from collections import OrderedDict

from interop_api.e2ee.v1 import content_pb2
from interop_client.messaging.changes import is_deletion

Name = tuple[str, str]
"""JID of the recipient, and id of the message."""


class SentContents:
    """The contents of one account's newest messages, and their changes.

    Args:
        capacity: How many of each are kept; the oldest are forgotten.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._contents: OrderedDict[Name, content_pb2.Message] = OrderedDict()
        self._changes: OrderedDict[Name, content_pb2.Message] = OrderedDict()

    def keep(self, to: str, message_id: str, content: content_pb2.Message) -> None:
        """Keeps the content of a message, before it leaves."""
        self._put(self._contents, (to, message_id), content)

    def get(self, to: str, message_id: str) -> content_pb2.Message | None:
        """Returns a content as it was sent; None when it is not kept any more."""
        return self._contents.get((to, message_id))

    def accepted(self, to: str, content: content_pb2.Message) -> None:
        """Notes that the server has accepted a message, which may change an earlier one from now on."""
        change = content.protocol_message
        if not content.HasField("protocol_message") or not change.key.from_me:
            return
        before = self._changes.get((to, change.key.id))
        if before is None or not is_deletion(before.protocol_message):
            self._put(self._changes, (to, change.key.id), content)

    def as_changed(self, to: str, message_id: str, content: content_pb2.Message) -> content_pb2.Message:
        """Returns what is true now instead of a content that was sent, by the changes that the server has accepted.

        Args:
            to: JID of the recipient.
            message_id: Id of the message.
            content: As it was sent: a message, or itself a change of one.
        """
        own = content.HasField("protocol_message") and content.protocol_message.key.from_me
        target_id = content.protocol_message.key.id if own else message_id
        change = self._changes.get((to, target_id))
        if change is None:
            return content
        if own or is_deletion(change.protocol_message):
            return change
        return _edited(content, change.protocol_message.edited_message.conversation)

    def _put(self, memory: OrderedDict[Name, content_pb2.Message], name: Name, content: content_pb2.Message) -> None:
        memory[name] = content
        memory.move_to_end(name)
        if len(memory) > self._capacity:
            memory.popitem(last=False)


def _edited(content: content_pb2.Message, text: str) -> content_pb2.Message:
    edited = content_pb2.Message()
    edited.CopyFrom(content)
    if edited.HasField("extended_text_message"):
        edited.extended_text_message.text = text
    elif edited.HasField("conversation"):
        edited.conversation = text
    return edited
