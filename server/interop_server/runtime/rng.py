"""Randomness: the system's, and a sequence that a seed reproduces; knows nothing of its use."""

import hashlib
import secrets

_BIAS_GUARD_BYTES = 16
"""Bytes drawn beyond those that the range of a number needs: they make the number uniform to within 2^-128."""


class SystemRng:
    """The operating system's randomness, fit for secrets."""

    def token_bytes(self, length: int) -> bytes:
        """That many random bytes."""
        return secrets.token_bytes(length)

    def number(self, low: int, high: int) -> int:
        """A random number from low to high, both included."""
        return low + secrets.randbelow(high - low + 1)


class SeededRng:
    """A sequence that is the same for the same seed: SHA-256 over the seed and a counter. Not fit for secrets.

    Args:
        seed: Any integer.
        purpose: What the sequence is for. Each purpose has its own sequence, whatever was drawn from the others.
    """

    def __init__(self, seed: int, *purpose: str | int) -> None:
        self._key = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
        self._blocks = 0
        self._unread = b""

    def token_bytes(self, length: int) -> bytes:
        """The next bytes of the sequence."""
        while len(self._unread) < length:
            self._unread += hashlib.sha256(self._key + self._blocks.to_bytes(8, "big")).digest()
            self._blocks += 1
        taken, self._unread = self._unread[:length], self._unread[length:]
        return taken

    def number(self, low: int, high: int) -> int:
        """The next number of the sequence, from low to high, both included."""
        span = high - low + 1
        if span < 1:
            raise ValueError(f"no number lies from {low} to {high}")
        width = (span.bit_length() + 7) // 8 + _BIAS_GUARD_BYTES
        return low + int.from_bytes(self.token_bytes(width), "big") % span
