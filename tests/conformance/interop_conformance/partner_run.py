"""A run of the kit against a messenger's server, from what was said about it to its result; knows no check."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from interop_client.errors import ServerRefusal
from interop_conformance.check import Check, NotSo
from interop_conformance.partner_runner import PartnerRunner
from interop_conformance.partner_stage import PartnerParts, register
from interop_conformance.partner_subject import PartnerChoices, PartnerFacts, PartnerUnusable, place_of, require_reach
from interop_conformance.probe import Probe
from interop_conformance.simulator import Simulator
from interop_conformance.verdict import Result
from interop_conformance.whatsapp_keys import JWKS_PATH, KeyPlace
from partner_server import SigningKeys

HOOK_SECONDS = 10.0


async def run_checks(
    facts: PartnerFacts,
    choices: PartnerChoices,
    checks: Sequence[Check],
    on_result: Callable[[Result], None],
    on_ready: Callable[[Mapping[str, str]], None],
) -> list[Result]:
    """Runs checks of a messenger's server, or of its proxy, and returns their results.

    Args:
        facts: Where it is.
        choices: How to run.
        checks: In their order.
        on_result: Told of each result as it comes.
        on_ready: Told where the simulator and WhatsApp's keys are, before the first check.

    Raises:
        PartnerUnusable: The server cannot be reached, or registered.
    """
    await require_reach(facts, choices.time_factor)
    async with stage_parts(facts, choices) as parts:
        endpoint = parts.simulator.endpoint
        addresses = {
            "grpc": endpoint.grpc,
            "http": parts.key_place.base_url,
            "root_public_key": endpoint.root_public_key.hex(),
        }
        on_ready({"jwks": parts.key_place.base_url + JWKS_PATH, **addresses})
        if facts.hook_url:
            await _tell(facts, addresses, choices.time_factor)
        return await PartnerRunner(checks, parts, on_result).run()


@asynccontextmanager
async def stage_parts(facts: PartnerFacts, choices: PartnerChoices) -> AsyncIterator[PartnerParts]:
    """Starts a simulator that knows the messenger, and serves WhatsApp's keys beside it.

    Raises:
        PartnerUnusable: The simulator does not take the messenger, or an address of the kit's is in use.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="interopsim-kit-")))
        keys, stranger = await asyncio.gather(asyncio.to_thread(SigningKeys), asyncio.to_thread(SigningKeys))
        arguments = ["--grpc", choices.chat] if choices.chat else []
        simulator = await stack.enter_async_context(Simulator(folder, choices.seed, keys, arguments))
        place = KeyPlace(*choices.listen, simulator.endpoint.http, keys)
        try:
            await stack.enter_async_context(place)
        except OSError as error:
            raise PartnerUnusable(f"--listen: the kit cannot serve WhatsApp's keys: {error}.") from error
        integrator = simulator.next_integrator()
        parts = PartnerParts(facts, simulator, place, keys, stranger, integrator, choices.time_factor)
        try:
            await register(parts)
        except ServerRefusal as refusal:
            raise PartnerUnusable(f"The simulator does not take such a messenger: {refusal}.") from refusal
        yield parts


async def _tell(facts: PartnerFacts, addresses: Mapping[str, str], time_factor: float) -> None:
    """Tells the messenger's server where the simulator is, in the form of the sample."""
    body = json.dumps(addresses).encode()
    async with Probe({place_of(facts.hook_url)}, HOOK_SECONDS * time_factor) as probe:
        got = "no answer"
        with suppress(NotSo):
            answer = await probe.ask("POST", facts.hook_url, headers={"Content-Type": "application/json"}, body=body)
            if answer.is_success:
                return
            got = str(answer)
    raise PartnerUnusable(f"--simulator-hook: {facts.hook_url} did not take the simulator's addresses: {got}.")
