"""The messenger and the people of a simulator, alive: makes them, changes them, ends them; knows no page.

Everything goes over the wire, as it does for a client elsewhere.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from interop_admin.client import AdminClient
from interop_api.admin.v1alpha1 import admin_pb2
from interop_api.v1 import interop_pb2
from interop_client.errors import ServerRefusal
from interop_protocol.endpoint import Endpoint
from interop_workbench.cast import MAX_PEOPLE, Cast, Role, form_of_name, form_of_number, or_else
from interop_workbench.habits import habit_of
from interop_workbench.person import NotPossible, Person, Surroundings
from partner_server import PartnerServer, PartnerSettings, SigningKeys
from partner_server.defects import DEFECTS
from partner_server.tokens import DEFAULT_TTL_SECONDS, TokenIssuer

_CLOCK_ACTIONS = "ClockService."
_MS = 1_000
_SHOWN_PUSHES = 20


@dataclass(frozen=True, slots=True)
class Token:
    """A token for a user of the ready-made messenger."""

    token: str
    reason: str = ""
    """For which the server must refuse it; empty for a good one."""
    requirement: str = ""
    """The requirement behind that."""
    sentence: str = ""
    """What is wrong with it, for people."""


class World:
    """A messenger and people. An asynchronous context manager.

    Args:
        endpoint: The simulator.
        cast: Who takes part.
        folder: For what they receive; temporary.
        seed: Decides the ids of what they send; None for random ones.
        changed: Called with a person when their phone shows something else.
        keys: What the messenger signs tokens with; None makes them, which takes tenths of a second.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        cast: Cast,
        folder: Path,
        seed: int | None,
        changed: Callable[[Person], None],
        keys: SigningKeys | None = None,
    ) -> None:
        self._keys = keys
        self.cast = cast
        self.endpoint = endpoint
        self.admin = AdminClient(endpoint)
        self._folder = folder
        self._people: dict[str, Person] = {}
        self._resources = AsyncExitStack()
        self._adding = asyncio.Lock()
        self._server: PartnerServer | None = None
        self._place = Surroundings(
            server=endpoint,
            admin=self.admin,
            integrator=cast.partner.integrator if cast.partner else 0,
            folder=folder,
            seed=seed,
            register_partner=self.register_partner,
            changed=changed,
        )

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self._resources.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    @property
    def partner(self) -> PartnerServer:
        """The server of the ready-made messenger.

        Raises:
            NotPossible: There is none.
        """
        if self._server is None:
            raise NotPossible("This simulator has no messenger of its own: start it with `interopsim up --people`.")
        return self._server

    @property
    def people(self) -> list[Person]:
        """Everybody, in order of appearance."""
        return list(self._people.values())

    def person(self, name: str) -> Person:
        """Returns a person by name, however it is capitalised, by phone number, or by JID.

        Raises:
            NotPossible: There is nobody of that name.
        """
        number = form_of_number(name) if name.startswith("+") else ""
        for person in self._people.values():
            own = (form_of_name(person.role.name), person.phone.jid, form_of_number(person.phone.phone_number))
            if form_of_name(name) == own[0] or name == own[1] or number == own[2]:
                return person
        names = ", ".join(person.role.name for person in self._people.values())
        raise NotPossible(f"There is no person {name!r} here: {names or 'nobody is'}.")

    async def add(self, role: Role) -> Person:
        """Makes one more person.

        Raises:
            NotPossible: The name or number is taken, there are too many people, or the simulator refuses.
            ValueError: There is no such habit; the message names the nearest.
        """
        async with self._adding:
            for person in self._people.values():
                if _is_taken(role, person.role):
                    raise NotPossible(f"{person.role.name} has this name or number already: choose another one.")
            if len(self._people) >= MAX_PEOPLE:
                raise NotPossible(f"{MAX_PEOPLE} people are here: no more fit.")
            person = Person(role, self._place, habit_of(role))
            self._resources.push_async_callback(person.end)
            try:
                await person.begin()
            except ServerRefusal as refusal:
                raise NotPossible(f"{role.name} cannot take part: {refusal}") from refusal
            self._people[role.name] = person
            return person

    async def token(self, user: str, ttl: int = DEFAULT_TTL_SECONDS, defect: str = "") -> Token:
        """Vouches for a user of the ready-made messenger, by the simulator's clock; wrongly, if a defect is named.

        Args:
            user: User-visible identifier.
            ttl: Seconds until the token expires.
            defect: A name in `DEFECTS`; empty for a good token.

        Raises:
            NotPossible: There is no such messenger.
            ValueError: There is no such defect; the message names the nearest.
        """
        if defect and defect not in DEFECTS:
            raise ValueError(f"there is no defect {defect!r}{or_else(defect, DEFECTS)}")
        server = self.partner
        await self._set_clock(server)
        issuer, now = TokenIssuer(server.issuer, server.keys), server.clock()
        if not defect:
            return Token(issuer.issue_token(user, now, ttl))
        wrong = DEFECTS[defect]
        token = await asyncio.to_thread(wrong.make, issuer, user, now)
        return Token(token, wrong.reason, wrong.requirement, wrong.sentence)

    def pushes(self) -> list[dict[str, object]]:
        """Returns the newest pushes that the ready-made messenger got, the newest first."""
        if self._server is None:
            return []
        newest = self._server.list_pushes()[-_SHOWN_PUSHES:]
        return [{"user": push.user, "at_ms": int(push.received_at * _MS)} for push in reversed(newest)]

    async def register_partner(self) -> None:
        """Registers the ready-made messenger with the simulator, if there is one. Idempotent."""
        role = self.cast.partner
        if role is None:
            return
        await self.admin.put_partner(
            admin_pb2.Partner(
                integrator=role.integrator,
                name=role.name,
                issuer=role.issuer,
                base_url=self.partner.base_url,
                push_url=self.partner.push_url,
                media_url=self.partner.media_url,
                status=interop_pb2.PARTNER_STATUS_ACTIVE,
                identifier_type=interop_pb2.IDENTIFIER_TYPE_USERNAME,
                proxy_allowed=True,
            )
        )

    async def _begin(self) -> None:
        self._resources.push_async_callback(self.admin.close)
        if self.cast.partner is not None:
            settings = PartnerSettings(
                self._folder / "partner", issuer=self.cast.partner.issuer, endpoint=self.endpoint
            )
            self._server = await self._resources.enter_async_context(PartnerServer(settings, self._keys))
            await self._set_clock(self._server)
            await self.register_partner()
            following = asyncio.ensure_future(self._follow_clock(self._server))
            self._resources.callback(following.cancel)
        for role in self.cast.people:  # one after the other, so that a seeded simulator has one order
            await self.add(role)

    async def _set_clock(self, server: PartnerServer) -> None:
        state = await self.admin.get_clock()
        server.clock.set(state.now_ms / _MS, is_frozen=state.is_frozen)

    async def _follow_clock(self, server: PartnerServer) -> None:
        """Keeps the messenger's clock with the simulator's, whoever moves it."""
        token = ""
        while True:
            try:
                async for response in self.admin.read_journal(action=_CLOCK_ACTIONS, follow=True, resume_token=token):
                    token = response.entry.resume_token or token
                    await self._set_clock(server)
            except ServerRefusal:  # gone for a moment, or for good: then the parent ends this process
                token = ""
            await asyncio.sleep(1)


def _is_taken(role: Role, by: Role) -> bool:
    """Says whether somebody has the name or the number of a new person, in whatever form."""
    has_name = form_of_name(role.name) == form_of_name(by.name)
    return has_name or form_of_number(role.phone_number) == form_of_number(by.phone_number)
