"""Stops listening without losing a connection that was just accepted; knows nothing of what is served."""

import asyncio
import socket

_TURNS_OF_THE_LOOP = 3
"""From an accepted connection to a protocol that waits for its first bytes."""


async def stop_listening(listener: socket.socket) -> None:
    """Accepts nothing more, and waits until what was accepted has its protocol; then the server can be closed.

    A server that asyncio closes one turn of the loop after it has accepted a connection forgets that connection, which
    then stays open (python/cpython issue 109564).
    """
    asyncio.get_running_loop().remove_reader(listener)
    for _ in range(_TURNS_OF_THE_LOOP):
        await asyncio.sleep(0)
