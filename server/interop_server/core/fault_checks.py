"""Which faults can be ordered: what could never come true is refused when it is ordered; carries out nothing.

Source: SIM-01.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import NoReturn

from interop_protocol.jid import JidError, parse_jid
from interop_protocol.sizes import MAX_INTEGRATOR
from interop_server.core.errors import Reason, Refusal, require_count
from interop_server.core.fault_rules import (
    ANSWERED,
    ANY_STANZA,
    FITTING,
    MAX_BITS,
    MAX_COPIES,
    MAX_DELAY_MS,
    MAX_NUMBER,
    MAX_VALUE_BYTES,
    ON_ANSWERS,
    Catalogue,
    Close,
    Direction,
    Ending,
    FaultMatch,
    FaultRule,
    FlipBits,
    Forge,
    ForgeReceipt,
    KeyPart,
    LoseAnswer,
    Part,
    Place,
    PresentCertificates,
    Refuse,
    ReplaceKeys,
    SpoilMedia,
    Truncate,
    word_of,
    word_of_kind,
)

REQUIREMENT = "SIM-01"
MAX_FAULTS = 100
"""Faults that are ordered at once; policy."""
MAX_REPLACEMENTS = len(KeyPart)
"""Parts in one rule: each once."""
MAX_FORGED_CHARACTERS = 320
"""Longest text that is forged; policy."""
_MOST_NAMED = 20
"""Names of things that a refusal lists: its text is in headers, of which clients take eight kilobytes."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_RANGES: Mapping[str, tuple[int, int]] = {
    "delay_ms": (1, MAX_DELAY_MS),
    "copies": (1, MAX_COPIES),
    "bits": (1, MAX_BITS),
    "keep_bytes": (0, MAX_NUMBER),
    "flip_bits": (0, MAX_BITS),
    "extra_bytes": (0, 1 << 20),
    "http_status": (200, 599),
    "chunk_delay_ms": (0, MAX_DELAY_MS),
    "retry_after_ms": (0, MAX_DELAY_MS),
    "timestamp_ms": (0, (1 << 63) - 1),
    "delivery_id": (0, (1 << 63) - 1),
}
"""Least and most of each number in an action."""
_DRAWN = (FlipBits,)
_NO_ACTOR_YET = ("actor", "peer", "integrator", "mode")
"""What nobody knows before a client has logged in, and of an anonymous request."""


def checked_all(rules: Sequence[FaultRule], catalogue: Catalogue, taken: Container[str] = ()) -> list[FaultRule]:
    """Returns rules that make sense, each of a name of its own.

    Args:
        rules: What is ordered.
        catalogue: What there is on the edges.
        taken: Names that others have.

    Raises:
        Refusal: REQUEST_MALFORMED, ALREADY_REGISTERED or TOO_MANY_ITEMS; fields begin with `faults[n]`.
    """
    require_count(len(rules), MAX_FAULTS, "faults", REQUIREMENT)
    found: dict[str, FaultRule] = {}
    for number, rule in enumerate(rules):
        try:
            if rule.name in taken or rule.name in found:
                detail = "there is a fault of this name"
                raise Refusal(Reason.ALREADY_REGISTERED, detail, field="name", requirement=REQUIREMENT)
            found[rule.name] = checked(rule, catalogue)
        except Refusal as refusal:
            refusal.put_under(f"faults[{number}]")
            raise
    return list(found.values())


def checked(rule: FaultRule, catalogue: Catalogue) -> FaultRule:
    """Returns a rule that says which way what it is about goes.

    Raises:
        Refusal: REQUEST_MALFORMED, with the field that is wrong.
    """
    if not _NAME.fullmatch(rule.name):
        _refuse("name", "`name` has 1 to 64 characters of A-Z, a-z, 0-9, `-`, `_`, `.`")
    place = _place(rule, catalogue)
    word = word_of(rule.action)
    if not isinstance(rule.action, FITTING[place]):
        fitting = ", ".join(sorted(map(word_of_kind, FITTING[place])))
        _refuse(word, f"`{word}` cannot be done to {place.value}: there, choose {fitting}")
    directed = replace(rule, match=replace(rule.match, direction=_direction(rule, place)))
    _check_match(directed.match, place, catalogue)
    _check_numbers(directed, word)
    _check_action(directed, place, word)
    if isinstance(rule.action, Refuse) and rule.action.requirement:
        _require_known(f"{word}.requirement", rule.action.requirement, catalogue.requirements)
    return directed


def _place(rule: FaultRule, catalogue: Catalogue) -> Place:
    match = rule.match
    if bool(match.call) == bool(match.stanza):
        _refuse("match", "name either a `call` or a `stanza` that the fault is about")
    if match.call:
        _require_known("match.call", match.call, catalogue.calls)
        return catalogue.calls[match.call]
    if match.stanza != ANY_STANZA:
        _require_known("match.stanza", match.stanza, (*catalogue.stanzas, ANY_STANZA))
    return Place.TO_CLIENT if _stanza_direction(rule, catalogue) is Direction.TO_CLIENT else Place.FROM_CLIENT


def _stanza_direction(rule: FaultRule, catalogue: Catalogue) -> Direction:
    ways = catalogue.stanzas.get(rule.match.stanza, frozenset(Direction))
    chosen = rule.match.direction
    if chosen is None:
        places = {Direction.TO_SERVER: Place.FROM_CLIENT, Direction.TO_CLIENT: Place.TO_CLIENT}
        ways = frozenset(way for way in ways if isinstance(rule.action, FITTING[places[way]])) or ways
        if len(ways) > 1:
            _refuse("match.direction", f"`{rule.match.stanza}` goes both ways: say which with `direction`")
        return next(iter(ways))
    if chosen not in ways:
        _refuse("match.direction", f"`{rule.match.stanza}` goes {_word(next(iter(ways)))} only")
    return chosen


def _direction(rule: FaultRule, place: Place) -> Direction:
    if place is Place.FROM_CLIENT:
        return Direction.TO_SERVER
    if place is Place.TO_CLIENT:
        return Direction.TO_CLIENT
    is_about_answers = isinstance(rule.action, LoseAnswer | ReplaceKeys | SpoilMedia | PresentCertificates)
    natural = Direction.TO_CLIENT if is_about_answers else Direction.TO_SERVER
    chosen = rule.match.direction or (Direction.TO_CLIENT if _waits_for_refusal(rule, place) else natural)
    can_turn = place in ANSWERED and isinstance(rule.action, ON_ANSWERS) and not is_about_answers
    if chosen is not natural and not can_turn:
        _refuse("match.direction", f"`{word_of(rule.action)}` is done {_word(natural)} there")
    return chosen


def _waits_for_refusal(rule: FaultRule, place: Place) -> bool:
    return bool(rule.match.requirement) and place in ANSWERED and isinstance(rule.action, ON_ANSWERS)


def _check_match(match: FaultMatch, place: Place, catalogue: Catalogue) -> None:
    for name in ("actor", "peer"):
        if jid := getattr(match, name):
            _require_jid(f"match.{name}", jid)
    if not 0 <= match.integrator <= MAX_INTEGRATOR:
        _refuse("match.integrator", f"`integrator` is 1 to {MAX_INTEGRATOR}")
    if not 1 <= match.nth <= MAX_NUMBER:
        _refuse("match.nth", f"`nth` is 1 to {MAX_NUMBER:,}")
    known = {
        Place.HTTP: (),
        Place.HTTP_DOWNLOAD: (),
        Place.PARTNER: ("integrator",),
    }.get(place, _NO_ACTOR_YET)
    for name in _NO_ACTOR_YET:
        if getattr(match, name) and name not in known:
            _refuse(f"match.{name}", f"nobody knows the `{name}` of {place.value}")
    if match.requirement:
        _require_known("match.requirement", match.requirement, catalogue.requirements)
        if match.direction is not Direction.TO_CLIENT:
            _refuse("match.requirement", "only an answer rests on a requirement: choose what happens to answers")


def _check_numbers(rule: FaultRule, word: str) -> None:
    if rule.times is not None and not 1 <= rule.times <= MAX_NUMBER:
        _refuse("times", f"`times` is 1 to {MAX_NUMBER:,}; leave it out for every time")
    if not 1 <= rule.chance_percent <= 100:
        _refuse("chance_percent", "`chance_percent` is 1 to 100")
    if rule.seed is None and (rule.chance_percent < 100 or _draws(rule)):
        _refuse("seed", "what is left to chance needs a `seed`, so that it comes out the same again")
    for field in fields(rule.action):
        value, bounds = getattr(rule.action, field.name), _RANGES.get(field.name)
        if bounds is not None and value is not None and not bounds[0] <= value <= bounds[1]:
            _refuse(f"{word}.{field.name}", f"`{field.name}` is {bounds[0]:,} to {bounds[1]:,}")


def _draws(rule: FaultRule) -> bool:
    return isinstance(rule.action, _DRAWN) or (isinstance(rule.action, SpoilMedia) and bool(rule.action.flip_bits))


def _check_action(rule: FaultRule, place: Place, word: str) -> None:
    match rule.action:
        case Refuse(reason, _, requirement) if not (requirement or reason.requirement):
            _refuse(f"{word}.requirement", f"{reason.name} rests on many requirements: say which one it names here")
        case Close(ending=Ending.CLEAN) if place not in (Place.LOGIN, Place.FROM_CLIENT, Place.TO_CLIENT):
            _refuse(f"{word}.ending", "only a chat channel can end cleanly without an answer: choose RESET")
        case PresentCertificates():
            _require_nobody(rule.match)
        case Truncate(part=part) | FlipBits(part=part):
            _check_part(part, rule.match.stanza, place, word)
        case ReplaceKeys(replacements):
            _check_replacements(rule.action, word, len(replacements))
        case SpoilMedia() as media:
            _check_media(media, place, word)
        case Forge() as forged:
            _check_forged(forged, rule.match.stanza, word)
        case ForgeReceipt() if rule.match.stanza != "message":
            _refuse("match.stanza", "a receipt can be forged for a `message` alone")


def _require_nobody(match: FaultMatch) -> None:
    for name in _NO_ACTOR_YET:
        if getattr(match, name):
            _refuse(f"match.{name}", f"certificates are shown before the server knows any `{name}`")


def _check_media(media: SpoilMedia, place: Place, word: str) -> None:
    if media == SpoilMedia():
        _refuse(word, "say what is wrong with the media")
    if media.http_status is not None and place is Place.DOWNLOAD:
        _refuse(f"{word}.http_status", "a status is for downloads over HTTP")


def _check_part(part: Part, stanza: str, place: Place, word: str) -> None:
    if part is Part.STANZA and place is not Place.TO_CLIENT:
        _refuse(f"{word}.part", "only stanzas to clients can be damaged as a whole")
    if part is Part.CIPHERTEXT and stanza not in ("message", ANY_STANZA):
        _refuse("match.stanza", "only a `message` has a ciphertext: choose it, or the part STANZA")


def _check_replacements(action: ReplaceKeys, word: str, count: int) -> None:
    if not 1 <= count == len({each.part for each in action.replacements}):
        _refuse(f"{word}.replacements", "name parts of the bundle, each once")
    for number, (_, value) in enumerate(action.replacements):
        if value is not None and not 1 <= len(value) <= MAX_VALUE_BYTES:
            _refuse(f"{word}.replacements[{number}].value", f"a value has 1 to {MAX_VALUE_BYTES:,} bytes")


def _check_forged(forged: Forge, stanza: str, word: str) -> None:
    if forged == Forge():
        _refuse(word, "say what is written into the stanza")
    for name in ("from_jid", "message_id"):
        if len(getattr(forged, name) or "") > MAX_FORGED_CHARACTERS:
            _refuse(f"{word}.{name}", f"`{name}` has at most {MAX_FORGED_CHARACTERS} characters")
    if stanza not in ("message", "receipt", "retry_receipt", "typing", "notification"):
        _refuse("match.stanza", "only a message, receipt, retry_receipt, typing or notification can be forged")


def _require_jid(field: str, jid: str) -> None:
    try:
        if parse_jid(jid).text == jid:
            return
    except JidError:
        pass
    _refuse(field, f"`{field.rpartition('.')[2]}` is a JID, such as 17-10000000000001@interop")


def _require_known(field: str, word: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if word in names:
        return
    near = get_close_matches(word, names, 1, 0.4)
    if near:
        hint = f"did you mean {near[0]}"
    elif len(names) <= _MOST_NAMED:
        hint = f"choose one of {', '.join(names)}"
    else:  # in a header, which has room for eight kilobytes
        hint = f"names are such as {', '.join(names[:: len(names) // _MOST_NAMED])}"
    _refuse(field, f"`{field.rpartition('.')[2]}` names nothing that there is: {hint}")


def _word(direction: Direction) -> str:
    return direction.name.lower().replace("_", " the ")


def _refuse(field: str, detail: str) -> NoReturn:
    raise Refusal(Reason.REQUEST_MALFORMED, detail, field=field, requirement=REQUIREMENT)
