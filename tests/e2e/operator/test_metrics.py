"""What a server counts, in the form of Prometheus; nothing of it without a flag."""

import json
import signal
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from interop_client.errors import ServerRefusal
from interop_protocol.endpoint import Endpoint
from partner_server import SigningKeys
from tests.e2e.conftest import open_world
from tests.e2e.program import ANY_PORTS, run, running

WRONG_USE, FAILED = 2, 1


async def samples(url: str) -> dict[tuple[str, str], float]:
    """The samples of a scrape: name and the values of its labels."""
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200 and response.content_type == "text/plain"
        text = await response.text()
    return {
        (sample.name, " ".join(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_decisions_rows_and_channels_are_counted(tmp_path: Path) -> None:
    """By action, outcome and reason, by table, and as many as there are."""
    async with running(tmp_path, "up", *ANY_PORTS, "--metrics", "127.0.0.1:0") as program:
        ready = await program.ready_line()
        endpoint = Endpoint.from_ready_line(json.dumps(ready))
        async with open_world(endpoint, SigningKeys(), tmp_path / "partner") as world:
            bob, alice = await world.third_party("bob"), await world.whatsapp(opted_in=False)
            with pytest.raises(ServerRefusal):
                await bob.send_text(alice.jid, "Hello?")
            await alice.accept_terms()
            await alice.opt_in([world.integrator])
            await bob.send_text(alice.jid, "Hello!")
            seen = await samples(ready["metrics"])
        assert seen["interopsim_decisions_total", "stanza.message accepted "] == 1
        refused = [name for _, name in seen if name.endswith("refused RECIPIENT_NOT_REACHABLE")]
        assert len(refused) == 1 and seen["interopsim_decisions_total", refused[0]] == 1
        assert seen["interopsim_open_channels", ""] == 2
        assert ("interopsim_stored_rows", "account") in seen
        assert any(name == "interopsim_info" for name, _ in seen)
        assert f"  metrics  {ready['metrics']}\n" in (await run(tmp_path, "status")).stdout
        assert (await run(tmp_path, "reset")).code == 0
        again = await samples(ready["metrics"])
        assert again["interopsim_open_channels", ""] == 0
        assert ("interopsim_decisions_total", "stanza.message accepted ") not in again
        program.signal(signal.SIGTERM)
        assert (await program.end()).code == 0


async def test_health_says_what_does_not_work(tmp_path: Path) -> None:
    """As a status, for whoever asks by HTTP."""
    async with running(tmp_path, "up", *ANY_PORTS, "--metrics", "127.0.0.1:0", "--journal", "/dev/full") as program:
        ready = await program.ready_line()
        url = ready["metrics"].replace("/metrics", "/health")
        await run(tmp_path, "partner", "suspend", "7")  # a decision, which cannot be written
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status == 503 and "journal" in (await response.json())["troubles"]
        assert (await samples(ready["metrics"]))["interopsim_trouble", "journal"] == 1


async def test_an_address_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """Before anything is ready; without the flag nothing is served."""
    wrong = await run(tmp_path, "up", *ANY_PORTS, "--metrics", "here")
    assert wrong.code == WRONG_USE and "host:port" in wrong.stderr
    async with running(tmp_path, "up", *ANY_PORTS) as program:
        ready = await program.ready_line()
        assert "metrics" not in ready
        taken = await run(tmp_path, "up", *ANY_PORTS, "--metrics", ready["grpc"])
        assert taken.code == FAILED and "cannot listen on" in taken.stderr
    remote = await run(tmp_path, "up", *ANY_PORTS, "--metrics", "0.0.0.0:0")
    assert remote.code == WRONG_USE and "--allow-remote" in remote.stderr
