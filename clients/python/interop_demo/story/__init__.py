"""The story that the demo plays, step by step; knows no command line.

Each step acts on the stage, checks the result, and returns a summary of the checks.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from interop_demo.stage import Stage
from interop_demo.story.abuse import report_and_ban
from interop_demo.story.chat import exchange_files, exchange_texts
from interop_demo.story.consent import block_and_opt_out, opt_in, refuse_uninvited
from interop_demo.story.healing import mend_a_session
from interop_demo.story.offline import survive_a_crash
from interop_demo.story.outside import refuse_what_is_outside
from interop_demo.story.proxied import talk_through_the_proxy
from interop_demo.story.reach import ping
from interop_demo.story.registration import enlist, register
from interop_demo.story.secrecy import find_no_plaintext
from interop_demo.story.time import let_thirty_days_pass

__all__ = ["STEPS", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the story."""

    name: str
    """The heading of the step."""
    play: Callable[[Stage], Awaitable[str]]
    """Plays the step and returns a summary of its checks; raises when a check fails."""


STEPS = (
    Step("The messenger is registered, Alice gets a WhatsApp number", register),
    Step("Bob enlists, connects and publishes prekeys", enlist),
    Step("Bob's message is refused: Alice has not opted in", refuse_uninvited),
    Step("Bob pings Alice: he would like to write to her", ping),
    Step("Alice accepts the terms and opts in", opt_in),
    Step("Bob's message request is accepted, and both write", exchange_texts),
    Step("Bob sends an image, Alice a document", exchange_files),
    Step("Bob's session with Alice breaks, and mends itself", mend_a_session),
    Step("Messages wait for Bob through a crash of the server", survive_a_crash),
    Step("Carol takes part through a proxy", talk_through_the_proxy),
    Step("Alice blocks Carol, then opts out", block_and_opt_out),
    Step("SMS, calls and groups are refused", refuse_what_is_outside),
    Step("Alice reports Carol, who is banned for a time", report_and_ban),
    Step("Thirty days pass, and Bob has to enlist again", let_thirty_days_pass),
    Step("No plaintext is in the database, the blobs or the logs", find_no_plaintext),
)
