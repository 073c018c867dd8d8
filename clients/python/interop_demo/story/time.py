"""Step: thirty days pass on the simulator's clock; knows no report."""

from interop_demo.stage import Stage, expect

_DAYS = 30
_DAY_MS = 86_400_000


async def let_thirty_days_pass(stage: Stage) -> str:
    """Lets Bob stay offline for thirty days, through which the operator advances the clock, and enlist again."""
    alice, bob = stage.alice, stage.bob
    await bob.stop()
    await stage.wait_until_gone(bob)
    stage.timeline.tell(bob, "switches the phone off")
    async with stage.admin() as admin:
        advanced = await admin.advance_clock(_DAYS * _DAY_MS)
    fired = {timers.name: timers.count for timers in advanced.fired}
    await stage.set_messenger_clock(advanced.clock.now_ms, is_frozen=advanced.clock.is_frozen)
    told = ", ".join(f"{name} {count}" for name, count in fired.items())
    stage.timeline.tell("operator", f"advances the clock by {_DAYS} days; what fell due on the way: {told}")
    await bob.start()
    old_jid = bob.jid
    refused = await stage.expect_refusal("ENLISTMENT_EXPIRED", bob, "connect", simulator=stage.place_of(bob))
    stage.timeline.tell(bob, "switches the phone on again and tries to connect")
    stage.timeline.decide(str(refused))
    bob.jid = (await bob.ask("enlist", simulator=stage.place_of(bob)))["jid"]
    expect(bob.jid != old_jid, "Bob got his old JID back")
    await bob.ask("connect", simulator=stage.place_of(bob))
    stage.timeline.tell(bob, f"enlists again and becomes {bob.jid}")
    await alice.ask("connect", simulator=stage.place_of(alice))
    chats = (await alice.ask("list_chats"))["chats"]
    expect(old_jid not in {chat["peer"] for chat in chats}, "the chat with Bob's old JID is still there")
    stage.timeline.tell(alice, "reconnects: her silent connection had ended; the chat with Bob's old JID is gone")
    return f"un-enlisted at the end of {_DAYS} days, told so with ENLISTMENT_EXPIRED; a new JID after enlisting again"
