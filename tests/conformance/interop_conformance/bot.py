"""A client that nobody drives: it logs in by itself, and answers every text with the same text; knows no check."""

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from interop_conformance.check import Check, Subject
from interop_conformance.ending import begin, finish, stopwatch, until_signal
from interop_conformance.judging import blocked, kit_failed
from interop_conformance.people import Person
from interop_conformance.runner import judged_in_time
from interop_conformance.settings import Settings, checks_of, expected_failures
from interop_conformance.simulator import Simulator
from interop_conformance.stage import Stage, StageParts
from interop_conformance.terminal import Terminal
from interop_conformance.verdict import HELD, Result, Run, Verdict
from partner_server import PartnerServer, SigningKeys

USER = "bot"
"""The user whom the client logs in."""


class Nobody:
    """In place of a driver: there is none, so it never fails."""

    def __init__(self) -> None:
        self.failure = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class BotStage(Stage):
    """The stage of one check of a bot; the bot and its messenger are those of all checks.

    Args:
        parts: What it is made of.
        first: The stage that has opened the messenger; None for the first one.
    """

    def __init__(self, parts: StageParts, first: "BotStage | None" = None) -> None:
        super().__init__(parts)
        self._first = first
        self.bot = ""
        """The bot's JID."""
        if first is not None:
            self.integrator, self.bot, self.partner = first.integrator, first.bot, first.partner
            self.watch(self.bot)

    async def _open(self) -> None:
        if self._first is None:
            await super()._open()

    async def echoes(self, alice: Person, text: str) -> None:
        """Sends a text and waits for the answer."""
        await alice.send(self.bot, text)
        await alice.reads(text)

    async def wait_for_bot(self) -> None:
        """Waits until the bot has logged in and published prekeys."""
        prefix = f"{self.integrator}-"

        def found() -> str:
            accounts = (jid for jid in self.record.accounts() if jid.startswith(prefix))
            return next((jid for jid in accounts if self.decisions(jid, "PreKeyService.SetPreKeys")), "")

        self.bot = await self.record.wait(found)


@dataclass
class BotRun:
    """One run.

    Args:
        settings: What was asked for.
        wait_seconds: How long to wait for the bot.
    """

    settings: Settings
    wait_seconds: float
    results: list[Result] = field(default_factory=list)

    async def run(self) -> int:
        """Runs it, and returns the exit status.

        Raises:
            WrongUse: What was asked for cannot be done.
        """
        settings = self.settings
        checks = checks_of(settings, Subject.BOT)
        reasons = expected_failures(settings.expected_failures, Subject.BOT)
        run = begin(settings, "bot")
        terminal = Terminal(len(checks), as_json=settings.as_json)
        elapsed = stopwatch()
        run.is_complete = await until_signal(self._judge(run, checks, terminal))
        run.seconds = elapsed()
        terminal.say("Without a driver nobody says what the client's user is shown: `--command` judges the rest.")
        return finish(run, self.results, settings, reasons, terminal)

    async def _judge(self, run: Run, checks: list[Check], terminal: Terminal) -> None:
        self.results = [Result(check, Verdict.NOT_RUN) for check in checks]
        with tempfile.TemporaryDirectory(prefix="interopsim-conformance-") as folder:
            keys = SigningKeys()
            async with Simulator(Path(folder), run.seed, keys) as simulator:
                driver = Nobody()

                def parts(check: Check) -> StageParts:
                    place = Path(folder) / "messenger"
                    return StageParts(check, simulator, driver, "direct", place, "bot", self.settings.time_factor)  # type: ignore[arg-type]

                async with BotStage(parts(checks[0])) as first:
                    terminal.say(invitation(simulator, first.partner, first.integrator))
                    try:
                        async with asyncio.timeout(self.wait_seconds):
                            await first.wait_for_bot()
                        run.subject = f"a bot ({first.bot})"
                    except TimeoutError:
                        terminal.say("No client has logged in and published prekeys in time.")
                    for number, check in enumerate(checks):
                        self.results[number] = result = await self._one(check, BotStage(parts(check), first))
                        terminal.show(result)

    async def _one(self, check: Check, stage: BotStage) -> Result:
        ended = {each.check.id: each for each in self.results if each.verdict is not Verdict.NOT_RUN}
        if (result := blocked(check, ended)) is not None:
            return result
        elapsed = stopwatch()
        try:
            async with stage:
                result = await judged_in_time(check, stage, check.seconds * self.settings.time_factor)
                if result.verdict not in HELD:
                    stage.simulator.check_runs()  # otherwise it was not the client
                    result.wire, result.journal = await stage.evidence()
        except Exception as error:  # noqa: BLE001 - whatever fails here is the kit's own fault, and the run goes on
            result = kit_failed(check, error)
        result.seconds = elapsed()
        return result


def invitation(simulator: Simulator, partner: PartnerServer, integrator: int) -> str:
    """Returns the line of JSON from which a client knows where to go."""
    endpoint = simulator.endpoint
    return json.dumps(
        {
            "event": "waiting",
            "grpc": endpoint.grpc,
            "http": endpoint.http,
            "root_public_key": endpoint.root_public_key.hex(),
            "integrator": integrator,
            "user": USER,
            "token": partner.issue_token(USER),
            "tokens": f"{partner.base_url}/tokens",
            "media_url": partner.media_url,
        }
    )
