"""Each token is used once, and the kit is asked for the next one."""

import asyncio

from interop_driver.tokens import Tokens


class Asked:
    """Counts how often the kit was asked."""

    def __init__(self) -> None:
        self.times = 0
        self.now = asyncio.Event()

    async def __call__(self) -> None:
        self.times += 1
        self.now.set()


async def test_a_token_that_was_given_is_used_once() -> None:
    """Without a question; an empty one is none."""
    asked = Asked()
    tokens = Tokens(asked)
    tokens.give("first")
    assert (await tokens.take(), asked.times) == ("first", 0)
    tokens.give("lost")
    tokens.give("")
    taking = asyncio.create_task(tokens.take())
    await asked.now.wait()
    assert not taking.done()
    tokens.give("second")
    assert (await taking, asked.times) == ("second", 1)
    taking = asyncio.create_task(tokens.take())
    tokens.give("third")
    assert (await taking, asked.times) == ("third", 1)
