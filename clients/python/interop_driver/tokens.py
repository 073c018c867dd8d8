"""Tokens for logins, which the kit supplies; knows no token's content."""

import asyncio
from collections.abc import Awaitable, Callable

TOKEN_SECONDS = 30.0
"""Longest wait for a token that the kit was asked for."""


class Tokens:
    """The tokens of one device: each is used once.

    Args:
        ask: Asks the kit for one.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]]) -> None:
        self._ask = ask
        self._given = ""
        self._came = asyncio.Event()

    def give(self, token: str) -> None:
        """Takes a token for the next login; an empty one is none."""
        self._given = token
        if token:
            self._came.set()
        else:
            self._came.clear()

    async def take(self) -> str:
        """Returns the token for a login, after asking for it if there is none.

        Raises:
            TimeoutError: None came.
        """
        if not self._given:
            await self._ask()
            async with asyncio.timeout(TOKEN_SECONDS):
                await self._came.wait()
        token = self._given
        self.give("")
        return token
