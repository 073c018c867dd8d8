"""Opens a gRPC channel to an address, with TLS where a certificate is to be trusted; makes no call."""

import ssl
from collections.abc import Sequence

import grpc
import grpc.aio


def open_channel(address: str, ca: str, options: Sequence[tuple[str, object]] = ()) -> grpc.aio.Channel:
    """Returns a channel; it connects with the first call.

    Args:
        address: `host:port`.
        ca: The certificate to trust, as PEM; empty for no TLS.
        options: Of gRPC.
    """
    if not ca:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca.encode()), options=options)


def https_context(ca: str) -> ssl.SSLContext | bool:
    """Returns what aiohttp takes as `ssl`: a context that trusts a certificate, or True for those of the system.

    Args:
        ca: The certificate to trust, as PEM; may be empty.
    """
    return ssl.create_default_context(cadata=ca) if ca else True
