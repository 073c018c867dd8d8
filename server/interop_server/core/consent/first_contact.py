"""What two people owe each other before they know each other; knows no wire format, no store and no message.

A third party who writes first makes a message request. Writing back, or accepting, makes them a trusted contact for a
time. Until somebody answers, the chats that a third party opens are counted.
"""

from collections.abc import Sequence

from interop_server.core.errors import Reason, Refusal
from interop_server.core.limits import DAY_MS, Limits
from interop_server.core.mailbox_content import TrustedContact, encode
from interop_server.core.messages import ChatEntry, RequestAnswer, RouteFacts
from interop_server.core.model import Account, MessageRequestState


def trusted_until_ms(now_ms: int, limits: Limits) -> int:
    """Returns when a trusted-contact mark that is given now ends (OPT-14).

    Time is cut into buckets, and all marks of one bucket end together: a mark is worth renewing only in a later one.
    """
    bucket_ms = limits.trusted_bucket_days * DAY_MS
    return (now_ms // bucket_ms + limits.trusted_buckets) * bucket_ms


def has_declined(facts: RouteFacts) -> bool:
    """Says whether the recipient is a WhatsApp user who has declined the sender's message request (OPT-14)."""
    return facts.request_state is MessageRequestState.DECLINED and facts.integrator == 0


def chat_entry(sender: Account, recipient_id: int, *, is_dropped: bool) -> ChatEntry:
    """Returns what a message does to the chat of its two ends (OPT-06, OPT-14).

    A WhatsApp user who writes first accepts the chat by writing; a third-party user who writes first makes a message
    request. The list of chats is the WhatsApp user's: it shows what they sent, dropped or not, and what reached them.
    """
    if sender.is_whatsapp:
        return ChatEntry(sender.account_id, recipient_id, MessageRequestState.ACCEPTED, is_listed=True)
    return ChatEntry(recipient_id, sender.account_id, MessageRequestState.REQUESTED, is_listed=not is_dropped)


def acceptance(whatsapp: Account, peer: RouteFacts, now_ms: int, limits: Limits, *, tell: bool) -> RequestAnswer | None:
    """Returns what a WhatsApp user changes by accepting a third-party user or writing to them; None for nothing.

    Args:
        whatsapp: Who accepts.
        peer: Of the third-party user, as seen from there.
        now_ms: When.
        limits: How long the mark holds.
        tell: Whether anything of the WhatsApp user's reaches the third-party user now. A mark comes with its notice.
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
        opened_at_ms: When they opened those that nobody has answered and that count still, newest first.
        locked_until_ms: Until when they may open none at all; None when they may.
        now_ms: Now.
        limits: How many may be open.
    """

    def __init__(self, opened_at_ms: Sequence[int], locked_until_ms: int | None, now_ms: int, limits: Limits) -> None:
        self._opened_at_ms = list(opened_at_ms)
        self._locked_until_ms = locked_until_ms
        self._opening: set[int] = set()
        self._now_ms = now_ms
        self._limits = limits
        self.capped = 0
        """How often the cap was met."""

    def open(self, recipient_id: int) -> None:
        """Opens one.

        Raises:
            Refusal: NEW_CHATS_LOCKED with what is left of the lock, or NEW_CHATS_CAPPED with the delay after which a
                chat counts no more.
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
