"""Every number that bounds the service, each with its unit, range, requirement and origin, as data.

"Policy" marks a value that is not public: it is the simulator's choice, never WhatsApp's.
"""

from dataclasses import dataclass, fields

from interop_protocol.sizes import (
    MAX_BUNDLE_USERS,
    MAX_FRAME_BYTES,
    MAX_KEM_PREKEYS,
    MAX_ONE_TIME_PREKEYS,
    MAX_RESOLVE_USERS,
    MAX_SERVER_FRAME_BYTES,
    MIN_CLIENT_FRAME_BYTES,
)
from interop_server.core.limit_facts import (
    BYTES,
    COUNT,
    DAYS,
    HOURS,
    LIST,
    MILLISECONDS,
    NODE,
    RATE,
    SECONDS,
    SWITCH,
    TEXT,
    WORLD,
    About,
    Scope,
    limit,
)

SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS
DAY_MS = 24 * HOUR_MS
EARLIEST_TIME_MS = 946_684_800_000
"""2000-01-01: no clock starts earlier. SIM-04; policy."""
LATEST_TIME_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: later times have no usual notation. SIM-04; policy."""
EEA_CALLING_CODES = (
    "30", "31", "32", "33", "34", "351", "352", "353", "354", "356", "357", "358", "359", "36", "370", "371",
    "372", "385", "386", "39", "40", "420", "421", "423", "43", "45", "46", "47", "48", "49",
)  # fmt: skip


STANZA_OVERHEAD_BYTES = 512
"""More than a message stanza holds beside its ciphertext: ids, addresses, tag and field headers."""
LEAST_UPLOAD_BYTES = 65_536
"""What an upload counts as at least: its file, its row and its name cost more than a few bytes. MED-07; policy."""

LONGEST_REPEATABLE_BYTES = 1 << 20
"""More than what an answer takes up that is remembered for a repetition: 256 bundles with KEM prekeys (SIM-01)."""

STEADY = "the same, for each second after the burst"


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the service."""

    min_protocol_version: int = limit(1, COUNT, "ENL-15", "oldest interop protocol version that is taken", "policy")
    token_clock_skew_seconds: int = limit(
        30, SECONDS, "ENL-05", "by how much the clock of a token's issuer may differ", "policy", least=0
    )
    token_max_life_seconds: int = limit(
        3_600, SECONDS, "ENL-05", "longest life of a token", "policy, as long as the documented push token"
    )
    token_audience: str = limit(
        "interopsim",
        TEXT,
        "ENL-07",
        "the `aud` that partner tokens must name",
        "policy: the claim names are not public",
    )
    jwks_refresh_seconds: int = limit(300, SECONDS, "ENL-03", "how often key sets are fetched", "policy")
    jwks_early_refetch_seconds: int = limit(
        10, SECONDS, "ENL-04", "an unknown `kid` causes at most one fetch in this time", "policy", scope=NODE
    )
    enlist_partner_burst: int = limit(
        10_000, COUNT, "ENL-17", "enlistments of one partner's users at once", "policy", scope=NODE
    )
    enlist_partner_per_second: float = limit(100.0, RATE, "ENL-17", STEADY, "policy", scope=NODE)
    enlist_identifier_burst: int = limit(20, COUNT, "ENL-17", "enlistments of one user at once", "policy", scope=WORLD)
    enlist_identifier_per_second: float = limit(0.1, RATE, "ENL-17", STEADY, "policy", scope=WORLD)
    enlist_address_burst: int = limit(
        10_000,
        COUNT,
        "PRX-07",
        "enlistments from one address at once, which may be a messenger's server",
        "policy",
        scope=NODE,
    )
    enlist_address_per_second: float = limit(100.0, RATE, "PRX-07", STEADY, "policy", scope=NODE)
    login_client_burst: int = limit(
        1_000,
        COUNT,
        "PRX-07",
        "logins at once from one end client's address, which many clients of a network may share",
        "policy",
        scope=NODE,
    )
    login_client_per_second: float = limit(10.0, RATE, "PRX-07", STEADY, "policy", scope=NODE)
    login_proxy_burst: int = limit(
        10_000,
        COUNT,
        "PRX-07",
        "logins at once through one proxy's address, and from this machine's, where tests connect from",
        "policy",
        scope=NODE,
    )
    login_proxy_per_second: float = limit(100.0, RATE, "PRX-07", STEADY, "policy", scope=NODE)
    max_frame_bytes: int = limit(
        1 << 20,
        BYTES,
        "CHN-09",
        "largest sealed frame",
        "policy, under the observed hard cap of 2^24",
        least=32_768,
        most=MAX_FRAME_BYTES,
    )
    max_batch_stanzas: int = limit(1_024, COUNT, "CHN-09", "most stanzas in a batch", "policy", most=65_536)
    max_ciphertext_bytes: int = limit(
        96 * 1_024,
        BYTES,
        "MSG-11",
        "largest ciphertext of a message",
        "policy, Signal's cap for an envelope",
        most=MAX_SERVER_FRAME_BYTES - STANZA_OVERHEAD_BYTES,
    )
    max_unacked_deliveries: int = limit(
        2_048, COUNT, "MSG-09", "deliveries in flight to one client", "policy", most=1_000_000
    )
    handshake_seconds: int = limit(20, SECONDS, "CHN-01", "how long a handshake may take", "observed connect timeout")
    reconnect_ms: int = limit(
        SECOND_MS,
        MILLISECONDS,
        "CHN-10",
        "when a client connects again that the stopping server let go, or whose handshake took too long",
        "policy",
    )
    certificate_days: int = limit(
        365,
        DAYS,
        "CHN-04",
        "how long the server's certificates are valid; 0 makes expired ones, which clients must refuse",
        "policy",
        least=0,
    )
    keepalive_seconds: int = limit(30, SECONDS, "CHN-12", "how often a client says something at least", "observed")
    silent_seconds: int = limit(180, SECONDS, "CHN-12", "how long a client may be silent", "observed")
    repeat_seconds: int = limit(
        600, SECONDS, "SIM-01", "how long a call's answer is remembered for a repetition under its request id", "policy"
    )
    repeat_answers: int = limit(100, COUNT, "SIM-01", "how many are remembered of one caller", "policy", scope=NODE)
    repeat_bytes: int = limit(
        4 << 20,
        BYTES,
        "SIM-01",
        "how much is remembered of one caller",
        "policy",
        least=LONGEST_REPEATABLE_BYTES,
        scope=NODE,
    )
    repeat_total_bytes: int = limit(
        64 << 20,
        BYTES,
        "SIM-01",
        "how much is remembered of all callers",
        "policy",
        least=LONGEST_REPEATABLE_BYTES,
        scope=NODE,
    )
    prekeys_low_count: int = limit(
        10,
        COUNT,
        "KEY-09",
        "with fewer one-time prekeys than this an account is told",
        "observed in the official apps",
        least=0,
    )
    stored_prekeys: int = limit(
        100_000,
        COUNT,
        "KEY-03",
        "one-time prekeys that an account may store, and as many KEM ones",
        "policy",
        least=MAX_ONE_TIME_PREKEYS,
        most=500_000,  # their ids are one answer, which a client takes up to 4 MiB (KEY-10)
        scope=WORLD,
    )
    remembered_prekeys: int = limit(
        200_000,
        COUNT,
        "KEY-04",
        "published one-time prekeys of an account that are remembered, the newest, and as many KEM ones",
        "policy",
        least=MAX_ONE_TIME_PREKEYS,
        scope=WORLD,
    )
    prekey_publish_burst: int = limit(
        50_000,
        COUNT,
        "KEY-03",
        "prekeys that one account may publish at once, of all kinds",
        "policy: two full lists, and some",
        least=MAX_ONE_TIME_PREKEYS + MAX_KEM_PREKEYS + 2,
        scope=NODE,
    )
    prekey_publish_per_second: float = limit(10.0, RATE, "KEY-03", STEADY, "policy", scope=NODE)
    max_bundles: int = limit(
        MAX_BUNDLE_USERS, COUNT, "KEY-07", "users whose bundles one call may take", "policy", most=MAX_BUNDLE_USERS
    )
    bundle_burst: int = limit(
        1_024, COUNT, "KEY-14", "prekey bundles that one account may take at once", "policy", scope=WORLD
    )
    bundle_per_second: float = limit(10.0, RATE, "KEY-14", STEADY, "policy", scope=WORLD)
    bundle_target_burst: int = limit(
        6,
        COUNT,
        "KEY-14",
        "prekey bundles of one account that another may take at once",
        "policy: Signal's 6 in 10 minutes",
        scope=WORLD,
    )
    bundle_target_per_second: float = limit(0.01, RATE, "KEY-14", STEADY, "policy", scope=WORLD)
    kem_prekeys: bool = limit(
        False,
        SWITCH,
        "KEY-15",
        "whether accounts may publish post-quantum prekeys",
        "observed behind a switch in official clients, and off here by policy",
    )
    resolve_burst: int = limit(
        1_024, COUNT, "OPT-09", "identifiers that one account may look up at once", "policy", scope=WORLD
    )
    resolve_per_second: float = limit(10.0, RATE, "OPT-09", STEADY, "policy", scope=WORLD)
    send_burst: int = limit(
        10_000, COUNT, "MSG-11", "messages from one sender to one recipient at once", "policy", scope=NODE
    )
    send_per_second: float = limit(2_000.0, RATE, "MSG-11", STEADY, "policy", scope=NODE)
    retry_burst: int = limit(
        2_000, COUNT, "RCP-03", "messages that one account may ask for again at once", "policy", scope=NODE
    )
    retry_per_second: float = limit(100.0, RATE, "RCP-03", STEADY, "policy", scope=NODE)
    typing_seconds: int = limit(20, SECONDS, "MSG-13", "how long a typing indicator holds", "policy")
    typing_burst: int = limit(10, COUNT, "MSG-13", "typing indicators from one account at once", "policy", scope=NODE)
    typing_per_second: float = limit(1.0, RATE, "MSG-13", STEADY, "policy", scope=NODE)
    max_mailbox_items: int = limit(
        20_000, COUNT, "MSG-11", "items that one mailbox holds", "policy", least=0, scope=WORLD
    )
    max_mailbox_bytes: int = limit(
        64 << 20, BYTES, "MSG-11", "bytes that one mailbox holds", "policy", least=0, scope=WORLD
    )
    sent_message_days: int = limit(
        60,
        DAYS,
        "MSG-04 RCP-05 MED-08",
        "how long it is remembered that a message was sent, not what it says",
        "policy, twice as long as the mailbox, since people read messages, and fetch their blobs, long after delivery",
    )
    mailbox_full_retry_ms: int = limit(
        60 * SECOND_MS, MILLISECONDS, "MSG-11", "when to try a full mailbox again", "policy"
    )
    mailbox_days: int = limit(30, DAYS, "MSG-07", "how long the mailbox keeps an item", "documented")
    unenlist_days: int = limit(30, DAYS, "LIF-04", "how long an enlistment lasts without a connection", "documented")
    connected_note_seconds: int = limit(
        3_600,
        SECONDS,
        "LIF-04",
        "how often it is noted who is connected, so that a crash makes no account look longer absent",
        "policy",
    )
    pings_per_day: int = limit(
        20,
        COUNT,
        "OPT-12",
        "reachability pings of one third-party user, whatever becomes of them",
        "policy",
        least=0,
        scope=WORLD,
    )
    ping_days: int = limit(30, DAYS, "OPT-12", "how long an unanswered ping is outstanding", "policy")
    max_outstanding_pings: int = limit(
        100, COUNT, "OPT-12", "outstanding pings for one WhatsApp user", "policy", least=0, scope=WORLD
    )
    recent_chat_days: int = limit(
        30,
        DAYS,
        "KEY-17",
        "a chat with a message in this time is a recent conversation",
        "policy, as long as the mailbox",
    )
    new_chats: int = limit(
        50,
        COUNT,
        "ABU-05",
        "unanswered chats that a third-party user may have opened within `new_chats_hours`",
        "policy",
        least=0,
        scope=WORLD,
    )
    new_chats_hours: int = limit(24, HOURS, "ABU-05", "how long an unanswered chat counts against that cap", "policy")
    trusted_bucket_days: int = limit(
        7, DAYS, "OPT-14", "trusted-contact marks are renewed in steps of this", "observed"
    )
    trusted_buckets: int = limit(
        4, COUNT, "OPT-14", "how many steps, the one it was given in included, a mark holds", "observed"
    )
    max_blocked: int = limit(
        10_000,
        COUNT,
        "ABU-01",
        "users that one account may block",
        "policy",
        least=0,
        most=100_000,  # the list is one answer, as above (ABU-02)
        scope=WORLD,
    )
    ended_sanction_days: int = limit(1, DAYS, "ABU-05", "how long it stays known that a sanction has ended", "policy")
    report_days: int = limit(
        7, DAYS, "ABU-04", "how long after it was sent a message can be reported", "policy, analogous practice"
    )
    report_burst: int = limit(20, COUNT, "ABU-03", "reports of one account at once", "policy", scope=WORLD)
    report_per_second: float = limit(0.01, RATE, "ABU-03", STEADY, "policy", scope=WORLD)
    report_weight_days: int = limit(
        30, DAYS, "ABU-05 ABU-08", "how long a report that counts weighs, and is kept", "policy"
    )
    reports_until_lock: int = limit(
        3,
        COUNT,
        "ABU-05",
        "people whose reports count until the reported user may open no new chats for a time",
        "policy",
        scope=WORLD,
    )
    new_chats_lock_hours: int = limit(
        24, HOURS, "ABU-05", "how long that lock lasts; every further report that counts renews it", "policy"
    )
    reports_until_ban: int = limit(
        5, COUNT, "ABU-05", "people whose reports count until the first temporary ban", "policy", scope=WORLD
    )
    reports_until_next_ban: int = limit(
        2, COUNT, "ABU-05", "further people until each further ban", "policy", scope=WORLD
    )
    temporary_ban_hours: int = limit(
        24,
        HOURS,
        "ABU-05",
        "how long the first temporary ban lasts, and half of the second, a quarter of the third",
        "policy",
    )
    temporary_bans: int = limit(
        3, COUNT, "ABU-05", "temporary bans before the one for good", "policy", least=0, most=64, scope=WORLD
    )
    capped_until_ban: int = limit(
        100,
        COUNT,
        "ABU-05",
        "attempts beyond the cap on new chats, within its time, until a temporary ban",
        "policy",
        least=0,
        scope=WORLD,
    )
    points_per_report: int = limit(
        10, COUNT, "ABU-07", "weight of a report that counts in the score", "policy", least=0
    )
    points_per_block: int = limit(
        3, COUNT, "ABU-07", "weight of being blocked by a user whom one has a chat with", "policy", least=0
    )
    points_per_unanswered_chat: int = limit(
        1, COUNT, "ABU-07", "weight of an unanswered chat that a third-party user opened", "policy", least=0
    )
    points_per_shared_address: int = limit(
        1,
        COUNT,
        "ABU-07",
        "weight of another third-party user connected directly from the same address",
        "policy",
        least=0,
    )
    max_points_for_shared_address: int = limit(
        10, COUNT, "ABU-07", "most points for a shared address", "policy", least=0
    )
    score_until_lock: int = limit(
        100,
        COUNT,
        "ABU-07",
        "with this score, any report that counts leads to a lock on new chats",
        "policy",
        least=0,
        scope=WORLD,
    )
    banned_users_until_suspension: int = limit(
        0,
        COUNT,
        "ABU-07",
        "users of a partner who are banned for good until it is suspended as a whole; 0 for never",
        "policy",
        least=0,
        scope=WORLD,
    )
    challenge_seconds: int = limit(600, SECONDS, "ABU-06", "how long a challenge can be answered", "policy")
    challenge_burst: int = limit(
        10, COUNT, "ABU-06", "challenges that one account may begin at once", "policy, analogous practice", scope=WORLD
    )
    challenge_per_second: float = limit(
        1 / (144 * 60), RATE, "ABU-06", STEADY, "policy, analogous practice: one every 144 minutes", scope=WORLD
    )
    challenge_success_burst: int = limit(
        2, COUNT, "ABU-06", "right answers of one account that count at once", "policy, analogous practice", scope=WORLD
    )
    challenge_success_per_second: float = limit(
        1 / (12 * 3_600), RATE, "ABU-06", STEADY, "policy, analogous practice: one every 12 hours", scope=WORLD
    )
    upload_auth_seconds: int = limit(3_600, SECONDS, "MED-05", "how long a permission to upload holds", "policy")
    max_blob_bytes: int = limit(
        2 << 30, BYTES, "MED-07", "largest blob", "policy, the observed large-file mark of 2,048 MB"
    )
    upload_burst: int = limit(
        16 << 30,
        BYTES,
        "MED-07 SIM-06",
        f"bytes that one account may upload at once; an upload counts as {LEAST_UPLOAD_BYTES} at least",
        "policy: eight of the largest blobs",
        least=LEAST_UPLOAD_BYTES,
        scope=WORLD,
    )
    upload_per_second: float = limit(8_192.0, RATE, "MED-07 SIM-06", STEADY, "policy", scope=WORLD)
    media_days: int = limit(30, DAYS, "MED-07", "how long a blob is kept", "policy, as long as the mailbox")
    stale_upload_seconds: int = limit(3_600, SECONDS, "MED-07", "how long an unfinished upload is kept", "policy")
    partner_media_seconds: float = limit(
        30.0,
        SECONDS,
        "MED-03",
        "how long a partner's media server may take to connect, and between two reads",
        "policy",
        least=0.001,
    )
    account_calls: int = limit(
        256,
        COUNT,
        "SIM-06",
        "calls of one account at once beside its chat channel, transfers and answers that it does not take included",
        "policy",
        scope=NODE,
    )
    account_downloads: int = limit(16, COUNT, "SIM-06 MED-04", "downloads of one account at once", "policy", scope=NODE)
    account_uploads: int = limit(16, COUNT, "SIM-06 MED-07", "uploads of one account at once", "policy", scope=NODE)
    address_handshakes: int = limit(
        2_000, COUNT, "SIM-06 CHN-01", "unfinished handshakes from one address at once", "policy", scope=NODE
    )
    address_calls: int = limit(
        20_000,
        COUNT,
        "SIM-06",
        "calls from one address at once, chat channels included: behind it may be a proxy with many clients",
        "policy",
        least=2,  # a chat channel, and a call beside it
        scope=NODE,
    )
    address_transfers: int = limit(
        64,
        COUNT,
        "SIM-06 MED-04 MED-07",
        "downloads and uploads from one address at once, over gRPC and HTTP",
        "policy",
        scope=NODE,
    )
    transfers: int = limit(
        128, COUNT, "SIM-06 MED-04 MED-07", "downloads and uploads at once in all", "policy", scope=NODE
    )
    partner_media_requests: int = limit(
        32, COUNT, "SIM-06 MED-03", "requests to partners' media servers at once", "policy", scope=NODE
    )
    partner_media_each: int = limit(
        24,
        COUNT,
        "SIM-06 MED-03",
        "requests to the media server of one partner at once: one that does not answer leaves room for others",
        "policy: more than one address has, and three quarters of all",
        scope=NODE,
    )
    address_partner_media: int = limit(
        16,
        COUNT,
        "SIM-06 MED-03",
        "downloads from partners' media servers for one address at once, over gRPC and HTTP",
        "policy: half of all",
        scope=NODE,
    )
    address_watches: int = limit(
        64, COUNT, "SIM-06", "calls of health checks and reflection from one address at once", "policy", scope=NODE
    )
    journal_readers: int = limit(32, COUNT, "SIM-06 SIM-07", "readers of the journal at once", "policy", scope=NODE)
    trace_readers: int = limit(8, COUNT, "SIM-06", "readers of the trace at once", "policy", scope=NODE)
    trace_entries: int = limit(
        50_000, COUNT, "SIM-06", "messages of chat channels that the trace keeps", "policy", scope=NODE
    )
    trace_bytes: int = limit(
        32 << 20, BYTES, "SIM-06", "memory that the messages kept by the trace take up together", "policy", scope=NODE
    )
    http_connections: int = limit(
        1_024,
        COUNT,
        "SIM-06",
        "connections to the HTTP surface at once, fewer where few files may be open",
        "policy",
        scope=NODE,
    )
    silent_connection_seconds: int = limit(
        20,
        SECONDS,
        "SIM-06",
        "how long a new connection may say nothing, of HTTP/2 or of HTTP, or not acknowledge its settings",
        "policy",
        most=86_400,
    )
    connection_streams: int = limit(
        4_096, COUNT, "SIM-06", "calls at once on one HTTP/2 connection, which clients may share", "policy", least=2
    )
    waiting_bytes: int = limit(
        64 << 20,
        BYTES,
        "SIM-06 MSG-09",
        "bytes that wait in memory for all chat channels together, and as many of answers that nobody takes",
        "policy",
        least=1 << 20,
        scope=NODE,
    )
    eligible_calling_codes: tuple[str, ...] = limit(
        EEA_CALLING_CODES,
        LIST,
        "OPT-04",
        "calling codes of the EEA countries",
        "the list is policy; that the number's region counts is documented",
    )

    @property
    def most_look_ups(self) -> int:
        """How many identifiers one request may have: what no bucket ever holds, no waiting would help (OPT-08)."""
        return min(MAX_RESOLVE_USERS, self.resolve_burst)

    @property
    def most_bundles(self) -> int:
        """How many users one request for bundles may name: as for look-ups (KEY-07)."""
        return min(self.max_bundles, self.bundle_burst)

    @property
    def min_client_frame_bytes(self) -> int:
        """The shortest frames that a client may ask for: every stanza fits into one (CHN-09)."""
        return max(MIN_CLIENT_FRAME_BYTES, self.max_ciphertext_bytes + STANZA_OVERHEAD_BYTES)

    def frame_bytes_for(self, client_takes: int | None) -> int:
        """Returns the longest sealed frame that is sent to a client, who may have named its own bound (CHN-09)."""
        bounds = (self.max_frame_bytes, MAX_SERVER_FRAME_BYTES)
        return min(bounds if client_takes is None else (*bounds, client_takes))

    @property
    def unenlist_ms(self) -> int:
        """How long an enlistment lasts without a connection (LIF-04)."""
        return self.unenlist_days * DAY_MS

    @property
    def ping_ms(self) -> int:
        """How long a reachability ping is outstanding (OPT-12)."""
        return self.ping_days * DAY_MS

    @property
    def recent_chat_ms(self) -> int:
        """How long after its last message a chat is recent (KEY-17)."""
        return self.recent_chat_days * DAY_MS

    @property
    def new_chats_ms(self) -> int:
        """How long an unanswered chat counts against the cap on new ones (ABU-05)."""
        return self.new_chats_hours * HOUR_MS

    @property
    def sent_message_ms(self) -> int:
        """How long it is remembered that a message was sent (MSG-04)."""
        return self.sent_message_days * DAY_MS

    @property
    def mailbox_ms(self) -> int:
        """How long the mailbox keeps an item (MSG-07)."""
        return self.mailbox_days * DAY_MS


def about(name: str) -> About:
    """Returns everything about a limit but its value, by name."""
    return _ABOUT[name]


def names_of(scope: Scope) -> tuple[str, ...]:
    """Returns the names of the limits of a scope."""
    return tuple(name for name, each in _ABOUT.items() if each.scope is scope)


def policy_of(requirement: str) -> tuple[str, ...]:
    """Returns the names of the limits that serve a requirement and whose values are the simulator's own choice."""
    return tuple(name for name, each in _ABOUT.items() if each.is_policy and requirement in each.requirements)


_ABOUT: dict[str, About] = {each.name: each.metadata["about"] for each in fields(Limits)}


def conflicts(limits: Limits) -> list[str]:
    """Returns sentences about the limits that cannot work together; empty when all can."""
    checks = (
        (
            limits.max_ciphertext_bytes + STANZA_OVERHEAD_BYTES > limits.max_frame_bytes,
            f"max_ciphertext_bytes={limits.max_ciphertext_bytes} does not fit into a frame: keep it "
            f"{STANZA_OVERHEAD_BYTES:,} bytes under max_frame_bytes={limits.max_frame_bytes}.",
        ),
        (
            limits.max_frame_bytes > limits.waiting_bytes,
            f"waiting_bytes={limits.waiting_bytes} has no room for one frame: keep it at least "
            f"max_frame_bytes={limits.max_frame_bytes}.",
        ),
        (
            limits.max_blob_bytes > limits.upload_burst,
            f"upload_burst={limits.upload_burst} never allows the largest blob: keep it at least "
            f"max_blob_bytes={limits.max_blob_bytes}, or lower that.",
        ),
        (
            limits.keepalive_seconds >= limits.silent_seconds,
            f"keepalive_seconds={limits.keepalive_seconds} leaves a client no time: keep it under "
            f"silent_seconds={limits.silent_seconds}.",
        ),
        (
            limits.sent_message_days < limits.mailbox_days,
            f"sent_message_days={limits.sent_message_days} forgets messages that still wait: keep it at least "
            f"mailbox_days={limits.mailbox_days}.",
        ),
        (
            limits.sent_message_days < limits.report_days,
            f"sent_message_days={limits.sent_message_days} forgets messages that can be reported: keep it at least "
            f"report_days={limits.report_days}.",
        ),
        (
            limits.sent_message_days < limits.media_days,
            f"sent_message_days={limits.sent_message_days} forgets messages whose blobs are still kept: keep it at "
            f"least media_days={limits.media_days}.",
        ),
        (
            0 < limits.max_mailbox_bytes < limits.max_ciphertext_bytes,
            f"max_mailbox_bytes={limits.max_mailbox_bytes} never has room for the longest message: keep it at least "
            f"max_ciphertext_bytes={limits.max_ciphertext_bytes}, or 0 for mailboxes that are always full.",
        ),
        (
            limits.repeat_total_bytes < limits.repeat_bytes,
            f"repeat_total_bytes={limits.repeat_total_bytes} is less than what one caller may have remembered: keep "
            f"it at least repeat_bytes={limits.repeat_bytes}.",
        ),
        (
            limits.connected_note_seconds * SECOND_MS > limits.unenlist_ms,
            f"connected_note_seconds={limits.connected_note_seconds} lets a crash unenlist people who were "
            f"connected: keep it within unenlist_days={limits.unenlist_days}.",
        ),
        (
            limits.remembered_prekeys < limits.stored_prekeys,
            f"remembered_prekeys={limits.remembered_prekeys} forgets prekeys that are still stored: keep it at least "
            f"stored_prekeys={limits.stored_prekeys}.",
        ),
        (
            limits.temporary_ban_hours << max(0, limits.temporary_bans - 1) > HOURS.most,
            f"temporary_ban_hours={limits.temporary_ban_hours} doubled for each of temporary_bans="
            f"{limits.temporary_bans} is more than a hundred years: lower one of them.",
        ),
        (
            limits.trusted_bucket_days * limits.trusted_buckets > DAYS.most,
            f"trusted_bucket_days={limits.trusted_bucket_days} for each of trusted_buckets={limits.trusted_buckets} is "
            "more than a hundred years: lower one of them.",
        ),
    )
    return [sentence for is_wrong, sentence in checks if is_wrong]
