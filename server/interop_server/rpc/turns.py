"""Who goes on next, among channels whose work waits for nothing; knows no stanza.

gRPC hands over one event in each round of the event loop. A thousand channels that each do a little in every round
would leave all calls waiting for as many rounds as there are events; so one channel goes on in each round.
"""

import asyncio


class Turns:
    """Lets whoever has much to do go on one after another."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # first come, first served

    async def wait(self) -> None:
        """Returns in a later round of the event loop, in which nobody else returns from here."""
        async with self._turn:
            await asyncio.sleep(0)
