"""The checks as a whole: what they rest on, how they weigh, and that the profiles name them."""

import re
from collections.abc import Mapping

import pytest

from interop_api.conformance.v1 import driver_pb2 as pb
from interop_conformance import profile
from interop_conformance.catalogue import load
from interop_conformance.check import Check, Level, Subject
from interop_conformance.ledger import requirements
from interop_wrong.client import load as load_wrong_clients

CHECKS: Mapping[Subject, Mapping[str, Check]] = {subject: load(subject) for subject in Subject}
ALL = {name: check for checks in CHECKS.values() for name, check in checks.items()}
FIRM = {"documented", "white paper"}
FEATURES = {name.removeprefix("CLIENT_FEATURE_").lower() for name in pb.ClientFeature.keys()}  # noqa: SIM118


def test_ids_belong_to_one_check() -> None:
    """Whomever it judges."""
    assert len(ALL) == sum(len(checks) for checks in CHECKS.values())


@pytest.mark.parametrize("name", ALL)
def test_a_check_is_whole(name: str) -> None:
    """It rests on a row of the ledger, says what must hold in a sentence, and a must has the evidence for it."""
    check = ALL[name]
    evidence = set(requirements()[check.requirement].evidence)
    assert check.level is Level.SHOULD or evidence & FIRM or check.forced_by, f"{name} is a must on {evidence}"
    assert re.fullmatch(r"[A-Z].*\.", check.sentence, re.DOTALL) and 0 <= check.milestone <= 6
    assert check.judge.__doc__
    assert check.subject is not Subject.CLIENT or set(check.features) <= FEATURES
    assert check.subject is not Subject.CLIENT or (set(check.modes) <= {"direct", "proxy"} and check.modes)
    known = CHECKS[check.subject].keys() | (CHECKS[Subject.PARTNER].keys() if check.subject is Subject.PROXY else set())
    assert set(check.after) <= known, f"{name} rests on what does not exist"


def test_there_are_as_many_as_are_promised() -> None:
    """For each subject, attacks apart."""
    attacks = [check for check in CHECKS[Subject.CLIENT].values() if check.is_attack]
    assert len(CHECKS[Subject.CLIENT]) - len(attacks) >= 90 and len(attacks) >= 25
    assert len(CHECKS[Subject.PARTNER]) >= 30 and len(CHECKS[Subject.PROXY]) >= 8
    assert len(load_wrong_clients()) >= 45


def test_profiles_name_checks_that_exist() -> None:
    """A profile is frozen, so no check that it names may go."""
    for name in profile.names():
        assert profile.load(name).checks <= ALL.keys(), name


def test_the_newest_profile_has_all_checks() -> None:
    """Until it is released: then new checks join the next one."""
    assert profile.load(profile.names()[-1]).checks == ALL.keys()
