"""Defects at enlistment and login."""

from weakref import WeakKeyDictionary

from interop_wrong.register import wrong_client

from interop_driver.tokens import Tokens


@wrong_client("ENL-07.token-at-each-connection")
def uses_one_token_for_ever() -> None:
    """Logs in again and again with the first token that it got."""
    take = Tokens.take
    first: WeakKeyDictionary[Tokens, str] = WeakKeyDictionary()  # of each device: the process has many

    async def take_first(self: Tokens) -> str:
        return first.setdefault(self, await take(self))

    Tokens.take = take_first  # type: ignore[method-assign]
