-- Everything that outlives the process. Constraints state what must always hold; the rules of the protocol are in core/.
-- Text is compared by its bytes, whatever the database's collation is. Flags are 0 and 1, as in the other engine.
-- What comes from outside is BIGINT, so that a number that is far too large is compared, and matches nothing.

CREATE TABLE partner (
    integrator BIGINT PRIMARY KEY CHECK (integrator BETWEEN 1 AND 999),
    name TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL UNIQUE,
    base_url TEXT COLLATE "C" NOT NULL,
    push_url TEXT COLLATE "C" NOT NULL,
    media_url TEXT COLLATE "C" NOT NULL,
    status INTEGER NOT NULL CHECK (status BETWEEN 1 AND 4),
    identifier_type INTEGER NOT NULL CHECK (identifier_type BETWEEN 1 AND 3),
    icon TEXT COLLATE "C" NOT NULL,
    proxy_allowed INTEGER NOT NULL CHECK (proxy_allowed IN (0, 1)),
    group_messaging INTEGER NOT NULL CHECK (group_messaging IN (0, 1))
);

CREATE TABLE jwks (
    integrator BIGINT PRIMARY KEY REFERENCES partner ON DELETE CASCADE,
    jwks TEXT COLLATE "C" NOT NULL,
    fetched_at_ms BIGINT NOT NULL
);

-- Every JID that was ever given out, so that none is given out twice; all that stays of an account is how it ended.
CREATE TABLE given_jid (
    jid TEXT COLLATE "C" PRIMARY KEY,
    ended INTEGER CHECK (ended BETWEEN 1 AND 2)
);

-- integrator 0 is WhatsApp's own. No id is given twice: it outlives its account in other people's mailboxes.
-- Whoever writes what belongs to an account, or to several, locks their rows first, by id ascending.
-- The cap on new chats counts none that were opened before new_chats_since_ms.
CREATE TABLE account (
    account_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    jid TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES given_jid,
    integrator BIGINT NOT NULL CHECK (integrator BETWEEN 0 AND 999),
    external_id TEXT COLLATE "C" NOT NULL,
    stated_id TEXT COLLATE "C" NOT NULL DEFAULT '', -- as the partner stated it, unless that is its normal form
    auth_key BYTEA NOT NULL CHECK (length(auth_key) = 32),
    platform INTEGER CHECK (platform BETWEEN 1 AND 4),
    protocol_version BIGINT,
    read_receipts INTEGER NOT NULL DEFAULT 1 CHECK (read_receipts IN (0, 1)),
    created_at_ms BIGINT NOT NULL,
    last_connected_at_ms BIGINT NOT NULL,
    new_chats_since_ms BIGINT NOT NULL DEFAULT 0,
    UNIQUE (integrator, external_id),
    CHECK ((integrator = 0) = (platform IS NOT NULL))
);

CREATE INDEX account_by_last_connection ON account (last_connected_at_ms) WHERE integrator > 0;

-- How many one-time prekeys are left is counted, not kept: a number kept here would have one taker wait for another.
-- kem_published stays 1 once the account has published KEM prekeys (KEY-16).
CREATE TABLE published_keys (
    account_id BIGINT PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    registration_id BIGINT NOT NULL CHECK (registration_id BETWEEN 0 AND 4294967295),
    identity_key BYTEA NOT NULL CHECK (length(identity_key) = 32),
    signed_prekey_id BIGINT NOT NULL CHECK (signed_prekey_id BETWEEN 1 AND 16777215),
    signed_prekey BYTEA NOT NULL CHECK (length(signed_prekey) = 32),
    signed_prekey_signature BYTEA NOT NULL CHECK (length(signed_prekey_signature) = 64),
    kem_published INTEGER NOT NULL DEFAULT 0 CHECK (kem_published IN (0, 1)),
    kem_last_resort_id BIGINT CHECK (kem_last_resort_id BETWEEN 1 AND 16777215),
    kem_last_resort BYTEA CHECK (length(kem_last_resort) = 1568),
    kem_last_resort_signature BYTEA CHECK (length(kem_last_resort_signature) = 64),
    CHECK ((kem_last_resort_id IS NULL) = (kem_last_resort IS NULL)),
    CHECK ((kem_last_resort_id IS NULL) = (kem_last_resort_signature IS NULL)),
    CHECK (kem_last_resort_id IS NULL OR kem_published = 1)
);

CREATE TABLE one_time_prekey (
    account_id BIGINT NOT NULL REFERENCES published_keys ON DELETE CASCADE,
    key_id BIGINT NOT NULL CHECK (key_id BETWEEN 1 AND 16777215),
    public_key BYTEA NOT NULL CHECK (length(public_key) = 32),
    PRIMARY KEY (account_id, key_id)
);

-- Every one-time prekey that was ever published, so that none is published twice.
CREATE TABLE one_time_prekey_history (
    account_id BIGINT NOT NULL REFERENCES account ON DELETE CASCADE,
    public_key BYTEA NOT NULL CHECK (length(public_key) = 32),
    number BIGINT NOT NULL, -- counts the account's keys, so that the oldest are forgotten first
    PRIMARY KEY (account_id, public_key)
);

CREATE INDEX one_time_prekey_history_by_number ON one_time_prekey_history (account_id, number);

-- The newest calls that published prekeys since the account's keys were last replaced or deleted, so that a repetition
-- after a lost answer is recognised.
CREATE TABLE prekey_publication (
    publication_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES account ON DELETE CASCADE,
    digest BYTEA NOT NULL CHECK (length(digest) = 32),
    UNIQUE (account_id, digest)
);

-- The one-time ones.
CREATE TABLE kem_prekey (
    account_id BIGINT NOT NULL REFERENCES published_keys ON DELETE CASCADE,
    key_id BIGINT NOT NULL CHECK (key_id BETWEEN 1 AND 16777215),
    public_key BYTEA NOT NULL CHECK (length(public_key) = 1568),
    signature BYTEA NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (account_id, key_id)
);

-- Every KEM prekey that was ever published, so that none is published twice.
CREATE TABLE kem_prekey_history (
    account_id BIGINT NOT NULL REFERENCES account ON DELETE CASCADE,
    sha256 BYTEA NOT NULL CHECK (length(sha256) = 32),
    number BIGINT NOT NULL, -- counts the account's keys, so that the oldest are forgotten first
    PRIMARY KEY (account_id, sha256)
);

CREATE INDEX kem_prekey_history_by_number ON kem_prekey_history (account_id, number);

CREATE TABLE interop_settings (
    account_id BIGINT PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    enabled INTEGER NOT NULL DEFAULT 0 CHECK (enabled IN (0, 1)),
    inbox_mode INTEGER NOT NULL DEFAULT 1 CHECK (inbox_mode BETWEEN 1 AND 2),
    pings_enabled INTEGER NOT NULL DEFAULT 1 CHECK (pings_enabled IN (0, 1)),
    terms_shown_at_ms BIGINT,
    terms_accepted_at_ms BIGINT
);

CREATE TABLE opt_in (
    account_id BIGINT NOT NULL REFERENCES interop_settings ON DELETE CASCADE,
    integrator BIGINT NOT NULL CHECK (integrator BETWEEN 1 AND 999),
    PRIMARY KEY (account_id, integrator)
);

-- The rule "has opted in" (OPT-01, OPT-02): third-party chats are on, and the partner is chosen.
CREATE VIEW opted_in AS
    SELECT opt_in.account_id, opt_in.integrator
    FROM opt_in JOIN interop_settings ON interop_settings.account_id = opt_in.account_id
    WHERE interop_settings.enabled = 1;

-- Partners whose users' reachability pings are dropped.
CREATE TABLE muted_partner (
    account_id BIGINT NOT NULL REFERENCES interop_settings ON DELETE CASCADE,
    integrator BIGINT NOT NULL CHECK (integrator BETWEEN 1 AND 999),
    PRIMARY KEY (account_id, integrator)
);

-- Reachability pings: those that were delivered and have not been answered, and, without a recipient, all others. They
-- are counted alike, and each costs one row, so that neither shows which it was (OPT-11).
CREATE TABLE reachability_ping (
    ping_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender_id BIGINT NOT NULL REFERENCES account ON DELETE CASCADE,
    recipient_id BIGINT REFERENCES account ON DELETE CASCADE,
    sent_at_ms BIGINT NOT NULL
);

CREATE INDEX reachability_ping_by_sender ON reachability_ping (sender_id, sent_at_ms);

CREATE INDEX reachability_ping_by_age ON reachability_ping (sent_at_ms);

-- At most one outstanding per pair (OPT-12).
CREATE UNIQUE INDEX reachability_ping_outstanding ON reachability_ping (recipient_id, sender_id)
    WHERE recipient_id IS NOT NULL;

-- One that the WhatsApp user has deleted, or that only dropped messages belong to, is not listed, but it stays: a decline
-- and the cap on new chats must hold. trusted_until_ms is the end of the newest trusted-contact mark, 0 when there was none.
CREATE TABLE chat (
    whatsapp_id BIGINT NOT NULL REFERENCES account ON DELETE CASCADE,
    third_party_id BIGINT NOT NULL REFERENCES account ON DELETE CASCADE,
    opened_at_ms BIGINT NOT NULL,
    last_message_at_ms BIGINT NOT NULL,
    request_state INTEGER NOT NULL CHECK (request_state BETWEEN 1 AND 3),
    trusted_until_ms BIGINT NOT NULL DEFAULT 0,
    listed INTEGER NOT NULL CHECK (listed IN (0, 1)),
    PRIMARY KEY (whatsapp_id, third_party_id)
);

CREATE INDEX chat_by_third_party ON chat (third_party_id);

-- The rule "unanswered" (ABU-05): neither accepted (2) nor ever marked as trusted. The index is for this view.
CREATE VIEW unanswered_chat AS SELECT * FROM chat WHERE request_state <> 2 AND trusted_until_ms = 0;

CREATE INDEX chat_unanswered ON chat (third_party_id, opened_at_ms) WHERE request_state <> 2 AND trusted_until_ms = 0;

-- A delivery id never repeats. It is taken with the recipient's row locked, so that ids become visible in their order.
CREATE SEQUENCE delivery_id;

-- recipient_id refers to an account without a foreign key, which would look it up for each row: whoever puts a row here
-- has locked it, and whoever deletes an account has locked it and deletes these first. sender_id may be 0, the server, or
-- of an account that is gone.
-- A reporting token, where there is one, lies behind the `size` bytes of the content itself.
-- The key covers backlog and usage, which must not read ciphertext.
CREATE TABLE mailbox (
    recipient_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,
    sender_id BIGINT NOT NULL,
    sender_jid TEXT COLLATE "C" NOT NULL,
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    subtype INTEGER NOT NULL CHECK (subtype BETWEEN 0 AND 13),
    message_type INTEGER NOT NULL CHECK (message_type BETWEEN 0 AND 3),
    stanza_id TEXT COLLATE "C" NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    retry_count INTEGER NOT NULL DEFAULT 0 CHECK (retry_count BETWEEN 0 AND 5),
    size BIGINT NOT NULL CHECK (length(content) - size IN (0, 16)),
    content BYTEA STORAGE EXTERNAL NOT NULL, -- ciphertext does not shrink
    PRIMARY KEY (recipient_id, delivery_id) INCLUDE (kind, timestamp_ms, size)
);

CREATE INDEX mailbox_by_age ON mailbox (timestamp_ms);

-- At most one un-acked notice of a changed identity per pair (KEY-17).
CREATE UNIQUE INDEX mailbox_identity_notice ON mailbox (recipient_id, sender_id) WHERE kind = 3 AND subtype = 2;

-- At most one un-acked request for a comparison of keys (KEY-10).
CREATE UNIQUE INDEX mailbox_digest_request ON mailbox (recipient_id) WHERE kind = 3 AND subtype = 5;

-- Which messages were taken, long after they were acked (MSG-04). sender_id is without a foreign key for the reason
-- that the mailbox has; recipient_id refers to nothing: an id that was used
-- stays used when the recipient goes. retry_count is that of the last sending, retries_allowed the largest one asked for.
CREATE TABLE sent_message (
    sender_id BIGINT NOT NULL,
    stanza_id TEXT COLLATE "C" NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    recipient_id BIGINT NOT NULL,
    reporting_token TEXT COLLATE "C" NOT NULL CHECK (length(reporting_token) IN (0, 32)),
    is_dropped INTEGER NOT NULL DEFAULT 0 CHECK (is_dropped IN (0, 1)),
    retry_count INTEGER NOT NULL DEFAULT 0 CHECK (retry_count BETWEEN 0 AND 5),
    retries_allowed INTEGER NOT NULL DEFAULT 0 CHECK (retries_allowed BETWEEN 0 AND 5),
    retries_forwarded INTEGER NOT NULL DEFAULT 0 CHECK (retries_forwarded BETWEEN 0 AND 5),
    PRIMARY KEY (sender_id, stanza_id)
);

CREATE INDEX sent_message_by_age ON sent_message (timestamp_ms);

-- jid refers to nothing: whether it exists must not show.
CREATE TABLE blocked (
    account_id BIGINT NOT NULL REFERENCES account ON DELETE CASCADE,
    jid TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, jid)
);

CREATE INDEX blocked_by_jid ON blocked (jid);

-- By a hash of (integrator, external_id), not by account: a ban outlives the account that it was imposed on.
CREATE TABLE sanction (
    integrator BIGINT NOT NULL CHECK (integrator BETWEEN 0 AND 999),
    user_sha256 BYTEA NOT NULL CHECK (length(user_sha256) = 32),
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 3),
    sub_code INTEGER NOT NULL,
    expires_at_ms BIGINT,
    PRIMARY KEY (integrator, user_sha256, kind),
    CHECK (CASE WHEN kind = 2 THEN sub_code IN (101, 102, 103, 104, 106) ELSE sub_code = 0 END),
    CHECK ((kind = 3) = (expires_at_ms IS NULL))
);

CREATE INDEX sanction_by_expiry ON sanction (expires_at_ms);

-- Reports that counted: reporter and reported user, and nothing of the content. integrator is that of the reported user.
CREATE TABLE counted_report (
    integrator BIGINT NOT NULL CHECK (integrator BETWEEN 0 AND 999),
    reported_sha256 BYTEA NOT NULL CHECK (length(reported_sha256) = 32),
    reporter_sha256 BYTEA NOT NULL CHECK (length(reporter_sha256) = 32),
    counted_at_ms BIGINT NOT NULL,
    PRIMARY KEY (integrator, reported_sha256, reporter_sha256)
);

CREATE INDEX counted_report_by_age ON counted_report (counted_at_ms);

-- owner_id refers to nothing: a blob outlives its owner until it expires.
CREATE TABLE media (
    owner_id BIGINT NOT NULL,
    sha256 BYTEA NOT NULL CHECK (length(sha256) = 32),
    direct_path TEXT COLLATE "C" NOT NULL UNIQUE,
    length BIGINT NOT NULL CHECK (length >= 0),
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    PRIMARY KEY (owner_id, sha256)
);

CREATE INDEX media_by_expiry ON media (expires_at_ms);

-- What the server must know of its own past, in one row.
CREATE TABLE server (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    starts INTEGER NOT NULL DEFAULT 0,
    time_floor_ms BIGINT NOT NULL DEFAULT 0,
    time_ahead_ms BIGINT NOT NULL DEFAULT 0
);

INSERT INTO server (only_row) VALUES (1);

-- The time at which each process stored something last. A row for each, so that none waits for another's commit.
CREATE TABLE noted_time (
    seat INTEGER PRIMARY KEY,
    noted_ms BIGINT NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE secret (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);
