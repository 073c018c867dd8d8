"""Defects of messages and their sessions."""

from interop_wrong.register import wrong_client

from interop_client.signal.store import Ciphertext, SignalState


@wrong_client("MSG-02.plaintext-stays-with-the-two", also=("MSG-12.sends-text",))
def sends_plaintext_as_ciphertext() -> None:
    """Sends what should be encrypted as it is."""
    encrypt = SignalState.encrypt

    def leave(self: SignalState, remote: str, plaintext: bytes) -> Ciphertext:
        return Ciphertext(encrypt(self, remote, plaintext).type, plaintext)

    SignalState.encrypt = leave  # type: ignore[method-assign]
