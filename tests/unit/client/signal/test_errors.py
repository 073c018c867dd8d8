"""Refusals carry the reason code that a retry receipt names for them."""

from interop_client.signal import errors


def test_each_error_names_its_retry_reason() -> None:
    """Codes are those of protocol facts 4.6; 0 where sending again would not help."""
    reasons = {
        name: error.retry_reason
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, errors.SignalError)
    }
    assert reasons == {
        "SignalError": 0,
        "InvalidContent": 0,
        "InvalidSnapshot": 0,
        "UnsupportedContent": 0,
        "MissingKemPreKey": 0,
        "NoSession": 1,
        "InvalidKey": 2,
        "UntrustedIdentity": 2,
        "InvalidKeyId": 3,
        "InvalidMessage": 4,
        "InvalidSignature": 5,
        "TooFarInFuture": 6,
        "BadMac": 7,
        "InvalidSession": 8,
        "DuplicateMessage": 9,
    }
