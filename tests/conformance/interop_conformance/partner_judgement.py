"""A run of the kit against a messenger's server, from what was asked for to its exit status; knows no check."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from interop_conformance.check import Check, Subject
from interop_conformance.ending import begin, finish, stopwatch, until_signal
from interop_conformance.partner_run import run_checks
from interop_conformance.partner_subject import PartnerChoices, PartnerFacts
from interop_conformance.settings import Settings, checks_of, expected_failures
from interop_conformance.terminal import Terminal, counted
from interop_conformance.verdict import Result, Verdict


@dataclass
class PartnerJudgement:
    """One run.

    Args:
        settings: What was asked for.
        facts: Where the server is.
        choices: How to run.
    """

    settings: Settings
    facts: PartnerFacts
    choices: PartnerChoices
    results: dict[str, Result] = field(default_factory=dict)

    async def run(self) -> int:
        """Runs it, and returns the exit status.

        Raises:
            WrongUse, PartnerUnusable: What was asked for cannot be done.
        """
        checks = checks_of(self.settings, Subject.PARTNER, Subject.PROXY)
        reasons = expected_failures(self.settings.expected_failures, Subject.PARTNER, Subject.PROXY)
        run = begin(self.settings, "partner")
        run.subject = self.facts.base_url
        terminal = Terminal(len(checks), as_json=self.settings.as_json)
        terminal.say(f"{counted(len(checks))} of {run.subject}, profile {run.profile}, seed {run.seed}")
        elapsed = stopwatch()
        run.is_complete = await until_signal(self._judge(checks, terminal))
        run.seconds = elapsed()
        results = [self.results.get(check.id) or Result(check, Verdict.NOT_RUN) for check in checks]
        return finish(run, results, self.settings, reasons, terminal)

    async def _judge(self, checks: list[Check], terminal: Terminal) -> None:
        def show(result: Result) -> None:
            result.repeat = self.settings.repeat(result.check)
            self.results[result.check.id] = result
            terminal.show(result)

        def say_ready(addresses: Mapping[str, str]) -> None:
            terminal.say(json.dumps({"event": "ready", **addresses}))

        await run_checks(self.facts, self.choices, checks, show, say_ready)
