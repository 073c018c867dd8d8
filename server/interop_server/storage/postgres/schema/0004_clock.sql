-- The one clock of several processes. It stands, or is being moved to where it is to stand, or runs as far ahead of the
-- machines' clocks as time_ahead_ms says: behind them where that is negative.
ALTER TABLE server
    ADD COLUMN clock_version BIGINT NOT NULL DEFAULT 0, -- ascends with each change
    ADD COLUMN clock_stands_at_ms BIGINT, -- null while it runs
    ADD COLUMN clock_is_frozen BOOLEAN NOT NULL DEFAULT FALSE; -- whether it stays there; else it runs on when all are there

-- Which of these states a process has arrived at, and what it showed and had done then.
ALTER TABLE node
    ADD COLUMN clock_version BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN clock_at_ms BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN clock_fired TEXT[] NOT NULL DEFAULT '{}', -- names, in order
    ADD COLUMN clock_fired_times INTEGER[] NOT NULL DEFAULT '{}'; -- how often each
