"""Where stories are played: real servers in this process, two messengers, a raw client for each person; no rule."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio

from interop_api.admin.v1alpha1 import standing_pb2
from interop_api.v1 import (
    account_pb2,
    errors_pb2,
    integrity_pb2,
    interop_pb2,
    prekeys_pb2,
    stanza_pb2,
)
from interop_client.connection.login import third_party_login, whatsapp_login
from interop_client.errors import ServerRefusal, refusal_from_rpc_error, refusal_from_stanza_error
from interop_client.state import ClientState
from interop_client.whatsapp import TERMS_ID
from interop_server.core.limits import Limits
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from tests.e2e.raw import check, check_error, enlistment, one_time_prekeys, signed_prekey
from tests.e2e.wire import sealed_message
from tests.histories.line import WAIT_SECONDS, Line, LineEnded
from tests.histories.model import ABROAD, DONE, OFFLINE, REPORTERS_UNTIL_BAN, REPORTERS_UNTIL_LOCK, Event
from tests.histories.servers import START_MS, Surface, open_servers
from tests.histories.story import BY_OPERATOR, PARTNERS, WAITS_MS, WHATSAPP, Moment, Step
from tests.largest_limits import no_rates
from tests.registration import registration

ENDED: Event = ("ended",)
"""Of a step whose connection the server ended before it answered."""
_TOKEN_MS = 60_000
_INTEGRATORS = {"A": 100, "B": 200}
_TOO_MANY = 1_000_000_000
LIMITS = Limits(
    **no_rates(),
    prekeys_low_count=0,
    reports_until_lock=REPORTERS_UNTIL_LOCK,
    reports_until_ban=REPORTERS_UNTIL_BAN,
    score_until_lock=_TOO_MANY,
)
"""No rate answers for the rules behind it, and few reports lead to a sanction."""


class Person:
    """Somebody's client: keys, JID and connection.

    Args:
        name: As in stories.
        external_id: The user name at the messenger; for a WhatsApp user what the numbers begin with.
    """

    def __init__(self, name: str, external_id: str) -> None:
        self.name = name
        self.external_id = external_id
        self.keys = 1
        """Which keys it has, counted from 1."""
        self.enlistments = 0
        self.published = 0
        self.jid = ""
        self.token = ""
        self.token_until_ms = 0
        self.line: Line | None = None
        self.left: list[Event] = []
        """What earlier connections have seen and nobody has taken yet."""

    @property
    def is_whatsapp(self) -> bool:
        return self.name in WHATSAPP

    @property
    def online(self) -> Line | None:
        """The connection, unless the server has ended it."""
        return self.line if self.line is not None and not self.line.has_ended else None

    def number(self, name: str) -> str:
        """Returns a phone number as the operator writes it: unlike that of any other story."""
        return f"+1202{self.external_id}" if name == ABROAD else f"+4915{self.external_id}{name[1:]}"


class Stage:
    """A world for many stories, one after another, each with people of its own. Made by `open`."""

    def __init__(self, stack: AsyncExitStack, folder: Path, nodes: int) -> None:
        self.now_ms = START_MS
        self._stack = stack
        self._folder = folder
        self._nodes = nodes
        self._partners: dict[str, PartnerServer] = {}
        self._stories = itertools.count(1)
        self._states: list[ClientState] = []
        self._people: dict[str, Person] = {}
        self._names: dict[str, str] = {}
        self._jids: dict[str, str] = {}

    @property
    def has_nodes(self) -> bool:
        """Whether people connect at one of several."""
        return self._nodes > 1

    @classmethod
    async def open(cls, stack: AsyncExitStack, folder: Path, nodes: int = 1) -> Self:
        """Starts a server, or several nodes, and messengers; the stack stops them."""
        stage = cls(stack, folder, nodes)
        await stage._start()
        return stage

    async def set(self, people: Sequence[str]) -> None:
        """Takes away whoever was there, and brings people who are connected and opted in for both partners."""
        await self.clear()
        self._servers.begin_again()
        number = f"{next(self._stories):06}"
        self._people = {name: Person(name, number if name in WHATSAPP else f"{name}-{number}") for name in people}
        self._names, self._jids = {}, {}
        await asyncio.gather(*(self._bring(person) for person in self._people.values()))

    async def clear(self) -> None:
        """Ends all connections."""
        await asyncio.gather(*(person.line.close() for person in self._people.values() if person.line is not None))
        self._people = {}

    async def perform(self, moment: Moment) -> list[Event]:
        """Takes steps at the same time, with addresses bound, and returns how each was answered."""
        return list(await asyncio.gather(*map(self._perform, moment)))

    async def settle(self, expected: dict[str, int] | None, leaving: frozenset[str] = frozenset()) -> None:
        """Returns when people have seen all that the server has for them now.

        Args:
            expected: How much each is expected to see. Only when that does not come, or when nothing is known, the
                server is made to mark the end of what it has, which takes longer.
            leaving: Whose connections are expected to end.
        """
        await asyncio.gather(
            *(self._settle(person, expected, person.name in leaving) for person in self._people.values())
        )
        await self._servers.know_soon(self._here)

    def take(self) -> dict[str, list[Event]]:
        """Returns what each person has seen since the last call."""
        log: dict[str, list[Event]] = {}
        for person in self._people.values():
            seen, person.left = person.left, []
            if person.line is not None:
                seen = seen + person.line.seen
                person.line.seen = []
            if seen:
                log[person.name] = seen
        return log

    async def chat_list(self, name: str) -> list[Event] | None:
        """Returns the third-party chats as a WhatsApp user's client sees them; None without a connection."""
        line = self._people[name].online
        if line is None:
            return None
        request = interop_pb2.ListThirdPartyChatsRequest(page_size=100)
        response = await self._any.interop.ListThirdPartyChats(request, metadata=line.metadata)
        states = ("", "requested", "accepted", "declined")
        return sorted(
            (
                self._names.get(chat.peer_jid, chat.peer_jid),
                chat.last_message_at_ms,
                states[chat.request_state],
                chat.read_only,
            )
            for chat in response.chats
        )

    # Setting up.

    async def _start(self) -> None:
        self._servers = await open_servers(self._stack, self._folder, LIMITS, self._nodes)
        self.now_ms = self._servers.now_ms
        self._stack.push_async_callback(self.clear)
        keys = await asyncio.to_thread(SigningKeys)
        for name in _INTEGRATORS:
            settings = PartnerSettings(self._folder / name)
            server = PartnerServer(settings, keys, lambda: self.now_ms / 1_000)
            self._partners[name] = await self._stack.enter_async_context(server)
            await self._any.admin.put_partner(self._registration(name))

    def _registration(self, name: str) -> Any:
        entry = registration(self._partners[name], _INTEGRATORS[name], name)
        entry.push_url = entry.media_url = ""
        return entry

    async def _bring(self, person: Person) -> None:
        if person.is_whatsapp:
            number = f"n{WHATSAPP.index(person.name)}"
            auth_key = self._state(person).auth_public_key
            self._rename(person, await self._any.admin.put_whatsapp_user(person.number(number), auth_key), number)
            await self._open_line(person)
            await self._consent(person)
        else:
            if (answer := await self._enlist(person, "same"))[0] != "enlisted":
                raise RuntimeError(f"{person.name} cannot be enlisted: {answer}")
            await self._open_line(person)

    async def _consent(self, person: Person) -> None:
        assert person.line is not None
        for result in (interop_pb2.TERMS_RESULT_SHOWN, interop_pb2.TERMS_RESULT_ACCEPTED):
            terms = interop_pb2.RecordTermsRequest(terms_id=TERMS_ID, result=result)
            await self._any.interop.RecordTerms(terms, metadata=person.line.metadata)
        await self._opt_in(person.line, person, "AB")

    def _state(self, person: Person) -> ClientState:
        """Returns a person's keys. They are the same in all stories: making keys takes longer than a step."""
        while len(self._states) < person.keys:
            self._states.append(ClientState.generate())
        return self._states[person.keys - 1]

    def _rename(self, person: Person, jid: str, name: str) -> None:
        person.jid = jid
        self._names[jid], self._jids[name] = name, jid

    # Steps.

    async def _perform(self, step: Step) -> Event:
        person = self._people.get(step.words[0])
        act = getattr(self, f"_{step.verb}")
        try:
            if step.verb in BY_OPERATOR or step.verb in ("connect", "enlist"):
                result: Event = await act(person or step.words[0], *step.words[1:])
                return result
            assert person is not None
            line = person.online
            result = OFFLINE if line is None else await act(line, person, *step.words[1:])
        except (LineEnded, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                return ("no answer",)
            return ENDED
        except grpc.aio.AioRpcError as error:
            refusal = refusal_from_rpc_error(error)
            check(refusal, refusal.reason)
            return (refusal.reason,)
        except ServerRefusal as refusal:
            return (refusal.reason,)
        return result

    async def _send(self, line: Line, _: Person, jid: str, message: str) -> Event:
        [answer] = await line.exchange(sealed_message(self._jid(jid), message))
        [ack] = answer.send_acks.acks
        assert ack.id == message
        return _refused(ack.error) if ack.HasField("error") else ("acked", ack.timestamp_ms)

    async def _receipt(self, line: Line, _: Person, jid: str, message: str, kind: str) -> Event:
        receipt_type = stanza_pb2.RECEIPT_TYPE_READ if kind == "read" else stanza_pb2.RECEIPT_TYPE_DELIVERED
        receipt = stanza_pb2.Receipt(type=receipt_type, to_jid=self._jid(jid), message_ids=[message])
        return _silent(await line.exchange(stanza_pb2.Stanza(receipt=receipt)))

    async def _type(self, line: Line, _: Person, jid: str) -> Event:
        typing = stanza_pb2.Typing(to_jid=self._jid(jid), state=stanza_pb2.TYPING_STATE_COMPOSING)
        return _silent(await line.exchange(stanza_pb2.Stanza(typing=typing)))

    async def _ack(self, line: Line, _: Person, which: str) -> Event:
        due = line.unacked if which == "all" else line.unacked[:1]
        acked = ("acked", *(event for _, event in due))
        if due:
            await line.ack([delivery_id for delivery_id, _ in due])
        return acked

    async def _drop(self, line: Line, person: Person) -> Event:
        await line.close()
        person.left += line.seen
        person.line = None
        return DONE

    async def _connect(self, person: Person) -> Event:
        before = person.line
        line = await self._open_line(person)
        if before is not None:
            await before.until(lambda: False)  # it was replaced
            person.left += before.seen
            await before.close()
        if line.has_ended or line.preview is None:
            raise LineEnded
        preview = line.preview
        return "connected", preview.messages, preview.receipts, preview.notifications - line.marks

    async def _open_line(self, person: Person) -> Line:
        state = self._state(person)
        login = whatsapp_login(person.jid) if person.is_whatsapp else third_party_login(person.jid, self._token(person))
        person.line, before = None, person.line
        try:
            person.line = await Line.open(self._any.channel, state.auth_private_key, login, self._names)
        except BaseException:
            person.line = before
            raise
        return person.line

    def _token(self, person: Person) -> str:
        """Returns a token, an earlier one while it is good: signing takes longer than a step."""
        if self.now_ms >= person.token_until_ms:
            person.token = self._partners[person.name[0].upper()].issue_token(person.external_id)
            person.token_until_ms = self.now_ms + _TOKEN_MS
        return person.token

    async def _block(self, line: Line, _: Person, jid: str) -> Event:
        return await self._update_blocklist(line, jid, integrity_pb2.BLOCK_ACTION_BLOCK)

    async def _unblock(self, line: Line, _: Person, jid: str) -> Event:
        return await self._update_blocklist(line, jid, integrity_pb2.BLOCK_ACTION_UNBLOCK)

    async def _update_blocklist(self, line: Line, jid: str, action: integrity_pb2.BlockAction.ValueType) -> Event:
        request = integrity_pb2.UpdateBlocklistRequest(action=action, jid=self._jid(jid))
        await self._any.integrity.UpdateBlocklist(request, metadata=line.metadata)
        return DONE

    async def _opt_in(self, line: Line, _: Person, partners: str) -> Event:
        request = interop_pb2.OptInRequest(integrators=[_INTEGRATORS[name] for name in partners])
        await self._any.interop.OptIn(request, metadata=line.metadata)
        return DONE

    async def _opt_out(self, line: Line, _: Person, partners: str) -> Event:
        request = interop_pb2.OptOutRequest(integrators=[_INTEGRATORS[name] for name in partners])
        await self._any.interop.OptOut(request, metadata=line.metadata)
        return DONE

    async def _switch(self, line: Line, _: Person, word: str) -> Event:
        request = interop_pb2.SetThirdPartyChatsRequest(enabled=word == "on")
        await self._any.interop.SetThirdPartyChats(request, metadata=line.metadata)
        return DONE

    async def _accept(self, line: Line, _: Person, jid: str) -> Event:
        return await self._answer(line, jid, interop_pb2.MESSAGE_REQUEST_ANSWER_ACCEPT)

    async def _decline(self, line: Line, _: Person, jid: str) -> Event:
        return await self._answer(line, jid, interop_pb2.MESSAGE_REQUEST_ANSWER_DECLINE)

    async def _answer(self, line: Line, jid: str, answer: interop_pb2.MessageRequestAnswer.ValueType) -> Event:
        request = interop_pb2.AnswerMessageRequestRequest(peer_jid=self._jid(jid), answer=answer)
        await self._any.interop.AnswerMessageRequest(request, metadata=line.metadata)
        return DONE

    async def _resolve(self, line: Line, _: Person, name: str) -> Event:
        peer = self._people[name]
        integrator = 0 if peer.is_whatsapp else _INTEGRATORS[name[0].upper()]
        external_id = f"+{peer.jid.partition('@')[0]}" if peer.is_whatsapp else peer.external_id
        user = interop_pb2.ExternalUser(external_id=external_id, integrator=integrator)
        [found] = (
            await self._any.interop.Resolve(interop_pb2.ResolveRequest(users=[user]), metadata=line.metadata)
        ).users
        return _refused(found.error) if found.HasField("error") else ("found", self._names[found.resolved.jid])

    async def _ping(self, line: Line, person: Person, jid: str) -> Event:
        number = f"+{self._jid(jid).partition('@')[0]}"
        request = interop_pb2.SendReachabilityPingRequest(phone_number=number, display_name=person.name)
        await self._any.interop.SendReachabilityPing(request, metadata=line.metadata)
        return DONE

    async def _publish(self, line: Line, person: Person) -> Event:
        person.published += 1
        signal = self._state(person).signal
        request = prekeys_pb2.SetPreKeysRequest(
            registration_id=signal.publishable.registration_id,
            key_type=b"\x05",
            identity_key=signal.publishable.identity_key,
            signed_prekey=signed_prekey(signal),
            one_time_prekeys=one_time_prekeys(2, 2 * person.published - 1),
        )
        await self._any.prekeys.SetPreKeys(request, metadata=line.metadata)
        return DONE

    async def _take(self, line: Line, _: Person, jid: str) -> Event:
        request = prekeys_pb2.TakePreKeyBundlesRequest(jids=[self._jid(jid)])
        [result] = (await self._any.prekeys.TakePreKeyBundles(request, metadata=line.metadata)).results
        if result.HasField("error"):
            return _refused(result.error)
        [bundle] = result.bundles
        known = [state.signal.publishable.identity_key for state in self._states]
        return "bundle", known.index(bundle.identity_key) + 1, bundle.one_time_prekey.key_id

    async def _report(self, line: Line, _: Person, jid: str, message: str) -> Event:
        flow, reported = integrity_pb2.SPAM_FLOW_MESSAGE_MENU, integrity_pb2.ReportedMessage(message_id=message)
        request = integrity_pb2.ReportRequest(jid=self._jid(jid), spam_flow=flow, messages=[reported])
        await self._any.integrity.Report(request, metadata=line.metadata)
        return DONE

    async def _delete(self, line: Line, _: Person) -> Event:
        await self._any.accounts.DeleteAccount(account_pb2.DeleteAccountRequest(), metadata=line.metadata)
        return DONE

    async def _enlist(self, person: Person, how: str) -> Event:
        before = person.keys
        person.keys += how == "new"
        response = await self._any.enlisting.Enlist(enlistment(self._state(person), self._token(person)))
        if response.HasField("failure"):
            person.keys = before
            return _refused(response.failure.error)
        jid = response.success.login
        if jid not in self._names:
            person.enlistments += 1
            self._rename(person, jid, f"{person.name}#{person.enlistments}")
        return "enlisted", self._names[jid]

    async def _number(self, person: Person, number: str) -> Event:
        self._rename(person, (await self._any.admin.change_number(person.jid, person.number(number))).jid, number)
        return DONE

    async def _ban(self, person: Person, how: str) -> Event:
        if how == "ever":
            await self._any.admin.impose_sanction(person.jid, standing_pb2.SANCTION_KIND_BAN)
        else:
            kind, seconds = standing_pb2.SANCTION_KIND_TEMPORARY_BAN, WAITS_MS["hour"] // 1_000
            await self._any.admin.impose_sanction(person.jid, kind, seconds, sub_code=101)
        return DONE

    async def _lift(self, person: Person) -> Event:
        if person.is_whatsapp:
            await self._any.admin.lift_sanctions(person.jid)
        else:
            integrator = _INTEGRATORS[person.name[0].upper()]
            await self._any.admin.lift_sanctions(integrator=integrator, external_id=person.external_id)
        return DONE

    async def _suspend(self, partner: str) -> Event:
        return await self._put_status(partner, interop_pb2.PARTNER_STATUS_SUSPENDED)

    async def _resume(self, partner: str) -> Event:
        return await self._put_status(partner, interop_pb2.PARTNER_STATUS_ACTIVE)

    async def _put_status(self, partner: str, status: interop_pb2.PartnerStatus.ValueType) -> Event:
        assert partner in PARTNERS
        entry = self._registration(partner)
        entry.status = status
        await self._any.admin.put_partner(entry, "status")
        return DONE

    async def _wait(self, how_long: str) -> Event:
        await asyncio.gather(*(person.online.exchange() for person in self._people.values() if person.online))
        # While a server has not noticed that somebody has gone, it would count the time as theirs.
        await self._servers.know(self._here)
        await self._any.admin.advance_clock(WAITS_MS[how_long])
        self.now_ms += WAITS_MS[how_long]
        return DONE

    @property
    def _any(self) -> Surface:
        """A server: it does not matter which."""
        return self._servers.any

    @property
    def _here(self) -> frozenset[str]:
        return frozenset(person.jid for person in self._people.values() if person.online)

    def _jid(self, name: str) -> str:
        return self._jids[name]

    # Waiting for what comes of it.

    async def _settle(self, person: Person, expected: dict[str, int] | None, is_leaving: bool) -> None:
        line = person.line
        if line is None or line.has_ended:
            return
        if is_leaving:
            await line.until(lambda: False)
            return
        if expected is not None:
            due = expected.get(person.name, 0) - len(person.left)
            try:
                await line.until(lambda: len(line.seen) >= due, PATIENCE_SECONDS)
            except TimeoutError:
                pass
            else:
                return
        await self._mark(person, line)

    async def _mark(self, person: Person, line: Line) -> None:
        """Has the server put a mark behind all that waits for a person, and waits until it comes."""
        marks = line.marks
        try:
            await self._any.admin.request_key_digest(person.jid)
            await line.until(lambda: line.marks > marks)
            await line.exchange()  # the mark is acked, and there can be another one
        except (ServerRefusal, LineEnded):
            await line.until(lambda: False, WAIT_SECONDS)


PATIENCE_SECONDS = 0.1
"""How long what is expected may take, before the server is asked whether it will come at all."""


def _refused(error: errors_pb2.Refusal) -> Event:
    reason = refusal_from_stanza_error(error).reason
    check_error(error, reason)
    return (reason,)


def _silent(answers: Sequence[stanza_pb2.Stanza]) -> Event:
    """Of a stanza that gets no answer, whatever becomes of it."""
    return DONE if not answers else ("answered", *(answer.WhichOneof("kind") for answer in answers))
