"""One device of the subject, as a check has it: its commands, and what its user was shown; knows no single check."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_conformance.check import NotApplicable, NotSo

if TYPE_CHECKING:
    from interop_conformance.stage import Stage

_FEATURE_OF = {
    "send_media": "media",
    "send_reaction": "reactions",
    "send_edit": "edits",
    "send_deletion": "deletions",
    "show_typing": "typing",
    "mark_read": "read_receipts",
    "ping_reachability": "reachability_pings",
}
"""The optional feature of a command; other commands are required."""
_OUTCOME_OF_NOTHING = ("refused", "failed")
_RETURNED = {
    "enlist": "account",
    "resolve": "account",
    "send_text": "sent",
    "send_reaction": "sent",
    "send_edit": "sent",
    "send_deletion": "sent",
    "send_media": "sent",
    "list_blocked": "blocked",
    "report_messages": "report",
    "list_shown": "shown",
}
"""What a command returns, where that is not just that it is done."""


def refused(result: pb.CommandResult) -> str:
    """Returns the reason for which the server refused a command; empty when it did not."""
    return result.refused.reason if result.HasField("refused") else ""


def told(result: pb.CommandResult) -> str:
    """Returns what became of a command, for a report."""
    outcome = result.WhichOneof("outcome") or ""
    if outcome == "refused":
        return f"refused: {result.refused.reason}"
    if outcome == "failed":
        return f"failed: {pb.FailureKind.Name(result.failed.kind).removeprefix('FAILURE_KIND_')} {result.failed.detail}"
    return outcome


class Device:
    """One device of the subject: its commands, and what its user was shown. Made by `Stage.device`."""

    def __init__(self, stage: "Stage", name: str, user: str) -> None:
        self._stage = stage
        self._driver = stage.driver
        self.name = name
        self.user = user
        """As the messenger names the user."""
        self.jid = ""
        """Empty until it is enlisted."""
        self.tokens: list[str] = []
        """All tokens that it was given, oldest first."""
        self._events = self._driver.events(name, self._supply_token)

    def token(self, **claims: Any) -> str:
        """Returns a new token for its user, with other claims than usual where some are given."""
        claims.setdefault("jti", f"{self.name}-{len(self.tokens)}")  # so that no two tokens of a second are the same
        self.tokens.append(self._stage.partner.issue_token(self.user, **claims))
        return self.tokens[-1]

    async def ask(self, **command: Any) -> pb.CommandResult:
        """Sends a command and returns what became of it.

        Raises:
            NotSo: No result came in time; or the command is required, and the driver does not know it.
            NotApplicable: The driver does not know it, and need not.
        """
        name = next(iter(command))
        try:
            result = await self._driver.ask(self.name, seconds=self._stage.patience, **command)
        except TimeoutError:
            raise NotSo(f"`{name}` is answered", "no result came in time") from None
        if result.HasField("unsupported"):
            if name in _FEATURE_OF:
                raise NotApplicable(f"The driver does not support `{name}`.")
            raise NotSo(f"`{name}` is supported", result.unsupported.detail or "the driver does not know it")
        return result

    async def do(self, **command: Any) -> Any:
        """Sends a command that must succeed, and returns what it returns.

        Raises:
            NotSo: It was refused, or failed; or as `ask`.
        """
        name, result = next(iter(command)), await self.ask(**command)
        outcome = result.WhichOneof("outcome") or ""
        if outcome in _OUTCOME_OF_NOTHING:
            raise NotSo(f"`{name}` succeeds", told(result))
        if outcome != (returned := _RETURNED.get(name, "done")):
            raise NotSo(f"`{name}` returns `{returned}`", f"`{outcome}`")
        return getattr(result, outcome)

    async def enlist(self) -> str:
        """Enlists the user, and returns the JID."""
        self.jid = (await self.do(enlist=pb.EnlistCommand(token=self.token()))).jid
        self._stage.watch(self.jid)
        return self.jid

    async def connect(self) -> None:
        """Connects with a token."""
        await self.do(connect=pb.ConnectCommand(token=self.token()))

    async def disconnect(self, *, abruptly: bool = False) -> None:
        """Ends the connection."""
        ending = pb.ENDING_ABRUPT if abruptly else pb.ENDING_CLEAN
        await self.do(disconnect=pb.DisconnectCommand(ending=ending))

    async def send(self, to: str, text: str, reply_to: str = "") -> str:
        """Sends a text, and returns its id."""
        sent = await self.do(send_text=pb.SendTextCommand(to_jid=to, text=text, reply_to=reply_to))
        message_id: str = sent.message_id
        return message_id

    def shown(self, kind: str, where: Callable[[Any], bool] = lambda _: True) -> list[Any]:
        """Returns what was shown so far of a kind, oldest first.

        Args:
            kind: As `DeviceEvent.kind` names it.
            where: What must hold of it.
        """
        return [
            getattr(event, kind)
            for event in self._events.all
            if event.WhichOneof("kind") == kind and where(getattr(event, kind))
        ]

    async def shows(
        self, kind: str, where: Callable[[Any], bool] = lambda _: True, what: str = "", count: int = 1
    ) -> Any:
        """Waits until something was shown, as often as given, and returns the first.

        Raises:
            NotSo: It was not, in time.
            SubjectFailed: The driver is gone.
        """
        if not await self._within(self._events.wait(lambda: len(self.shown(kind, where)) >= count)):
            seen = f"{len(self.shown(kind, where))} of {count}" if count > 1 else self._newest()
            raise NotSo(f"the user is shown {what or kind}", f"not in time; {seen}")
        return self.shown(kind, where)[0]

    async def shows_text(self, text: str) -> Any:
        """Waits until a text was shown."""
        return await self.shows("text_shown", lambda each: each.text == text, f"the text {text[:60]!r}")

    def texts(self) -> list[str]:
        """Returns the texts that were shown so far, oldest first."""
        return [each.text for each in self.shown("text_shown")]

    async def sees(self, find: Callable[[], Any], what: str) -> None:
        """Waits until a look at what was shown finds something.

        Raises:
            NotSo: It does not, in time.
            SubjectFailed: The driver is gone.
        """
        if not await self._within(self._events.wait(find)):
            raise NotSo(f"the user is shown {what}", f"not in time; {self._newest()}")

    async def _supply_token(self) -> None:
        command = pb.SupplyTokenCommand(token=self.token())
        await self._driver.ask(self.name, seconds=self._stage.patience, supply_token=command)

    async def _within(self, waiting: Awaitable[Any]) -> bool:
        """Waits, as long as the driver is there; says whether it came in time."""
        task = asyncio.ensure_future(waiting)
        await asyncio.wait((task, self._driver.gone), timeout=self._stage.patience, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return True
        task.cancel()
        if self._driver.failure is not None:
            raise self._driver.failure
        return False

    def _newest(self) -> str:
        kinds = [event.WhichOneof("kind") or "" for event in list(self._events.all)[-5:]]
        return f"the newest that it was shown: {', '.join(kinds)}" if kinds else "it was shown nothing"
