"""Which seats a call needs; knows no service."""

from collections.abc import Hashable

from interop_server.core.enlistment.client_ip import rate_limit_key
from interop_server.core.media.media import is_proxied
from interop_server.core.seats import Claim, proxied_from, transfer_from
from interop_server.rpc.calls import Call
from interop_server.rpc.convert.login import peer_ip_from

_TRANSFERS = {"MediaService.Download": "account_downloads", "MediaService.Upload": "account_uploads"}
_READERS = {"JournalService.ReadJournal": "journal_readers", "TraceService.ReadTrace": "trace_readers"}


def caller_of(call: Call) -> Hashable:
    """Returns whose call it is: an account's, or that of an address."""
    return rate_limit_key(peer_ip_from(call.peer())) if call.account is None else call.account.account_id


def claims_of(call: Call) -> tuple[Claim, ...]:
    """Returns the seats that a call needs for as long as it lasts."""
    address = rate_limit_key(peer_ip_from(call.peer()))
    claims = [Claim("address_calls", address)]
    if call.account is not None:
        claims.append(Claim("account_calls", call.account.account_id))
        if (own := _TRANSFERS.get(call.method.name)) is not None:
            claims += [Claim(own, call.account.account_id), *transfer_from(address)]
    if (readers := _READERS.get(call.method.name)) is not None:
        claims.append(Claim(readers, None))
    if not call.method.is_ours:
        claims.append(Claim("address_watches", address))
    return tuple(claims)


def download_of(call: Call, direct_path: str) -> tuple[Claim, ...]:
    """Returns the seats that a download needs beside those of its call, when it is known what is to be downloaded."""
    return proxied_from(rate_limit_key(peer_ip_from(call.peer()))) if is_proxied(direct_path) else ()


def handshake_from(call: Call) -> tuple[Claim, ...]:
    """Returns the seat that a chat channel needs until it is logged in."""
    return (Claim("address_handshakes", rate_limit_key(peer_ip_from(call.peer()))),)
