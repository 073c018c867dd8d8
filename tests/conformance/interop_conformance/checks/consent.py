"""OPT: who may be reached."""

from interop_api.admin.v1alpha1 import faults_pb2, journal_pb2
from interop_api.conformance.v1 import driver_pb2 as pb
from interop_api.v1 import errors_pb2
from interop_client.messaging.events import ReachabilityPing
from interop_conformance.check import Level, NotSo, check
from interop_conformance.checks.channel import CONNECTS
from interop_conformance.checks.messages import SENDS, SHOWS
from interop_conformance.device import Device, refused, told
from interop_conformance.people import Person
from interop_conformance.stage import Stage

RESOLVES = "OPT-08.finds-a-number"
REFUSED = "OPT-01.refusal-is-told"
READ_ONLY = "OPT-06.read-only-is-told"
PINGS = "OPT-10.ping-arrives"
LATER_MS = 60_000
ROUNDED_MS = 1_000
MOST = 3
"""How often at most a client may try what was refused, while it is watched: it may have been on its way already."""
MOST_TEXTS = 2
"""The same for a text."""
_PING = "InteropService.SendReachabilityPing"
_RESOLVE = "InteropService.Resolve"


async def is_told(stage: Stage, bob: Device, result: pb.CommandResult) -> None:
    """Requires that the user is told that a message was not sent: by the command's result, or as an error later."""
    if result.HasField("sent"):
        name = result.sent.message_id
        await bob.shows("error_shown", lambda each: each.message_id == name, "that the message was not sent")
    elif not refused(result) and not result.HasField("failed"):
        raise NotSo("the user is told that the message was not sent", told(result))


@check(RESOLVES, Level.SHOULD, "The client finds the WhatsApp user of a phone number.", milestone=2, after=(CONNECTS,))
async def finds_a_number(stage: Stage) -> None:
    """The JID is that of the user, who can be written to."""
    alice, bob = await stage.pair()
    found = (await bob.do(resolve=pb.ResolveCommand(external_id=alice.number))).jid
    stage.expect(found == alice.jid, alice.jid, found)


@check(
    "OPT-09.not-reachable-is-told",
    Level.SHOULD,
    "When a number cannot be reached, the client says so, and gives no JID.",
    milestone=2,
    after=(RESOLVES,),
)
async def not_reachable_is_told(stage: Stage) -> None:
    """A number that nobody has, and one whose user has not opted in."""
    alice, bob = await stage.alice(opted_in=False), await stage.bob()
    for number in (stage.simulator.next_phone_number(), alice.number):
        result = await bob.ask(resolve=pb.ResolveCommand(external_id=number))
        stage.expect(refused(result), "`resolve` is refused", told(result))


@check(
    "OPT-09.limit-on-look-ups-is-told",
    Level.SHOULD,
    "When look-ups are limited, the client says until when, and does not go on looking up.",
    milestone=2,
    after=(RESOLVES,),
)
async def limit_on_look_ups_is_told(stage: Stage) -> None:
    """The server says that it can be tried again after a minute."""
    alice, bob = await stage.pair()
    await _limit(stage, bob, _RESOLVE, "OPT-09")
    result = await bob.ask(resolve=pb.ResolveCommand(external_id=alice.number))
    await _is_limited(stage, bob, _RESOLVE, result)


@check(
    REFUSED,
    Level.MUST,
    "When the WhatsApp user has not opted in, the client says that it could not send.",
    milestone=3,
    after=(SENDS,),
)
async def refusal_is_told(stage: Stage) -> None:
    """Nothing reaches the WhatsApp user."""
    alice, bob = await stage.alice(opted_in=False), await stage.bob()
    result = await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="Hello?"))
    await is_told(stage, bob, result)


@check(
    "OPT-01.nothing-waits-for-the-opt-in",
    Level.SHOULD,
    "What was refused before the opt-in is not sent after it without the user.",
    milestone=3,
    after=(REFUSED,),
)
async def nothing_waits_for_the_opt_in(stage: Stage) -> None:
    """The user has been told that it was not sent, and may have thought better of it."""
    alice, bob = await stage.alice(opted_in=False), await stage.bob()
    await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="Hello?"))
    await alice.client.accept_terms()
    await alice.client.opt_in([stage.integrator])
    await stage.marker(alice, bob)
    await bob.send(alice.jid, "Welcome")
    await alice.reads("Welcome")
    stage.expect(len(alice.messages) == 1, "the second text alone", f"{len(alice.messages)} messages")


@check(
    READ_ONLY,
    Level.SHOULD,
    "When the WhatsApp user has opted out, the client says that it could not send.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def read_only_is_told(stage: Stage) -> None:
    """In a chat in which both have written."""
    alice, bob = await _read_only(stage)
    await is_told(stage, bob, await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="Still there?")))


@check(
    "OPT-06.refused-text-is-not-repeated",
    Level.SHOULD,
    "A text that was refused because the WhatsApp user has opted out is not sent again and again.",
    milestone=3,
    after=(READ_ONLY,),
)
async def refused_text_is_not_repeated(stage: Stage) -> None:
    """For a while."""
    alice, bob = await _read_only(stage)
    most = len(_to(stage, bob, alice)) + MOST_TEXTS
    await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="Still there?"))
    is_quiet = await stage.never(lambda: len(_to(stage, bob, alice)) > most)
    stage.expect(is_quiet, "one attempt", f"more than {MOST_TEXTS}")


@check(
    "OPT-02.chat-goes-on",
    Level.MUST,
    "When the WhatsApp user has opted in again and writes, the chat goes on.",
    milestone=3,
    after=(READ_ONLY,),
)
async def chat_goes_on(stage: Stage) -> None:
    """Both ways, although a text was refused in between."""
    alice, bob = await _read_only(stage)
    await bob.ask(send_text=pb.SendTextCommand(to_jid=alice.jid, text="Still there?"))
    await alice.client.opt_in([stage.integrator])
    await alice.send(bob.jid, "I am back")
    await bob.shows_text("I am back")
    await bob.send(alice.jid, "Welcome back")
    await alice.reads("Welcome back")


@check(
    PINGS,
    Level.MUST,
    "A reachability ping reaches a WhatsApp user who has not opted in, with the name that the user shows.",
    milestone=6,
    features=("reachability_pings",),
    after=(CONNECTS,),
)
async def ping_arrives(stage: Stage) -> None:
    """The name is as the user has written it."""
    alice, bob = await stage.alice(opted_in=False), await stage.bob()
    await _ping(bob, alice, "Bøb 🐻 from work")
    ping = await alice.receives(ReachabilityPing)
    got = (ping.integrator, ping.display_name)
    stage.expect(got == (stage.integrator, "Bøb 🐻 from work"), f"{stage.integrator}, 'Bøb 🐻 from work'", got)


@check(
    "OPT-10.ping-brings-a-name-only",
    Level.MUST,
    "With a reachability ping comes no message, and no key is taken for one.",
    milestone=6,
    features=("reachability_pings",),
    after=(PINGS,),
)
async def ping_brings_a_name_only(stage: Stage) -> None:
    """Before the WhatsApp user opts in, the client neither takes keys of theirs nor tries to write."""
    alice, bob = await stage.alice(opted_in=False), await stage.bob()
    await _ping(bob, alice, "Bob")
    await alice.receives(ReachabilityPing)
    tried = [*_to(stage, bob, alice), *await _calls(stage, bob, "PreKeyService.Take")]
    stage.expect(not tried, "nothing but pings", f"{len(tried)} attempts to write")


@check(
    "OPT-12.limit-on-pings-is-told",
    Level.SHOULD,
    "When pings are limited, the client says until when, and does not go on.",
    milestone=6,
    features=("reachability_pings",),
    after=(PINGS,),
)
async def limit_on_pings_is_told(stage: Stage) -> None:
    """The server says that it can be tried again after a minute."""
    alice, bob = await stage.alice(opted_in=False), await stage.bob()
    await _limit(stage, bob, _PING, "OPT-12")
    command = pb.PingReachabilityCommand(phone_number=alice.number, display_name="Bob")
    await _is_limited(stage, bob, _PING, await bob.ask(ping_reachability=command))


@check(
    "OPT-14.acceptance-is-acked",
    Level.SHOULD,
    "The client acks that its user has become a trusted contact.",
    milestone=3,
    after=(SENDS,),
)
async def acceptance_is_acked(stage: Stage) -> None:
    """The WhatsApp user accepts the message request, without writing."""
    alice, bob = await stage.pair()
    await bob.send(alice.jid, "Hello, may I?")
    await alice.reads("Hello, may I?")
    await alice.client.accept_message_request(bob.jid)
    if not await stage.came(bob.jid, "notification", lambda each: "trusted_contact" in each):
        raise NotSo("the server tells the client", "it did not")
    await stage.acked_all(bob.jid)


@check(
    "OPT-14.declined-request-ends-nothing",
    Level.SHOULD,
    "When the WhatsApp user has declined the message request, the client goes on, and so does the chat after all.",
    milestone=3,
    after=(SENDS, SHOWS),
)
async def declined_request_ends_nothing(stage: Stage) -> None:
    """A text in between is acked, and reaches nobody; then the WhatsApp user writes."""
    alice, bob = await stage.pair()
    await bob.send(alice.jid, "Hello, may I?")
    await alice.reads("Hello, may I?")
    await alice.client.decline_message_request(bob.jid)
    await bob.send(alice.jid, "Are you there?")
    await alice.send(bob.jid, "You may")
    await bob.shows_text("You may")
    await bob.send(alice.jid, "Thank you")
    await alice.reads("Thank you")


async def _read_only(stage: Stage) -> tuple[Person, Device]:
    """Has both talk, and Alice opt out."""
    alice, bob = await stage.pair()
    await stage.talk(alice, bob)
    await alice.client.opt_out([stage.integrator])
    return alice, bob


async def _ping(bob: Device, alice: Person, name: str) -> None:
    await bob.do(ping_reachability=pb.PingReachabilityCommand(phone_number=alice.number, display_name=name))


async def _limit(stage: Stage, bob: Device, call: str, requirement: str) -> None:
    reason = errors_pb2.ERROR_REASON_RATE_LIMITED
    refuse = faults_pb2.FaultRefuse(reason=reason, retry_after_ms=LATER_MS, requirement=requirement)
    await stage.add_fault("limit", {"call": call, "actor": bob.jid}, refuse=refuse)


async def _is_limited(stage: Stage, bob: Device, call: str, result: pb.CommandResult) -> None:
    stage.expect(refused(result) == "RATE_LIMITED", "refused: RATE_LIMITED", told(result))
    wait = result.refused.retry_after_ms
    stage.expect(abs(wait - LATER_MS) <= ROUNDED_MS, f"a new attempt after {LATER_MS} ms", f"after {wait} ms")
    calls = len(await _calls(stage, bob, call))
    stage.expect(calls <= MOST, "one call", f"{calls} calls")


async def _calls(stage: Stage, bob: Device, action: str) -> list[journal_pb2.JournalEntry]:
    """Returns what the client has called so far, after it has had time for more."""
    await bob.do(list_blocked=pb.ListBlockedCommand())
    return [each.entry async for each in stage.admin.read_journal(actor=bob.jid, action=action)]


def _to(stage: Stage, bob: Device, alice: Person) -> list[object]:
    return list(stage.sent(bob.jid, "message", lambda each: each.get("to_jid") == alice.jid))
