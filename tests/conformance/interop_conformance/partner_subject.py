"""The messenger's server that is judged: where it is, as somebody has named it; knows no check."""

import asyncio
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

REACH_SECONDS = 5.0
"""How long a server may take to accept a connection, before `--time-factor`."""


class PartnerUnusable(Exception):
    """What was said about the messenger's server cannot be used. The text is a sentence."""


@dataclass(frozen=True, slots=True)
class PartnerFacts:
    """What somebody has said about a messenger's server. URLs end without a slash."""

    base_url: str
    issuer: str
    """The `iss` of its tokens."""
    token_command: tuple[str, ...] = field(repr=False)
    """Prints a token for the user who is its last argument."""
    users: tuple[str, str] = ("kit-user", "kit-user-2")
    """Two users of the messenger, for whom it gives tokens."""
    push_url: str = ""
    media_url: str = ""
    media_reference: str = ""
    """A file that its media server has; empty where the kit puts files of its own."""
    media_put: bool = False
    """Whether `PUT {media_url}/{reference}` stores a file."""
    proxy_url: str = ""
    proxy_key_url: str = ""
    """Where `GET ?user=…` gives the auth key that the proxy holds for a user."""
    hook_url: str = ""
    """Where it is told about the simulator; empty when somebody has told it otherwise."""

    @property
    def features(self) -> frozenset[str]:
        """What can be judged of it, as checks name it in `features`."""
        has = {
            "push": bool(self.push_url),
            "media": bool(self.media_url),
            "uploads": bool(self.media_url) and self.media_put,
            "proxy": bool(self.proxy_url),
        }
        return frozenset(name for name, is_so in has.items() if is_so)

    def urls(self) -> Iterator[tuple[str, str]]:
        """Yields the option and the URL of all that the kit may contact."""
        yield "--base-url", self.base_url
        for option, url in (
            ("--push-url", self.push_url),
            ("--media-url", self.media_url),
            ("--proxy", self.proxy_url),
            ("--proxy-key-url", self.proxy_key_url),
            ("--simulator-hook", self.hook_url),
        ):
            if url:
                yield option, url

    def hosts(self) -> frozenset[tuple[str, int]]:
        """Returns the hosts and ports that were named: the kit contacts no other."""
        return frozenset(place_of(url) for _, url in self.urls())


@dataclass(frozen=True, slots=True)
class PartnerChoices:
    """How a run is done."""

    listen: tuple[str, int] = ("127.0.0.1", 0)
    """Where the kit serves WhatsApp's keys."""
    chat: str = ""
    """Where the simulator is for clients and for the proxy, `host:port`; empty for a free port."""
    seed: int = 1
    time_factor: float = 1.0


MISSING = {
    "push": "No --push-url was given.",
    "media": "No --media-url was given.",
    "uploads": "The kit may not put files there: no --media-put.",
    "proxy": "No --proxy was given.",
}
"""Why a check does not apply, by the feature that it needs."""

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def place_of(url: str) -> tuple[str, int]:
    """Returns host and port of a URL that `read_url` has taken."""
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme]


def read_url(option: str, url: str, *, is_remote_allowed: bool, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """Returns a URL as the kit uses it, without a slash at its end.

    Args:
        option: Where it was given, for the sentence.
        url: The URL.
        is_remote_allowed: Whether it may be on another machine.
        schemes: Which ones it may have.

    Raises:
        PartnerUnusable: It is none, or is elsewhere.
    """
    parts = _split(option, url)
    if parts.scheme not in schemes or not parts.hostname:
        raise PartnerUnusable(f"{option} must be an absolute URL with {' or '.join(schemes)}.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise PartnerUnusable(f"{option} must have no user, password, query or fragment.")
    if not is_remote_allowed and not is_loopback(parts.hostname):
        raise PartnerUnusable(
            f"{option} is on another machine, {parts.hostname}: add --allow-remote if it is yours to test. "
            "The kit sends hostile requests."
        )
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine without asking anybody: `localhost`, or a loopback address."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_command(text: str) -> tuple[str, ...]:
    """Returns the words of a command, which no shell sees.

    Raises:
        PartnerUnusable: It is none, or there is no such program.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise PartnerUnusable(f"--token-command cannot be split into words: {error}.") from error
    if not words:
        raise PartnerUnusable("--token-command is empty: name a program that prints a token for its last argument.")
    if shutil.which(words[0]) is None:
        raise PartnerUnusable(f"--token-command: there is no program {words[0]!r}.")
    return words


async def require_reach(facts: PartnerFacts, time_factor: float) -> None:
    """Connects to each address that was named, once.

    Raises:
        PartnerUnusable: Nobody listens there.
    """
    for host, port in sorted(facts.hosts()):
        option = next(option for option, url in facts.urls() if place_of(url) == (host, port))
        try:
            async with asyncio.timeout(REACH_SECONDS * time_factor):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            detail = str(error) or "no answer in time"
            raise PartnerUnusable(f"{option}: {host}:{port} cannot be reached: {detail}.") from error
        writer.close()


def _split(option: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise PartnerUnusable(f"{option} is no URL: {error}.") from error
    if any(character <= " " or character == "\x7f" for character in url):
        raise PartnerUnusable(f"{option} is no URL: it has blanks or control characters.")
    return parts
