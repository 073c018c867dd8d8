"""Partners and their key sets."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from interop_server.core.model import IdentifierType, Partner, PartnerStatus
from interop_server.core.store import Store

from .conftest import BATS, NOW_MS, OWLS, partner


async def test_a_partner_comes_back_as_it_was_put(store: Store) -> None:
    """Every field survives, by integrator id and by issuer."""
    bats = partner(BATS, status=PartnerStatus.ONBOARDING, proxy_allowed=False, push_url="", group_messaging=True)
    await store.partners.put(bats)
    assert await store.partners.get(BATS) == bats
    bats = partner(BATS, proxy_allowed=True, group_messaging=False)
    await store.partners.put(bats)
    assert await store.partners.get(BATS) == bats
    assert await store.partners.get_by_issuer(bats.issuer) == bats


async def test_an_unknown_partner_is_none(store: Store) -> None:
    """Neither id nor issuer raises."""
    assert await store.partners.get(999) is None
    assert await store.partners.get_by_issuer("https://nobody.example") is None


async def test_what_users_are_called_by_is_known_of_partners_that_exist(store: Store) -> None:
    """Each once, however often it is named (OPT-08)."""
    await store.partners.put(partner(OWLS, identifier_type=IdentifierType.EMAIL))
    types = {BATS: IdentifierType.USERNAME, OWLS: IdentifierType.EMAIL}
    assert await store.partners.get_identifier_types([OWLS, 998, BATS, 0, BATS]) == types
    assert await store.partners.get_identifier_types([]) == {}


async def test_put_partner_replaces_and_keeps_the_key_set(store: Store) -> None:
    """A changed partner keeps the last good copy of its keys (ENL-03)."""
    await store.partners.put_jwks(BATS, '{"keys": []}', NOW_MS)
    await store.partners.put(partner(BATS, issuer="https://new.example"))
    assert await store.partners.get_by_issuer("https://100.example") is None
    assert await store.partners.get_jwks(BATS) == '{"keys": []}'


async def test_an_issuer_belongs_to_one_integrator(store: Store) -> None:
    """Taking another's issuer raises KeyError and changes nothing; keeping one's own does not."""
    with pytest.raises(KeyError):
        await store.partners.put(partner(OWLS, issuer=partner(BATS).issuer))
    assert await store.partners.get(OWLS) == partner(OWLS)
    await store.partners.put(partner(OWLS))


async def test_a_change_sees_what_is_there_and_is_all_or_nothing(store: Store) -> None:
    """Nothing comes between the look and the change; a change that fails leaves the partner as it was."""
    before = partner(BATS)
    renamed = replace(before, name="Bats & Sons", icon="")
    assert await store.partners.change(BATS, lambda _: renamed) == (before, renamed)
    assert await store.partners.change(50, lambda found: found or partner(50)) == (None, partner(50))

    def append(digit: str) -> Callable[[Partner | None], Partner]:
        return lambda found: replace(found or before, icon=(found or before).icon + digit)

    await asyncio.gather(*(store.partners.change(BATS, append(str(digit))) for digit in range(10)))
    assert await store.partners.get(BATS) == replace(renamed, icon="0123456789")

    def refuse(_: Partner | None) -> Partner:
        raise LookupError

    with pytest.raises(LookupError):
        await store.partners.change(OWLS, refuse)
    with pytest.raises(KeyError):
        await store.partners.change(OWLS, lambda _: partner(OWLS, name="Owl", issuer=before.issuer))
    assert await store.partners.get(OWLS) == partner(OWLS)


async def test_partners_are_listed_by_integrator_id(store: Store) -> None:
    """Ascending, whatever the order in which they came."""
    await store.partners.put(partner(50))
    assert [found.integrator for found in await store.partners.list_all()] == [50, BATS, OWLS]


async def test_the_last_key_set_replaces_the_one_before(store: Store) -> None:
    """None before the first."""
    assert await store.partners.get_jwks(BATS) is None
    await store.partners.put_jwks(BATS, "1", NOW_MS)
    await store.partners.put_jwks(BATS, "2", NOW_MS + 1)
    assert (await store.partners.get_jwks(BATS), await store.partners.get_jwks(OWLS)) == ("2", None)
    for _ in range(2):
        await store.partners.delete_jwks(BATS)
    assert await store.partners.get_jwks(BATS) is None
