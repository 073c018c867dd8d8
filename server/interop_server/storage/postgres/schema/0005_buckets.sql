-- What is left in the buckets of rates that all processes of a world share. Unlogged: a crash of this server fills them.
-- The key is a hash of the rate and of whoever is counted. Levels are whole numbers of parts too large for BIGINT.
CREATE UNLOGGED TABLE bucket (
    key_sha256 BYTEA PRIMARY KEY CHECK (length(key_sha256) = 32),
    level NUMERIC NOT NULL,
    at_ms BIGINT NOT NULL, -- when it had that level
    full_by_ms BIGINT NOT NULL -- a whole hour by which it is full, if nothing more is taken
) WITH (fillfactor = 50);

CREATE INDEX bucket_by_end ON bucket (full_by_ms);
