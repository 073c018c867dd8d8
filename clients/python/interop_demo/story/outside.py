"""Step: the server refuses what interoperability does not include, each for its own reason; knows no other refusal."""

from interop_demo.stage import ALICE_NUMBER, Stage, expect

GROUP_JID = "120363041234567890@g.us"


async def refuse_what_is_outside(stage: Stage) -> str:
    """Lets Bob try an SMS, a call and a group."""
    bob = stage.bob
    before = await stage.settle()
    refused = await stage.expect_refusal("NUMBER_BASED_NOT_SUPPORTED", bob, "send_garbage", to=f"sms:{ALICE_NUMBER}")
    stage.timeline.tell(bob, f"tries an SMS to {ALICE_NUMBER}")
    stage.timeline.decide(str(refused))
    call = await bob.ask("offer_call", to=stage.alice.jid)
    expect(call["reason"] == "CALLS_NOT_SUPPORTED", f"the call was refused with {call['reason']}")
    await stage.explain(call["request_id"], bob)
    stage.timeline.tell(bob, "tries to call Alice")
    stage.timeline.decide(f"{call['reason']}: {call['advice']}")
    refused = await stage.expect_refusal("GROUPS_NOT_SUPPORTED", bob, "send_garbage", to=GROUP_JID)
    stage.timeline.tell(bob, "tries to write to a group")
    stage.timeline.decide(str(refused))
    expect(await stage.settle() == before, "the server stored something")
    return "NUMBER_BASED_NOT_SUPPORTED, CALLS_NOT_SUPPORTED, GROUPS_NOT_SUPPORTED; nothing stored"
