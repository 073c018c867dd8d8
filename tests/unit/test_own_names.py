"""The simulator keeps to itself: it names no host of Meta's to contact, and knows no root but its own."""

import re
from pathlib import Path

import pytest

import interop_admin
import interop_client
import interop_demo
import interop_driver
import interop_protocol
import interop_server
import interop_workbench
import interopsim
import partner_server

PACKAGES = (
    interop_server, interop_protocol, interop_client, interop_admin, interop_demo, interop_driver, interop_workbench,
    interopsim, partner_server,
)  # fmt: skip
META_HOST = re.compile(
    r"[\w.-]*\b(?:whatsapp|facebook|fbcdn|fbsbx|instagram|messenger|meta)\.(?:com|net)\b", re.IGNORECASE
)
ANY_URL = re.compile(r"\b(?:https?|wss?)://([\w.-]+)")
NOT_A_HOST_HERE = {"s.whatsapp.net"}
"""The domain of WhatsApp users' JIDs: part of an address that is compared and never resolved."""
OWN_OR_RESERVED = re.compile(r"127\.0\.0\.1|localhost|[\w.-]+\.example")
WHATSAPPS_ROOT = "142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b"
"""The public key that certifies the real servers, in hexadecimal."""


def sources() -> dict[str, str]:
    files = (file for package in PACKAGES for file in Path(next(iter(package.__path__))).rglob("*.py"))
    return {str(file): file.read_text() for file in files}


@pytest.mark.requirement("SIM-08")
def test_no_host_of_metas_is_named() -> None:
    """Neither as a URL nor as a name; the only one is the domain of JIDs."""
    found = {(name, host) for name, text in sources().items() for host in META_HOST.findall(text)}
    assert {host.lower() for _, host in found} == NOT_A_HOST_HERE


@pytest.mark.requirement("SIM-08")
def test_urls_in_the_sources_lead_to_this_machine_or_nowhere() -> None:
    """Everything else that is contacted is registered by the operator."""
    hosts = {host for text in sources().values() for host in ANY_URL.findall(text)}
    assert hosts
    assert [host for host in hosts if not OWN_OR_RESERVED.fullmatch(host)] == []


@pytest.mark.requirement("SIM-08")
def test_whatsapps_root_is_not_known_here() -> None:
    """Who trusted it would take this simulator for WhatsApp, or the reverse."""
    spelt = {WHATSAPPS_ROOT, repr(bytes.fromhex(WHATSAPPS_ROOT))[2:-1]}
    assert [name for name, text in sources().items() if any(each in text.lower() for each in spelt)] == []


def test_the_search_finds_what_it_looks_for() -> None:
    """A search that finds nothing proves something only if it can find."""
    assert META_HOST.findall("GET https://mmg.whatsapp.net/v/t and V.whatsapp.net") == [
        "mmg.whatsapp.net",
        "V.whatsapp.net",
    ]
    assert ANY_URL.findall("https://graph.facebook.com/x") == ["graph.facebook.com"]
    assert not OWN_OR_RESERVED.fullmatch("graph.facebook.com")
