"""Every number that bounds the service, with where it comes from; knows nothing of how it is configured.

"Policy" marks a value that is not public: it is the simulator's choice, never WhatsApp's.
"""

from dataclasses import dataclass

from interop_protocol.sizes import MAX_BUNDLE_USERS

SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS
DAY_MS = 24 * HOUR_MS
EARLIEST_TIME_MS = 946_684_800_000
"""2000-01-01: no clock begins earlier. SIM-04; policy."""
LATEST_TIME_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: what is later has no usual notation. SIM-04; policy."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the service."""

    min_protocol_version: int = 1
    """ENL-15; policy."""
    token_clock_skew_seconds: int = 30
    """ENL-05; policy."""
    token_max_life_seconds: int = 3600
    """ENL-05; policy, as long as the documented push token."""
    token_audience: str = "interopsim"
    """ENL-07: the `aud` that partner tokens must name; policy: the claim names are not public."""
    jwks_refresh_seconds: int = 300
    """ENL-03; policy."""
    jwks_early_refetch_seconds: int = 10
    """ENL-04: an unknown `kid` causes at most one fetch in this time; policy."""
    enlist_partner_burst: int = 10_000
    """ENL-17: enlistments of one partner's users at once; policy."""
    enlist_partner_per_second: float = 100.0
    """ENL-17; policy."""
    enlist_identifier_burst: int = 20
    """ENL-17: enlistments of one user at once; policy."""
    enlist_identifier_per_second: float = 0.1
    """ENL-17; policy."""
    enlist_address_burst: int = 10_000
    """PRX-07: enlistments from one address at once, which may be a messenger's server; policy."""
    enlist_address_per_second: float = 100.0
    """PRX-07; policy."""
    login_client_burst: int = 1_000
    """PRX-07: logins at once from one end client's address, which a network may have many share; policy."""
    login_client_per_second: float = 10.0
    """PRX-07; policy."""
    login_proxy_burst: int = 10_000
    """PRX-07: logins at once through one proxy's address, and from this machine's, where tests connect from; policy."""
    login_proxy_per_second: float = 100.0
    """PRX-07; policy."""
    max_frame_bytes: int = 1 << 20
    """CHN-09; policy, under the observed hard cap of 2^24."""
    max_batch_stanzas: int = 1_024
    """CHN-09; policy."""
    max_ciphertext_bytes: int = 96 * 1024
    """MSG-11; policy, Signal's cap for an envelope."""
    max_unacked_deliveries: int = 2_048
    """MSG-09: deliveries in flight to one client; policy."""
    handshake_seconds: int = 20
    """CHN-01; observed connect timeout."""
    certificate_days: int = 365
    """CHN-04: how long the server's certificates are valid; 0 makes expired ones, which clients must refuse; policy."""
    keepalive_seconds: int = 30
    """CHN-12; observed."""
    silent_seconds: int = 180
    """CHN-12; observed."""
    prekeys_low_count: int = 10
    """KEY-09; observed in the official apps."""
    max_bundles: int = MAX_BUNDLE_USERS
    """KEY-07; policy."""
    bundle_burst: int = 1_024
    """KEY-14: prekey bundles that one account may take at once, of whomever; policy."""
    bundle_per_second: float = 10.0
    """KEY-14; policy."""
    bundle_target_burst: int = 6
    """KEY-14: prekey bundles of one account that another may take at once; policy: Signal's 6 in 10 minutes."""
    bundle_target_per_second: float = 0.01
    """KEY-14; policy."""
    kem_prekeys: bool = False
    """KEY-15: whether accounts may publish post-quantum prekeys; observed behind a switch in official clients, and off
    here by policy."""
    resolve_burst: int = 1_024
    """OPT-09: identifiers that one account may look up at once; policy."""
    resolve_per_second: float = 10.0
    """OPT-09; policy."""
    send_burst: int = 10_000
    """MSG-11: messages from one sender to one recipient at once; policy."""
    send_per_second: float = 2_000.0
    """MSG-11; policy."""
    retry_burst: int = 2_000
    """RCP-03: messages that one account may ask for again at once; policy."""
    retry_per_second: float = 100.0
    """RCP-03; policy."""
    typing_seconds: int = 20
    """MSG-13: how long a sign of typing holds; policy."""
    typing_burst: int = 10
    """MSG-13: signs of typing from one account at once; policy."""
    typing_per_second: float = 1.0
    """MSG-13; policy."""
    max_mailbox_items: int = 20_000
    """MSG-11; policy."""
    max_mailbox_bytes: int = 64 << 20
    """MSG-11; policy."""
    sent_message_days: int = 60
    """MSG-04, RCP-05, MED-08: how long it is remembered that a message was sent, not what it says; policy, twice as
    long as the mailbox, since it can be read, and its blob be asked for, long after it was delivered."""
    mailbox_full_retry_ms: int = 60 * SECOND_MS
    """MSG-11; policy."""
    mailbox_days: int = 30
    """MSG-07; documented."""
    unenlist_days: int = 30
    """LIF-04: without a connection; documented."""
    connected_note_seconds: int = 3600
    """LIF-04: how often it is noted who is connected, so that a crash makes nobody look longer absent; policy."""
    pings_per_day: int = 20
    """OPT-12: reachability pings of one third-party user, whatever becomes of them; policy."""
    ping_days: int = 30
    """OPT-12: a ping that is not answered is outstanding this long; policy."""
    max_outstanding_pings: int = 100
    """OPT-12: for one WhatsApp user; policy."""
    recent_chat_days: int = 30
    """KEY-17: a chat with a message in this time is a recent conversation; policy, as long as the mailbox."""
    new_chats: int = 50
    """ABU-05: chats without an answer that a third-party user may have opened in the time below; policy."""
    new_chats_hours: int = 24
    """ABU-05; policy."""
    trusted_bucket_days: int = 7
    """OPT-14: trusted-contact marks are renewed in steps of this; observed."""
    trusted_buckets: int = 4
    """OPT-14: a mark holds until this many steps after the one that it was given in began; observed."""
    max_blocked: int = 10_000
    """ABU-01; policy."""
    ended_sanction_days: int = 1
    """ABU-05: how long it stays known that a sanction has ended; policy."""
    report_days: int = 7
    """ABU-04: how long after it was sent a message can be reported; policy, analogous practice."""
    report_burst: int = 20
    """ABU-03: reports of one account at once; policy."""
    report_per_second: float = 0.01
    """ABU-03; policy."""
    report_weight_days: int = 30
    """ABU-05, ABU-08: how long a report that counts weighs, and is kept; policy."""
    reports_until_lock: int = 3
    """ABU-05: people whose reports count until somebody may open no new chats for a time; policy."""
    new_chats_lock_hours: int = 24
    """ABU-05: for how long; policy. Every further report that counts renews it."""
    reports_until_ban: int = 5
    """ABU-05: people whose reports count until the first temporary ban; policy."""
    reports_until_next_ban: int = 2
    """ABU-05: people more until each further ban; policy."""
    temporary_ban_hours: int = 24
    """ABU-05: how long the first temporary ban lasts, and half of the second, a quarter of the third; policy."""
    temporary_bans: int = 3
    """ABU-05: temporary bans before the one for good; policy."""
    capped_until_ban: int = 100
    """ABU-05: attempts to open a chat beyond the cap, within the time that it is for, until a temporary ban; policy."""
    points_per_report: int = 10
    """ABU-07: weight of a report that counts in the score; policy."""
    points_per_block: int = 3
    """ABU-07: weight of being blocked by somebody whom one has a chat with; policy."""
    points_per_unanswered_chat: int = 1
    """ABU-07: weight of a chat that a third-party user opened, and nobody has answered; policy."""
    points_per_shared_address: int = 1
    """ABU-07: weight of another third-party user connected directly from the same address; policy."""
    max_points_for_shared_address: int = 10
    """ABU-07; policy."""
    score_until_lock: int = 100
    """ABU-07: with this score, any report that counts leads to a lock on new chats; policy."""
    banned_users_until_suspension: int = 0
    """ABU-07: users of a partner who are banned for good until it is suspended as a whole; 0 for never; policy."""
    challenge_seconds: int = 600
    """ABU-06: how long a challenge can be answered; policy."""
    challenge_burst: int = 10
    """ABU-06: challenges that one account may begin at once; policy, analogous practice."""
    challenge_per_second: float = 1 / (144 * 60)
    """ABU-06; policy, analogous practice: one every 144 minutes."""
    challenge_success_burst: int = 2
    """ABU-06: right answers of one account that count at once; policy, analogous practice."""
    challenge_success_per_second: float = 1 / (12 * 3600)
    """ABU-06; policy, analogous practice: one every 12 hours."""
    upload_auth_seconds: int = 3600
    """MED-05; policy."""
    max_blob_bytes: int = 2 << 30
    """MED-07; policy, the observed large-file mark of 2,048 MB."""
    media_days: int = 30
    """MED-07; policy, as long as the mailbox."""
    stale_upload_seconds: int = 3600
    """MED-07; policy."""
    partner_media_seconds: float = 30.0
    """MED-03: to connect, and between two reads; policy."""
    eligible_calling_codes: tuple[str, ...] = (
        "30", "31", "32", "33", "34", "351", "352", "353", "354", "356", "357", "358", "359", "36", "370", "371",
        "372", "385", "386", "39", "40", "420", "421", "423", "43", "45", "46", "47", "48", "49",
    )  # fmt: skip
    """OPT-04: calling codes of the EEA countries; that the number's region counts is documented, the list is policy."""

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
