"""The plain model: who may see what when, as the contract says it; knows no wire and none of the server's code.

It is acted on step by step, answers what each step must be answered with, and writes down what each client must see.
People are named as in stories. JIDs are named `n0` for a WhatsApp user with that number, and `a1#2` for the second
account of a1.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.histories.story import THIRD_PARTY, WAITS_MS, WHATSAPP, Step

DAY_MS = 86_400_000
MAILBOX_MS = UNENLISTED_MS = PING_MS = RECENT_MS = REPORT_WEIGHT_MS = 30 * DAY_MS
SENT_MS = 60 * DAY_MS
REPORT_MS = 7 * DAY_MS
SILENT_MS = 180_000
TRUST_BUCKET_MS, TRUST_BUCKETS = 7 * DAY_MS, 4
SANCTION_MS = 24 * 3_600_000
"""How long a lock on new chats or a ban lasts that reports lead to."""
REPORTERS_UNTIL_LOCK, REPORTERS_UNTIL_BAN = 1, 2
"""Few, so that stories of few people get there: the server under test has these limits."""
ABROAD = "abroad"
"""A number that does not qualify for third-party chats."""
UNREACHABLE = "RECIPIENT_NOT_REACHABLE"

Event = tuple[Any, ...]
"""What a client sees, or what a step is answered with: the kind, then what belongs to it."""
DONE: Event = ("done",)
OFFLINE: Event = ("offline",)
"""Of a step whose client has no connection: nothing is sent."""


@dataclass
class Item:
    """What waits in a mailbox until it is acked."""

    event: Event
    at_ms: int
    sender: int


@dataclass
class Account:
    """One account. A person who deletes theirs and enlists again has another one."""

    number: int
    person: str
    jid: str
    online: bool = True
    away_since_ms: int = 0
    mailbox: list[Item] = field(default_factory=list)
    chosen: set[str] = field(default_factory=lambda: {"A", "B"})
    is_on: bool = True
    """Whether third-party chats are on, for a WhatsApp user."""
    blocked: set[str] = field(default_factory=set)
    keys: int = 0
    """Which identity a third-party user enlisted with, counted from 1; 0 for a WhatsApp user without keys."""
    prekeys: set[int] = field(default_factory=set)

    @property
    def is_whatsapp(self) -> bool:
        return self.person in WHATSAPP

    @property
    def partner(self) -> str:
        return "" if self.is_whatsapp else self.person[0].upper()


@dataclass
class Chat:
    """Of a WhatsApp user and a third-party user who has written to the other, or has tried to."""

    state: str
    is_listed: bool
    last_ms: int
    trusted_until_ms: int = 0


@dataclass
class Sent:
    """That a message was sent."""

    recipient: int
    at_ms: int
    is_dropped: bool


def partner_of(jid: str) -> str:
    """The partner of a third-party JID; empty for a WhatsApp one."""
    return jid[0].upper() if "#" in jid else ""


class Model:
    """Everything that decides what anybody sees. Begins with everybody connected, and opted in for both partners."""

    def __init__(self, people: list[str], now_ms: int) -> None:
        self.now_ms = now_ms
        self.accounts: dict[str, Account] = {}
        self.jids: dict[str, list[str]] = {person: [] for person in people}
        """All that a person has had, oldest first."""
        self.ends: dict[str, str] = {}
        """How third-party users' last accounts ended."""
        self.keys = dict.fromkeys(people, 1)
        self.published = dict.fromkeys(people, 0)
        self.suspended: set[str] = set()
        self.sanctions: dict[tuple[str, str], float] = {}
        """When they end, by person and kind: lock, temporary, ever."""
        self.reports: dict[tuple[str, str], int] = {}
        """When they counted last, by who was reported and who reported."""
        self.chats: dict[tuple[int, int], Chat] = {}
        self.sent: dict[tuple[int, str], Sent] = {}
        self.pings: dict[tuple[int, int], int] = {}
        self.unmarked: dict[str, tuple[Account, Account]] = {}
        """Whom a WhatsApp user has just written to, and will trust."""
        self.found: dict[str, str] = {}
        """Whom the operator has just found, and will ban, by whom they meant."""
        self.addresses: dict[str, str] = {}
        """Under which JIDs people were known when the steps of this moment began."""
        self.log: dict[str, list[Event]] = {}
        """What people see from now on, in order; emptied by who reads it."""
        self._numbers = 0
        for person in people:
            self._open(person, f"n{WHATSAPP.index(person)}" if person in WHATSAPP else f"{person}#1")

    def bind(self, step: Step) -> Step:
        """Returns a step with JIDs in the place of the people who are written to, blocked and so on."""
        if step.verb == "resolve" or len(step.words) < 2 or step.words[1].lstrip("~") not in self.jids:
            return step
        who, peer, *rest = step.words
        jid = self.jids[peer[1:]][0] if peer.startswith("~") else self.jids[peer][-1]
        return Step(step.verb, (who, jid, *rest))

    def begin(self) -> None:
        """Begins a moment: whoever is looked up in it is looked up by what they were called before it."""
        self.addresses = {person: account.jid for person, account in self.accounts.items()}

    def _named(self, person: str) -> Account | None:
        """Returns who has the number under which a WhatsApp user was known; or a third-party user's account."""
        if person not in WHATSAPP:
            return self.accounts.get(person)
        return self.holder(self.addresses[person])

    def parts(self, step: Step) -> list[Step]:
        """Returns what a step does one after the other: something else may happen in between."""
        if step.verb == "ban":
            return [step, Step("punish", step.words)]  # a person is found by their account, and may delete it meanwhile
        return [step, Step("trust", step.words)] if step.verb == "send" and step.actor in WHATSAPP else [step]

    def act(self, step: Step, seen: Event = DONE) -> Event:
        """Takes a step, with addresses bound, and returns its answer; what is free is taken from what was seen."""
        if step.verb in ("take", "ack"):
            return self._by_client(step, lambda me: getattr(self, f"_{step.verb}")(me, step.words[1], seen))
        if step.actor and step.verb not in ("connect", "enlist", "trust", "punish"):
            return self._by_client(step, lambda me: getattr(self, f"_{step.verb}")(me, *step.words[1:]))
        answer: Event = getattr(self, f"_{step.verb}")(*step.words)
        return answer

    def holder(self, jid: str) -> Account | None:
        """Returns whose JID it is now."""
        return next((account for account in self.accounts.values() if account.jid == jid), None)

    def is_online(self, person: str) -> bool:
        """Whether somebody's client is connected."""
        return person in self.accounts and self.accounts[person].online

    def chat_list(self, me: Account) -> list[Event]:
        """Returns the chats of a WhatsApp user: peer, time of the last message, state, and whether it is read-only."""
        peers = {account.number: account for account in self.accounts.values()}
        chats = [
            (peers[peer], chat) for (mine, peer), chat in self.chats.items() if mine == me.number and chat.is_listed
        ]
        return sorted(
            (peer.jid, chat.last_ms, chat.state, not self._opted_in(me, peer.partner)) for peer, chat in chats
        )

    # Who may reach whom.

    def _reach(self, me: Account, jid: str) -> tuple[str, bool]:
        """Returns why somebody may not write to a JID, and else whether what they write is dropped."""
        peer, partner = self.holder(jid), partner_of(jid) or me.partner
        if bool(partner_of(jid)) != me.is_whatsapp:
            return "ROUTE_NOT_SUPPORTED", False
        if me.is_whatsapp and not self._opted_in(me, partner):
            return "SENDER_NOT_OPTED_IN", False
        if peer is None or partner in self.suspended or (peer.is_whatsapp and not self._opted_in(peer, partner)):
            return UNREACHABLE, False
        if jid in me.blocked:
            return "RECIPIENT_BLOCKED_BY_SENDER", False
        chat = self._chat(me, peer)
        declined = peer.is_whatsapp and chat is not None and chat.state == "declined"
        return "", me.jid in peer.blocked or declined

    def _opted_in(self, whatsapp: Account, partner: str) -> bool:
        return whatsapp.is_on and partner in whatsapp.chosen

    def _chat(self, one: Account, other: Account) -> Chat | None:
        return self.chats.get(_pair(one, other))

    # Messages and what belongs to them.

    def _send(self, me: Account, jid: str, message: str) -> Event:
        peer, before = self.holder(jid), self.sent.get((me.number, message))
        if before is not None and peer is not None:
            return ("acked", before.at_ms) if before.recipient == peer.number else ("MESSAGE_ID_REUSED",)
        refusal, is_dropped = self._reach(me, jid)
        if refusal or peer is None:
            return (refusal,)
        chat = self._chat(me, peer)
        if chat is None and not me.is_whatsapp and self._in_force(me.person, "lock"):
            return ("NEW_CHATS_LOCKED",)
        self.sent[me.number, message] = Sent(peer.number, self.now_ms, is_dropped)
        if chat is None:
            state = "accepted" if me.is_whatsapp else "requested"
            chat = self.chats[_pair(me, peer)] = Chat(state, False, self.now_ms)
        if me.is_whatsapp or not is_dropped:
            chat.is_listed, chat.last_ms = True, self.now_ms
        if not is_dropped:
            self._put(peer, ("message", me.jid, message, self.now_ms), me)
        if me.is_whatsapp:
            chat.state = "accepted"
            if not is_dropped:
                self.unmarked[me.person] = me, peer
        return "acked", self.now_ms

    def _trust(self, person: str, *_: str) -> Event:
        if person in self.unmarked:
            self._mark(*self.unmarked.pop(person))
        return DONE

    def _mark(self, whatsapp: Account, peer: Account) -> None:
        chat, until_ms = self._chat(whatsapp, peer), (self.now_ms // TRUST_BUCKET_MS + TRUST_BUCKETS) * TRUST_BUCKET_MS
        if chat is not None and until_ms > chat.trusted_until_ms:
            chat.trusted_until_ms = until_ms
            self._put(peer, ("trusted", whatsapp.jid, until_ms, self.now_ms), whatsapp)

    def _receipt(self, me: Account, jid: str, message: str, kind: str) -> Event:
        peer, (refusal, is_dropped) = self.holder(jid), self._reach(me, jid)
        if peer is not None and not refusal and not is_dropped and self._was_delivered(peer, message, me):
            self._put(peer, ("receipt", me.jid, f"{kind} {message}", self.now_ms), me)
        return DONE

    def _was_delivered(self, sender: Account, message: str, recipient: Account) -> bool:
        sent = self.sent.get((sender.number, message))
        return sent is not None and sent.recipient == recipient.number and not sent.is_dropped

    def _type(self, me: Account, jid: str) -> Event:
        peer = self.holder(jid)
        if peer is not None and peer.online and self._reach(me, jid) == ("", False):
            self._see(peer.person, ("typing", me.jid))
        return DONE

    def _ack(self, me: Account, _which: str, seen: Event) -> Event:
        for event in seen[1:]:
            found = [item for item in me.mailbox if item.event == event]
            if found:
                me.mailbox.remove(found[0])
        return seen

    def _put(self, recipient: Account, event: Event, sender: Account) -> None:
        item = Item(event, self.now_ms, sender.number)
        recipient.mailbox.append(item)
        if recipient.online:
            self._see(recipient.person, self._shown(recipient, item))

    def _shown(self, recipient: Account, item: Item) -> Event:
        """Returns a mailbox item as it is delivered: a WhatsApp user is told of a message whether it is a request."""
        if item.event[0] != "message":
            return item.event
        chat = self.chats.get((recipient.number, item.sender))
        return *item.event, "" if chat is None else chat.state

    def _see(self, person: str, event: Event) -> None:
        self.log.setdefault(person, []).append(event)

    # What people choose.

    def _block(self, me: Account, jid: str) -> Event:
        me.blocked.add(jid)
        return DONE

    def _unblock(self, me: Account, jid: str) -> Event:
        me.blocked.discard(jid)
        return DONE

    def _opt_in(self, me: Account, partners: str) -> Event:
        if me.jid == ABROAD:
            return ("NOT_ELIGIBLE",)
        if self.suspended & set(partners):
            return ("PARTNER_UNKNOWN",)
        me.chosen, me.is_on = set(partners), True
        return self._answer_pings(me)

    def _opt_out(self, me: Account, partners: str) -> Event:
        me.chosen -= set(partners)
        return DONE

    def _switch(self, me: Account, word: str) -> Event:
        if word == "on" and me.jid == ABROAD:
            return ("NOT_ELIGIBLE",)
        me.is_on = word == "on"
        return self._answer_pings(me)

    def _answer_pings(self, me: Account) -> Event:
        partners = {account.number: account.partner for account in self.accounts.values()}
        for sender, recipient in list(self.pings):
            if recipient == me.number and self._opted_in(me, partners[sender]):
                del self.pings[sender, recipient]
        return DONE

    def _accept(self, me: Account, jid: str) -> Event:
        peer = self.holder(jid)
        chat = None if peer is None else self._chat(me, peer)
        if peer is not None and chat is not None:
            chat.state = "accepted"
            if self._reach(me, jid) == ("", False):
                self._mark(me, peer)
        return DONE

    def _decline(self, me: Account, jid: str) -> Event:
        peer = self.holder(jid)
        if peer is not None and (chat := self._chat(me, peer)) is not None:
            chat.state = "declined"
        return DONE

    # Finding people, and their keys.

    def _resolve(self, me: Account, person: str) -> Event:
        peer = self._named(person)
        if peer is None or self._reach(me, peer.jid)[0] or me.jid in peer.blocked:
            return (UNREACHABLE,)
        return "found", peer.jid

    def _ping(self, me: Account, jid: str) -> Event:
        peer = self.holder(jid)
        if peer is None or peer.jid == ABROAD or self._opted_in(peer, me.partner) or me.jid in peer.blocked:
            return DONE
        pair = me.number, peer.number
        if self.pings.get(pair, 0) <= self.now_ms - PING_MS:
            self.pings[pair] = self.now_ms
            self._put(peer, ("pinged", me.partner, me.person, self.now_ms), me)
        return DONE

    def _publish(self, me: Account) -> Event:
        self.published[me.person] += 1
        last = 2 * self.published[me.person]
        me.keys, me.prekeys = self.keys[me.person], {last - 1, last}
        return DONE

    def _take(self, me: Account, jid: str, seen: Event) -> Event:
        peer, (refusal, _) = self.holder(jid), self._reach(me, jid)
        if refusal or peer is None or not peer.keys:
            return (refusal or UNREACHABLE,)
        taken = seen[-1] if seen[-1] in peer.prekeys else min(peer.prekeys, default=0)
        peer.prekeys.discard(taken)
        return "bundle", peer.keys, taken

    # Connections and accounts.

    def _connect(self, person: str) -> Event:
        me = self.accounts.get(person)
        if person[0].upper() in self.suspended:
            return ("PARTNER_NOT_ACTIVE",)
        if me is None:
            return (self.ends[person],)
        for kind, reason in (("ever", "BANNED"), ("temporary", "TEMPORARILY_BANNED")):
            if self._in_force(person, kind):
                return (reason,)
        self._end(me, "CONNECTION_REPLACED")
        me.online = True
        for item in me.mailbox:
            self._see(person, self._shown(me, item))
        kinds = [item.event[0] for item in me.mailbox]
        messages, receipts = kinds.count("message"), kinds.count("receipt")
        return "connected", messages, receipts, len(kinds) - messages - receipts

    def _drop(self, me: Account) -> Event:
        me.online, me.away_since_ms = False, self.now_ms
        return DONE

    def _end(self, account: Account, reason: str) -> None:
        if account.online:
            account.online, account.away_since_ms = False, self.now_ms
            self._see(account.person, ("ended", reason))

    def _enlist(self, person: str, how: str) -> Event:
        if person[0].upper() in self.suspended:
            return ("PARTNER_NOT_ACTIVE",)
        if self._in_force(person, "ever"):
            return ("BANNED",)
        if how == "new":
            self.keys[person] += 1
        me = self.accounts.get(person)
        if me is None:
            me = self._open(person, f"{person}#{len(self.jids[person]) + 1}", online=False)
        elif how == "new":
            me.mailbox.clear()
            me.prekeys.clear()
            me.keys = self.keys[person]
            self._tell_of_new_identity(me)
            self._end(me, "KEYS_REPLACED")
        me.away_since_ms = self.now_ms
        return "enlisted", me.jid

    def _tell_of_new_identity(self, me: Account) -> None:
        for peer in self.accounts.values():
            peer.mailbox = [item for item in peer.mailbox if (item.event[0], item.sender) != ("identity", me.number)]
            chat = self._chat(me, peer) if peer.is_whatsapp else None
            if chat is not None and chat.is_listed and chat.last_ms >= self.now_ms - RECENT_MS:
                self._put(peer, ("identity", me.jid, "", self.now_ms), me)

    def _open(self, person: str, jid: str, *, online: bool = True) -> Account:
        self._numbers += 1
        account = Account(self._numbers, person, jid, online, self.now_ms)
        account.keys = 0 if account.is_whatsapp else self.keys[person]
        self.accounts[person] = account
        self.jids[person].append(jid)
        return account

    def _delete(self, me: Account) -> Event:
        self._forget(me, "NOT_ENLISTED")
        self._end(me, "NOT_ENLISTED")
        return DONE

    def _forget(self, account: Account, reason: str) -> None:
        self.ends[account.person] = reason
        del self.accounts[account.person]
        number = account.number
        self.chats = {pair: chat for pair, chat in self.chats.items() if number not in pair}
        self.sent = {key: sent for key, sent in self.sent.items() if key[0] != number}
        self.pings = {pair: at_ms for pair, at_ms in self.pings.items() if number not in pair}

    def _number(self, person: str, number: str) -> Event:
        me, holder = self.accounts[person], self.holder(number)
        if holder is not None and holder is not me:
            return ("ALREADY_REGISTERED",)
        me.jid = number
        self.jids[person].append(number)
        if number == ABROAD:
            me.is_on = False
        self._end(me, "NOT_ENLISTED")
        return DONE

    # Sanctions, partners and time.

    def _report(self, me: Account, jid: str, message: str) -> Event:
        bad = self.holder(jid)
        if bad is None or not self._was_delivered(bad, message, me):
            return DONE
        if self.now_ms - self.sent[bad.number, message].at_ms >= REPORT_MS:
            return DONE
        since_ms, pair = self.now_ms - REPORT_WEIGHT_MS, (bad.person, me.person)
        if self.reports.get(pair, since_ms) > since_ms:
            return DONE
        self.reports[pair] = self.now_ms
        reporters = sum(who == bad.person and at_ms > since_ms for (who, _), at_ms in self.reports.items())
        if reporters == REPORTERS_UNTIL_BAN:
            self._sanction(bad, "temporary", self.now_ms + SANCTION_MS)
        elif reporters >= REPORTERS_UNTIL_LOCK:
            self._sanction(bad, "lock", self.now_ms + SANCTION_MS)
        return DONE

    def _sanction(self, account: Account, kind: str, until_ms: float) -> None:
        if self.sanctions.get((account.person, kind), 0) < until_ms:
            self.sanctions[account.person, kind] = until_ms
            if kind != "lock":
                self._end(account, "TEMPORARILY_BANNED")

    def _in_force(self, person: str, kind: str) -> bool:
        return self.sanctions.get((person, kind), 0) > self.now_ms

    def _ban(self, person: str, how: str) -> Event:
        if (account := self._named(person)) is None:
            return ("NOT_REGISTERED",)
        self.found[person] = account.person
        return DONE

    def _punish(self, person: str, how: str) -> Event:
        if person not in self.found:
            return DONE
        banned = self.found.pop(person)
        kind, until_ms = ("ever", float("inf")) if how == "ever" else ("temporary", self.now_ms + WAITS_MS["hour"])
        self.sanctions[banned, kind] = until_ms
        if (account := self.accounts.get(banned)) is not None:
            self._end(account, "BANNED" if how == "ever" else "TEMPORARILY_BANNED")
        return DONE

    def _lift(self, person: str) -> Event:
        lifted = person
        if person in WHATSAPP:
            if (account := self._named(person)) is None:
                return ("NOT_REGISTERED",)
            lifted = account.person
        self.sanctions = {key: until for key, until in self.sanctions.items() if key[0] != lifted}
        self.reports = {key: at_ms for key, at_ms in self.reports.items() if key[0] != lifted}
        return DONE

    def _suspend(self, partner: str) -> Event:
        self.suspended.add(partner)
        for account in self.accounts.values():
            if account.partner == partner:
                self._end(account, "PARTNER_NOT_ACTIVE")
        return DONE

    def _resume(self, partner: str) -> Event:
        self.suspended.discard(partner)
        return DONE

    def _wait(self, how_long: str) -> Event:
        wait_ms = WAITS_MS[how_long]
        for account in self.accounts.values():
            if account.online and wait_ms >= SILENT_MS:
                self._end(account, "CONNECTION_SILENT")
                account.away_since_ms = self.now_ms + SILENT_MS
        self.now_ms += wait_ms
        self.sent = {key: sent for key, sent in self.sent.items() if sent.at_ms > self.now_ms - SENT_MS}
        for account in list(self.accounts.values()):
            account.mailbox = [item for item in account.mailbox if item.at_ms > self.now_ms - MAILBOX_MS]
            is_third_party = account.person in THIRD_PARTY
            if is_third_party and not account.online and account.away_since_ms <= self.now_ms - UNENLISTED_MS:
                self._forget(account, "ENLISTMENT_EXPIRED")
        return DONE

    def _by_client(self, step: Step, act: Callable[[Account], Event]) -> Event:
        me = self.accounts.get(step.actor)
        return act(me) if me is not None and me.online else OFFLINE


def _pair(one: Account, other: Account) -> tuple[int, int]:
    """A chat's key: the WhatsApp user first."""
    return (one.number, other.number) if one.is_whatsapp else (other.number, one.number)


def seen_by(log: dict[str, list[Event]]) -> Iterator[tuple[str, list[Event], list[Event]]]:
    """Yields what each person saw: what the server keeps in order, and typing, which may overtake it."""
    for person, events in log.items():
        kept = [event for event in events if event[0] != "typing"]
        yield person, kept, [event for event in events if event[0] == "typing"]
