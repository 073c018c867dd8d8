"""Good messages in any order, on one stream after another: the stream ends exactly where the protocol says, and why."""

import asyncio
import os
from random import Random
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from interop_api.v1 import chat_pb2, stanza_pb2
from interop_protocol.noise import InitiatorHandshake
from tests.e2e.raw import RawStream, finish_request, hello_request
from tests.e2e.wire import sealed_message
from tests.fuzz.amount import EXAMPLES, PROPERTY
from tests.fuzz.line import Line
from tests.fuzz.target import Target

pytestmark = pytest.mark.requirement("SIM-01", "CHN-01", "CHN-09", "CHN-11", "PRX-04")

STEPS = 12
CLOSED, FRESH, GREETED, OPEN = "closed", "fresh", "greeted", "open"
OUT_OF_ORDER = "HANDSHAKE_OUT_OF_ORDER"


class Streams(RuleBasedStateMachine):
    """A stream, and the stage of the protocol that it is at."""

    runner: ClassVar[asyncio.Runner]
    target: ClassVar[Target]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.stage = CLOSED
        self.stream: RawStream
        self.noise: InitiatorHandshake
        self.line: Line

    @precondition(lambda self: self.stage == CLOSED)
    @rule(side=st.integers(0, 1))
    def connect(self, side: int) -> None:
        """Opens a stream, for an account of either side."""
        self.line = self.target.people.lines[side]
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.stream = await RawStream(self.target.endpoint.grpc).__aenter__()
        self.stage = FRESH

    @precondition(lambda self: self.stage != CLOSED)
    @rule()
    def say_hello(self) -> None:
        """The first message of the handshake; out of order anywhere else."""
        self._count()
        self.noise = InitiatorHandshake(self.line.state.auth_private_key, os.urandom(32))
        if self.stage == FRESH:
            hello = self.runner.run(self.stream.hello(self.noise))
            self.noise.read_server_hello(hello.ephemeral, hello.static_key, hello.payload)
            self.stage = GREETED
        else:
            self._ends(OUT_OF_ORDER, hello_request(self.noise.client_hello()))

    @precondition(lambda self: self.stage != CLOSED)
    @rule()
    def finish(self) -> None:
        """The third message, with a good login."""
        self._count()
        if self.stage == GREETED:
            self.runner.run(self._log_in())
        else:
            self._ends(OUT_OF_ORDER, finish_request(os.urandom(48), os.urandom(90)))

    async def _log_in(self) -> None:
        payload = self.target.login_of(self.line).SerializeToString()
        await self.stream.send(finish_request(*self.noise.client_finish(payload)))
        self.stream.noise = self.noise.split()
        await self.stream.read_login()
        self.stage = OPEN

    @precondition(lambda self: self.stage == GREETED)
    @rule()
    def finish_with_other_keys(self) -> None:
        """A third message that was not made for this stream."""
        self._count()
        self._ends("HANDSHAKE_AUTHENTICATION_FAILED", finish_request(os.urandom(48), os.urandom(90)))

    @precondition(lambda self: self.stage != CLOSED)
    @rule(kind=st.sampled_from(("server_hello", "client_hello", "nothing", "empty")))
    def say_what_no_client_says(self, kind: str) -> None:
        """A handshake message of the server's, an empty one, or no frame at all."""
        self._count()
        requests = {
            "server_hello": chat_pb2.ConnectRequest(
                handshake=chat_pb2.HandshakeMessage(server_hello=chat_pb2.ServerHello(ephemeral=os.urandom(32)))
            ),
            "client_hello": hello_request(os.urandom(31)),
            "nothing": chat_pb2.ConnectRequest(),
            "empty": chat_pb2.ConnectRequest(handshake=chat_pb2.HandshakeMessage()),
        }
        is_hello = kind == "client_hello" and self.stage == FRESH
        self._ends("HANDSHAKE_MALFORMED" if is_hello else OUT_OF_ORDER, requests[kind])

    @precondition(lambda self: self.stage != CLOSED)
    @rule()
    def say_noise(self) -> None:
        """Bytes that are no message."""
        self._count()
        self._ends("FRAME_MALFORMED" if self.stage == OPEN else "HANDSHAKE_MALFORMED", b"\xff\xff\xff")

    @precondition(lambda self: self.stage != CLOSED)
    @rule()
    def seal_with_other_keys(self) -> None:
        """A frame that does not authenticate, or that comes before the handshake is done."""
        self._count()
        reason = "FRAME_AUTHENTICATION_FAILED" if self.stage == OPEN else OUT_OF_ORDER
        self._ends(reason, chat_pb2.ConnectRequest(sealed=os.urandom(64)))

    @precondition(lambda self: self.stage == OPEN)
    @rule(number=st.integers(0, 2**64 - 1))
    def ping(self, number: int) -> None:
        """Answered, always."""
        self._count()
        self.runner.run(self.stream.send_stanzas(stanza_pb2.Stanza(ping=stanza_pb2.Ping(id=number))))
        assert self.runner.run(self.stream.receive_kind("pong")).pong.id == number

    @precondition(lambda self: self.stage == OPEN)
    @rule(seed=st.integers(0, 999))
    def write(self, seed: int) -> None:
        """A message to the other side, under an id that may have been used before."""
        self._count()
        other = next(line for line in self.target.people.lines if line is not self.line)
        message = sealed_message(other.jid, f"m{Random(seed).randrange(5)}")
        self.runner.run(self.stream.send_stanzas(message))
        [ack] = self.runner.run(self.stream.receive_kind("send_acks")).send_acks.acks
        assert (ack.id, ack.HasField("error")) == (message.message.id, False)

    @precondition(lambda self: self.stage == OPEN)
    @rule()
    def ask_for_the_backlog(self) -> None:
        """As often as one likes."""
        self._count()
        batch = stanza_pb2.OfflineBatch(count=200)
        self.runner.run(self.stream.send_stanzas(stanza_pb2.Stanza(offline_batch=batch)))
        self.ping(1)

    @precondition(lambda self: self.stage == OPEN)
    @rule()
    def close_the_client(self) -> None:
        """The stream ends without an error."""
        self._count()
        closed = stanza_pb2.Batch(stanzas=[stanza_pb2.Stanza(client_closed=stanza_pb2.ClientClosed())])
        self._ends("OK", chat_pb2.ConnectRequest(sealed=self.stream.noise.encrypt(closed.SerializeToString())))

    @precondition(lambda self: self.stage == OPEN)
    @rule()
    def log_in_elsewhere(self) -> None:
        """The other login wins."""
        self._count()
        self.runner.run(self._replace())

    async def _replace(self) -> None:
        old = self.stream
        self.stream = await RawStream(self.target.endpoint.grpc).__aenter__()
        await self.stream.log_in(self.line.state.auth_private_key, self.target.login_of(self.line))
        assert (await old.ending()).reason == "CONNECTION_REPLACED"
        await old.__aexit__()

    @precondition(lambda self: self.stage != CLOSED)
    @rule()
    def say_no_more(self) -> None:
        """An end that is good once logged in, and too early before."""
        self._count()
        reason = "OK" if self.stage == OPEN else OUT_OF_ORDER
        self.runner.run(self.stream.end())
        self._ends(reason)

    @precondition(lambda self: self.stage != CLOSED)
    @rule()
    def vanish(self) -> None:
        """Without a word."""
        self._count()
        self.teardown()

    def teardown(self) -> None:
        if self.stage != CLOSED:
            self.runner.run(self.stream.__aexit__())
            self.stage = CLOSED

    def _ends(self, reason: str, *requests: chat_pb2.ConnectRequest | bytes) -> None:
        self.runner.run(self.stream.send(*requests))
        ended = self.runner.run(self.stream.ending())
        assert ended.reason == reason, f"{ended} in place of {reason}, at stage {self.stage}"
        self.teardown()

    def _count(self) -> None:
        type(self).steps += 1


def test_a_stream_goes_through_its_stages_and_no_other_way(
    runner: asyncio.Runner, target: Target, request: pytest.FixtureRequest
) -> None:
    """Each step where it is allowed goes on, each other one ends the stream with its own reason."""
    Streams.runner, Streams.target, Streams.steps = runner, target, 0
    profile = settings(settings.get_profile("fuzz"), max_examples=max(1, EXAMPLES // 5), stateful_step_count=STEPS)
    run_state_machine_as_test(Streams, settings=profile)
    assert Streams.steps >= EXAMPLES
    request.node.user_properties.append((PROPERTY, (Streams.steps, {"as expected": Streams.steps})))
    runner.run(target.check_unharmed())
