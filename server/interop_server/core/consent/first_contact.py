"""First contact: message requests, trusted contacts and unanswered chats; knows no wire format, store or message.

A third-party user who writes first makes a message request. A WhatsApp user who writes back, or accepts, makes them a
trusted contact for a time. The chats that a third-party user opens are counted until the WhatsApp user answers.
"""

from collections.abc import Sequence

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, Limits
from interop_server.core.mailbox_content import TrustedContact, encode
from interop_server.core.messages import ChatEntry, RequestAnswer, RouteFacts
from interop_server.core.model import Account, MessageRequestState


def trusted_until_ms(now_ms: int, limits: Limits) -> int:
    """Returns when a trusted-contact mark that is given now ends (OPT-14).

    Time is divided into buckets, and all marks of one bucket end together: only a later bucket renews a mark.
    """
    bucket_ms = limits.trusted_bucket_days * DAY_MS
    return (now_ms // bucket_ms + limits.trusted_buckets) * bucket_ms


def has_declined(facts: RouteFacts) -> bool:
    """Says whether the recipient is a WhatsApp user who has declined the sender's message request (OPT-14)."""
    return facts.request_state is MessageRequestState.DECLINED and facts.integrator == 0


def chat_entry(
    sender: Account, recipient_id: int, answer: RequestAnswer | None = None, *, is_dropped: bool
) -> ChatEntry:
    """Returns what a message changes in the chat of its sender and recipient (OPT-06, OPT-14).

    A WhatsApp user who writes first accepts the chat by writing; a third-party user who writes first makes a message
    request. Only the WhatsApp user has a list of chats. It shows the chats that they wrote to, even when the message
    was dropped, and the chats whose messages reached them.

    Args:
        sender: Of the message.
        recipient_id: Of the message.
        answer: What `acceptance` says, when the sender is a WhatsApp user.
        is_dropped: Whether the message goes into no mailbox.
    """
    if sender.is_whatsapp:
        return ChatEntry(sender.account_id, recipient_id, MessageRequestState.ACCEPTED, is_listed=True, answer=answer)
    return ChatEntry(recipient_id, sender.account_id, MessageRequestState.REQUESTED, is_listed=not is_dropped)


def acceptance(whatsapp: Account, peer: RouteFacts, now_ms: int, limits: Limits, *, tell: bool) -> RequestAnswer | None:
    """Returns what changes when a WhatsApp user accepts a third-party user or writes to them; None for nothing.

    Args:
        whatsapp: The WhatsApp user.
        peer: Facts of the third-party user, as seen from the WhatsApp user.
        now_ms: The time now.
        limits: How long the mark holds.
        tell: Whether the third-party user may be told. Without that no mark is given: a mark comes with its
            notification.
    """
    until_ms = trusted_until_ms(now_ms, limits)
    if not tell or until_ms <= peer.trusted_until_ms:
        if peer.request_state is MessageRequestState.ACCEPTED:
            return None
        return RequestAnswer(whatsapp.account_id, peer.account_id, MessageRequestState.ACCEPTED)
    mark = TrustedContact(whatsapp.jid, until_ms)
    notice = encode(mark, peer.account_id, now_ms, sender_id=whatsapp.account_id, sender_jid=whatsapp.jid)
    return RequestAnswer(whatsapp.account_id, peer.account_id, MessageRequestState.ACCEPTED, until_ms, notice)


class NewChats:
    """How many further chats a third-party user may open now. Source: ABU-05.

    Args:
        opened_at_ms: When the user opened the chats that are unanswered and still count, newest first.
        locked_until_ms: Until when the user may open no chat at all; None without such a lock.
        now_ms: The time now.
        limits: How many may be open.
    """

    def __init__(self, opened_at_ms: Sequence[int], locked_until_ms: int | None, now_ms: int, limits: Limits) -> None:
        self._opened_at_ms = list(opened_at_ms)
        self._locked_until_ms = locked_until_ms
        self._opening: set[int] = set()
        self._now_ms = now_ms
        self._limits = limits
        self.capped = 0
        """How many attempts the cap refused."""

    def open(self, recipient_id: int) -> None:
        """Opens a chat with a recipient; a second call for the same recipient changes nothing.

        Raises:
            Refusal: NEW_CHATS_LOCKED with the rest of the lock, or NEW_CHATS_CAPPED with the delay after which a chat
                no longer counts.
        """
        if recipient_id in self._opening:
            return
        if self._locked_until_ms is not None:
            raise Refusal(Reason.NEW_CHATS_LOCKED, retry_after_ms=max(1, self._locked_until_ms - self._now_ms))
        if len(self._opened_at_ms) >= self._limits.new_chats:
            self.capped += 1
            most = self._limits.new_chats
            last_counted_ms = self._opened_at_ms[most - 1] if most else self._now_ms
            retry_after_ms = last_counted_ms + self._limits.new_chats_ms - self._now_ms
            raise Refusal(Reason.NEW_CHATS_CAPPED, retry_after_ms=max(1, retry_after_ms))
        self._opened_at_ms.insert(0, self._now_ms)
        self._opening.add(recipient_id)
