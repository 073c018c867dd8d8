"""The RSA keys with which a partner signs its users' tokens; knows nothing of tokens or HTTP."""

from joserfc.jwk import KeySet, RSAKey

RSA_BITS = 2048


class SigningKeys:
    """One key that signs, and the keys that still verify.

    Generating a key takes tenths of a second: inside an event loop, create and rotate in a thread.

    Source: ENL-03, ENL-04, ENL-05.
    """

    def __init__(self) -> None:
        self._keys = [_generate_key()]

    @property
    def current(self) -> RSAKey:
        """The private key that signs from now on."""
        return self._keys[-1]

    @property
    def verification_keys(self) -> KeySet:
        """All keys in the served key set."""
        return KeySet(list(self._keys))

    def rotate(self, *, keep_old: bool = True) -> str:
        """Signs with a new key from now on.

        Args:
            keep_old: Whether tokens signed so far still verify. False models a key that leaked.

        Returns:
            The new key's `kid`.
        """
        key = _generate_key()
        self._keys = [*self._keys, key] if keep_old else [key]
        return str(key.kid)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Returns the key set as served: per key `kid`, `kty`, `alg`, `use`, `n` and `e`, and nothing private."""
        return {"keys": [_public_form(key) for key in self._keys]}


def _generate_key() -> RSAKey:
    key = RSAKey.generate_key(RSA_BITS, auto_kid=False)
    # RFC 7638: a thumbprint names the key by its content, so no two keys ever share a `kid`.
    return RSAKey.import_key(key.as_dict(private=True), {"kid": key.thumbprint(), "alg": "RS256", "use": "sig"})


def _public_form(key: RSAKey) -> dict[str, str]:
    fields = key.as_dict(private=False)
    return {name: str(fields[name]) for name in ("kid", "kty", "alg", "use", "n", "e")}
