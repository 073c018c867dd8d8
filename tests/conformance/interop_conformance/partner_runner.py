"""Runs the checks of a messenger's server, one after the other, each after those that it rests on; judges none."""

import asyncio
import time
from collections.abc import Callable, Sequence

from interop_conformance.check import Check
from interop_conformance.judging import blocked, judged, kit_failed, out_of_time
from interop_conformance.partner_stage import PartnerParts, PartnerStage
from interop_conformance.partner_subject import MISSING
from interop_conformance.verdict import HELD, Result, Verdict


class PartnerRunner:
    """One run. The checks share the messenger's users, so they come one at a time.

    Args:
        checks: In their order; what one rests on comes before it.
        parts: What their stages are made of.
        on_result: Told of each result as it comes.
    """

    def __init__(self, checks: Sequence[Check], parts: PartnerParts, on_result: Callable[[Result], None]) -> None:
        self._checks = checks
        self._parts = parts
        self._on_result = on_result
        self._results: dict[str, Result] = {}

    async def run(self) -> list[Result]:
        """Runs all checks and returns the results, in the order of the checks."""
        for check in self._checks:
            began = time.monotonic()
            result = await self._settle(check)
            result.seconds = time.monotonic() - began
            self._results[check.id] = result
            self._on_result(result)
        return list(self._results.values())

    async def _settle(self, check: Check) -> Result:
        missing = [MISSING[name] for name in check.features if name not in self._parts.facts.features]
        if missing:
            return Result(check, Verdict.NOT_APPLICABLE, got=missing[0])
        if (result := blocked(check, self._results)) is not None:
            return result
        try:
            async with PartnerStage(self._parts, check) as stage:
                result = await self._verdict(check, stage)
                if result.verdict not in HELD:
                    self._parts.simulator.check_runs()  # otherwise it was not the messenger
                    result.wire, result.journal = await stage.evidence()
                return result
        except Exception as error:  # noqa: BLE001 - whatever fails here is the kit's own fault, and the run goes on
            return kit_failed(check, error)

    async def _verdict(self, check: Check, stage: PartnerStage) -> Result:
        seconds = check.seconds * self._parts.time_factor
        try:
            async with asyncio.timeout(seconds) as limit:
                return await judged(check, stage)
        except TimeoutError:
            if not limit.expired():
                raise
            return out_of_time(check, seconds)
