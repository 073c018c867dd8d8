"""The application's choices, and what a client does of its own accord."""

import asyncio
from typing import Any

import pytest

from interop_api.v1 import stanza_pb2
from interop_client.client import InteropClient
from interop_client.options import ClientOptions
from interop_client.state import ClientState
from tests.unit.client.conftest import ScriptedTransport, Stanza


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("refill_count", -1),
        ("refill_count", 20_001),
        ("refill_count", 1.5),
        ("kem_prekeys", -1),
        ("kem_prekeys", 5_001),
        ("event_capacity", 0),
        ("event_capacity", -1),
    ],
)
def test_what_is_out_of_range_is_refused_where_it_is_given(name: str, value: Any) -> None:
    """And not in the client's own work, when nobody looks."""
    with pytest.raises(ValueError, match=f"{name} is a whole number.* cannot be {value}"):
        ClientOptions(**{name: value})


@pytest.mark.parametrize("name", ["on_event", "find_sent"])
def test_what_is_no_function_is_refused_where_it_is_given(name: str) -> None:
    """And not at the first delivery."""
    with pytest.raises(ValueError, match=f"{name} is a function"):
        ClientOptions(**{name: "handler"})  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"refill_count": 0}, {"refill_count": 20_000, "kem_prekeys": 5_000}])
def test_what_is_in_range_is_taken(options: Any) -> None:
    ClientOptions(event_capacity=1, **options)


@pytest.mark.parametrize("failure", [ValueError("of all things"), asyncio.CancelledError("of all things")])
async def test_upkeep_that_fails_is_logged_and_done_again(
    transport: ScriptedTransport, caplog: pytest.LogCaptureFixture, failure: BaseException
) -> None:
    """In whatever way: the next notice finds it at work again."""
    state = ClientState.generate("12-34@interop")
    state.signal.generate_one_time_prekeys(1)
    count = "/interop_api.v1.PreKeyService/CountOneTimePreKeys"

    def fail(_: Any) -> Any:
        raise failure

    transport.answers[count] = fail
    low = Stanza(notification=stanza_pb2.Notification(prekeys_low=stanza_pb2.PreKeysLow(count=1)))
    async with asyncio.timeout(5), InteropClient(transport, state):
        for calls in (1, 2):
            transport.deliver(low)
            await transport.until(lambda calls=calls: [method for method, _ in transport.calls] == [count] * calls)
    assert caplog.text.count("what PreKeysLow asks for could not be done") == 2
