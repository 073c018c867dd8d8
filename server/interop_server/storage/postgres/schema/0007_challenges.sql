-- Expands: programs of the versions before go on.
-- Challenges that wait for an answer, which may come to another node. Unlogged: a crash of this server ends them.
CREATE UNLOGGED TABLE challenge (
    account_id BIGINT PRIMARY KEY REFERENCES account ON DELETE CASCADE,
    token TEXT NOT NULL,
    prompt TEXT NOT NULL,
    code TEXT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);

CREATE INDEX challenge_by_end ON challenge (expires_at_ms);
