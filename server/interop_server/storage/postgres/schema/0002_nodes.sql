-- Several processes that are one world: who is there, and which account is connected where.

-- Processes that have joined. One that has not renewed its row in time is taken for dead, by the clock of this server.
-- A seat is never given twice. announced counts what the process has sent over the bus, so that others see what they missed.
CREATE TABLE node (
    seat INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    renewed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    announced BIGINT NOT NULL DEFAULT 0
);

-- Taken with the account's row locked, so that the newest connection of an account has the highest.
CREATE SEQUENCE connection_epoch;

-- The newest connection of each account that is connected, or was a moment ago: then its seat is 0 and it says no more.
-- changed_in is the transaction that wrote the row last: whoever has seen all transactions before one asks for that one and
-- later ones. account_id refers to nothing, so that the end of an account is seen, too.
CREATE TABLE connection (
    account_id BIGINT PRIMARY KEY,
    seat INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    end_reason INTEGER, -- why it is to end
    token_sha256 BYTEA NOT NULL,
    capabilities INTEGER[] NOT NULL,
    mode INTEGER NOT NULL CHECK (mode BETWEEN 1 AND 2),
    client_ip TEXT COLLATE "C" NOT NULL,
    peer_address TEXT COLLATE "C" NOT NULL,
    connected_at_ms BIGINT NOT NULL,
    client_closed_at_ms BIGINT,
    integrator BIGINT NOT NULL,
    changed_in XID8 NOT NULL DEFAULT pg_current_xact_id(),
    changed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX connection_by_change ON connection (changed_in);

CREATE INDEX connection_by_seat ON connection (seat, changed_at);

CREATE INDEX connection_by_token ON connection (token_sha256);

CREATE INDEX connection_by_integrator ON connection (integrator);
