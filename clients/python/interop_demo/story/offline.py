"""Step: messages wait for an offline recipient, even when the server crashes; knows no media and no refusal."""

import json
from typing import Any

from interop_demo.people import Person
from interop_demo.processes import ChildFailed
from interop_demo.stage import MESSENGER, Stage, expect

PUSH_SECONDS = 20.0
"""Nodes take another one for dead after some seconds without a word of it, and then push."""
_TEXTS = (
    "First of three while you were away.",
    "Second of three: bring an umbrella.",
    "Third of three: see you at nine.",
)


async def survive_a_crash(stage: Stage) -> str:
    """Lets Bob go offline and Alice write, kills the simulator, and lets Bob come back.

    Of several nodes, the one is killed on which Bob is: that takes him offline, and he comes back at another.
    """
    is_alone = len(stage.ground.nodes) == 1
    await stage.settle()
    pushes = await stage.list_pushes(stage.bob.user, 0, 0)
    last_push = pushes[-1]["number"] if pushes else 0
    await (_go_offline if is_alone else _lose_the_node)(stage, stage.bob)
    sent = [await _write(stage, number, text) for number, text in enumerate(_TEXTS, 1)]
    stage.timeline.tell(stage.alice, "writes three messages to Bob, who is away")
    await _check_push(stage, last_push)
    if is_alone:
        await _crash(stage)
        await stage.bob.start()
    await _return(stage, sent)
    await stage.alice.ask("wait_for_receipts", ids=sent, is_read=False)
    stage.timeline.tell(stage.alice, "gets the delivered receipts of all three")
    return 'the push said {"to": …} and no more, its JWT verified; after SIGKILL three messages came, in order, once'


async def _write(stage: Stage, number: int, text: str) -> str:
    stage.keep_secret(f"Alice's text {number} of 3", text)
    return str((await stage.alice.ask("send_text", to=stage.bob.jid, text=text))["id"])


async def _go_offline(stage: Stage, person: Person) -> None:
    await person.stop()
    await stage.wait_until_gone(person)
    stage.timeline.tell(person, "switches the phone off: the process ends, keys and sessions are in a file")


async def _lose_the_node(stage: Stage, person: Person) -> None:
    await stage.node_of(person).kill()
    stage.timeline.decide(f"loses the node on which {person.name} is, by SIGKILL; the others go on")
    lost = await person.ask("wait_for_loss")
    stage.bobs_node += 1
    stage.timeline.tell(person, f"has lost the connection: {lost['reason'] or 'nobody said why'}")


async def _check_push(stage: Stage, last_push: int) -> None:
    pushes = await stage.list_pushes(stage.bob.user, last_push, PUSH_SECONDS)
    expect(bool(pushes), f"no push reached {MESSENGER}'s server within {PUSH_SECONDS:.0f} s")
    for push in pushes:
        expect(json.loads(push["body"]) == {"to": stage.bob.user}, "a push does not name its user alone")
    stage.timeline.decide(f"pushes to {MESSENGER}'s server, which verifies the JWT: {pushes[0]['body']}")


async def _crash(stage: Stage) -> None:
    [simulator] = stage.ground.nodes
    before = simulator.ready
    await simulator.kill()
    try:
        await simulator.start()
    except ChildFailed as error:
        raise ChildFailed(f"after SIGKILL: {error}") from error
    expect(simulator.ready["pid"] != before["pid"], "the simulator did not die")
    expect(simulator.ready["root_public_key"] == before["root_public_key"], "the simulator lost its identity")
    stage.timeline.decide("is killed with SIGKILL, and started again on the same database; its identity is the same")
    await stage.tell_messenger()
    # The simulator reads key sets over the network while people already connect: wait, so that the order is the same.
    await stage.wait_until_recorded("timer.key_sets")
    await stage.alice.ask("connect", simulator=stage.place_of(stage.alice))
    stage.timeline.tell(stage.alice, "reconnects")


async def _return(stage: Stage, sent: list[str]) -> None:
    bob, addresses = stage.bob, stage.place_of(stage.bob)
    await bob.ask("connect", simulator=addresses)
    backlog: dict[str, Any] = await bob.ask("take_backlog")
    received = [(text["id"], text["text"]) for text in backlog["texts"]]
    expect(backlog["announced"] == len(sent), f"the server announced {backlog['announced']} messages")
    expect(received == list(zip(sent, _TEXTS, strict=True)), f"Bob received {len(received)} messages, or others")
    stage.timeline.tell(bob, "connects and receives all three, in order")
    await stage.settle()
    await bob.ask("connect", simulator=addresses)
    backlog = await bob.ask("take_backlog")
    expect(backlog["announced"] == 0 and backlog["texts"] == [], "messages came twice")
    stage.timeline.tell(bob, "reconnects once more: nothing comes twice")
