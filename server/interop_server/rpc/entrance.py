"""How clients get in: a connection opens, calls come with its session token, it closes; knows no stream and no rule."""

from typing import Protocol

from interop_server.core.capabilities import Capability
from interop_server.core.errors import Reason
from interop_server.core.model import Account, ConnectionFacts
from interop_server.rpc.connections import ClientTraits, ConnectionRegistry, LiveConnection


class Session(Protocol):
    """What a call needs of the connection whose session it is made in."""

    is_leaving: bool
    """Whether the account is being deleted by its user (LIF-03)."""

    @property
    def account(self) -> Account:
        """Whose it is."""
        ...

    @property
    def facts(self) -> ConnectionFacts:
        """How it is connected."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Optional parts that client and server know."""
        ...

    @property
    def end_reason(self) -> Reason | None:
        """Why the server ends the connection; None while it does not."""
        ...


class Entrance(Protocol):
    """Where connections open and close. All of it may wait for a database."""

    async def open(self, facts: ConnectionFacts, client: ClientTraits) -> LiveConnection:
        """Registers a connection, which replaces and ends the account's other one (CHN-11).

        Raises:
            Refusal: SERVER_DRAINING.
        """
        ...

    async def close(self, connection: LiveConnection) -> None:
        """Forgets a connection and kills its session token."""
        ...

    async def session(self, session_token: str) -> Session:
        """Returns the connection of a session.

        Raises:
            Refusal: SESSION_DEAD.
        """
        ...


class OwnEntrance:
    """The entrance of a server that is alone: what this process knows is all there is."""

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry

    async def open(self, facts: ConnectionFacts, client: ClientTraits) -> LiveConnection:
        """Registers a connection."""
        return self._registry.open(facts, client)

    async def close(self, connection: LiveConnection) -> None:
        """Forgets a connection."""
        self._registry.close(connection)

    async def session(self, session_token: str) -> Session:
        """Returns the connection of a session."""
        return self._registry.by_token(session_token)
