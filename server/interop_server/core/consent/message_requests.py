"""How WhatsApp users answer message requests; knows no wire format and no message."""

from dataclasses import dataclass

from interop_server.core.addressing import check_address
from interop_server.core.consent.first_contact import acceptance
from interop_server.core.consent.optin import require_whatsapp
from interop_server.core.consent.reach import Route, decide_route
from interop_server.core.consent.store import StoreForConsent
from interop_server.core.errors import Refusal
from interop_server.core.journal import Journal, Outcome
from interop_server.core.limits import Limits
from interop_server.core.messages import RequestAnswer, RouteFacts
from interop_server.core.model import Account, MessageRequestState
from interop_server.core.ports import Clock, Connections, PushGateway


@dataclass(frozen=True, slots=True)
class MessageRequests:
    """Accepts and declines message requests. Source: OPT-14."""

    store: StoreForConsent
    connections: Connections
    push: PushGateway
    journal: Journal
    clock: Clock
    limits: Limits

    async def answer(self, account: Account, peer_jid: str, *, accepted: bool) -> None:
        """Accepts or declines the message request of a third-party user.

        The caller does not learn whether there is a request: a peer who never wrote gets the same answer.

        Raises:
            Refusal: CALLER_NOT_WHATSAPP_USER or as `check_address`.
        """
        require_whatsapp(account, "OPT-14")
        jid = check_address(peer_jid, "peer_jid").text
        facts = (await self.store.routes.get_facts(account, [jid])).get(jid)
        if facts is None or facts.request_state is None:
            self._record(account, jid, "dropped", cause="neither has written to the other")
        elif accepted:
            await self._accept(account, facts)
            self._record(account, jid, "done", detail="accepted")
        else:
            answer = RequestAnswer(account.account_id, facts.account_id, MessageRequestState.DECLINED)
            await self.store.chats.put_answers([answer])
            self._record(account, jid, "done", detail="declined")

    async def _accept(self, account: Account, facts: RouteFacts) -> None:
        answer = acceptance(account, facts, self.clock.now_ms(), self.limits, tell=_reaches(account, facts))
        if answer is None:
            return
        await self.store.chats.put_answers([answer])
        if answer.notice is not None and not self.connections.wake(facts.account_id):
            self.push.notify(facts.integrator, facts.known_as)

    def _record(self, account: Account, jid: str, outcome: Outcome, *, cause: str = "", detail: str = "") -> None:
        self.journal.record(
            account.jid, "message_request", outcome, jid, requirement="OPT-14", cause=cause, detail=detail
        )


def _reaches(account: Account, facts: RouteFacts) -> bool:
    try:
        return decide_route(account, recipient_is_whatsapp=False, facts=facts) is Route.DELIVER
    except Refusal:
        return False
