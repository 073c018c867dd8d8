"""Reports: which count and which do not, told to no client; keeps and logs nothing of what a reporter reveals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from interop_protocol.franking import MESSAGE_SECRET_BYTES, is_reporting_token
from interop_server.core.abuse.escalation import Escalation
from interop_server.core.abuse.scoring import report_weight_since_ms
from interop_server.core.abuse.store import StoreForAbuse
from interop_server.core.addressing import check_address
from interop_server.core.errors import Reason, Refusal, require_count
from interop_server.core.journal import Journal
from interop_server.core.limits import DAY_MS, Limits
from interop_server.core.messages import ReportedMessage, SentMessage
from interop_server.core.model import Account, ExternalUser, SpamFlow
from interop_server.core.ports import Clock, Rng
from interop_server.core.ratelimit import SharedRate
from interop_server.core.sweeps import Sweep

MAX_REPORTED_MESSAGES = 16
_REPORT_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Reports:
    """Takes reports and counts those that the server can match to a delivery. Source: ABU-03, ABU-04; threat T18."""

    store: StoreForAbuse
    escalation: Escalation
    journal: Journal
    clock: Clock
    rng: Rng
    limits: Limits
    rate: SharedRate

    async def report(
        self, reporter: Account, jid: str, spam_flow: SpamFlow, messages: Sequence[ReportedMessage]
    ) -> str:
        """Takes a report and returns its id, whether or not it counts; only the journal says which, and why.

        Raises:
            Refusal: TOO_MANY_ITEMS, REQUEST_MALFORMED or RATE_LIMITED, or as `check_address`.
        """
        address = check_address(jid, "jid").text
        _check_messages(messages, self.limits.max_ciphertext_bytes)
        await self.rate.require(reporter.account_id)
        report_id = self.rng.token_bytes(_REPORT_ID_BYTES).hex()
        reported = await self.store.accounts.get(address)
        cause, reporters = await self._count(reporter, reported, messages)
        self.journal.record(
            reporter.jid,
            "report",
            "dropped" if cause else "accepted",
            address,
            requirement="ABU-04",
            cause=cause,
            detail=f"{report_id}: {len(messages)} messages, from {spam_flow.name.lower()}",
        )
        if reported is not None and reporters:
            await self.escalation.after_report(reported, reporter, reporters)
        return report_id

    async def forget(self, reported: ExternalUser, account_id: int = 0) -> None:
        """Forgets the counted reports of a user; with an account, of whoever has it now."""
        await self.store.reports.delete(reported, account_id)

    def sweeps(self) -> tuple[Sweep, ...]:
        """Reports that no longer weigh (ABU-08)."""
        kept_ms = self.limits.report_weight_days * DAY_MS
        return (Sweep("reports", "ABU-08", kept_ms, self.store.reports.oldest_ms, self.store.reports.delete_expired),)

    async def _count(
        self, reporter: Account, reported: Account | None, messages: Sequence[ReportedMessage]
    ) -> tuple[str, int]:
        """Returns why a report does not count, or else how many people have reported the user."""
        if reported is None:
            return "there is no such account", 0
        now_ms = self.clock.now_ms()
        sent = await self.store.sent.get(reported.account_id, [message.stanza_id for message in messages])
        delivered = {
            stanza_id: record
            for stanza_id, record in sent.items()
            if record.recipient_id == reporter.account_id
            and not record.is_dropped
            and now_ms - record.timestamp_ms < self.limits.report_days * DAY_MS
        }
        if not delivered:
            return "no message that it names was delivered to the reporter in time", 0
        if any(_is_made_up(message, delivered, reporter, reported) for message in messages):
            return "what it reveals is not what was sent", 0
        since_ms = report_weight_since_ms(now_ms, self.limits)
        both = (reported.external_user, reporter.external_user)
        account_ids = (reported.account_id, reporter.account_id)
        reporters = await self.store.reports.add(*both, now_ms, since_ms, account_ids)
        return ("", reporters) if reporters else ("the reporter has reported them before", 0)


def _is_made_up(
    message: ReportedMessage, delivered: Mapping[str, SentMessage], reporter: Account, reported: Account
) -> bool:
    """Says whether revealed content differs from what was sent. Without a token from the sender it proves nothing."""
    if message.revealed is None:
        return False
    record = delivered.get(message.stanza_id)
    if record is None:
        return True
    plaintext, secret = message.revealed
    return bool(record.reporting_token) and not is_reporting_token(
        record.reporting_token, secret, reported.jid, reporter.jid, message.stanza_id, plaintext
    )


def _check_messages(messages: Sequence[ReportedMessage], max_bytes: int) -> None:
    # What could be sent can be revealed: content is never longer than the ciphertext that held it.
    require_count(len(messages), MAX_REPORTED_MESSAGES, "messages", "ABU-03")
    for index, message in enumerate(messages):
        if message.revealed is None:
            continue
        if len(message.revealed.plaintext) > max_bytes:
            detail = f"`plaintext` has at most {max_bytes:,} bytes"
            raise Refusal(Reason.REQUEST_MALFORMED, detail, field=f"messages[{index}].plaintext", requirement="ABU-03")
        if len(message.revealed.message_secret) != MESSAGE_SECRET_BYTES:
            detail = f"`message_secret` has {MESSAGE_SECRET_BYTES} bytes"
            raise Refusal(
                Reason.REQUEST_MALFORMED, detail, field=f"messages[{index}].message_secret", requirement="ABU-03"
            )
