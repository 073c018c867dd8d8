-- Expands: programs of the versions before go on.
-- While nodes are rolled from one release to the next, programs of both work on these tables.

-- The older versions whose programs do, too.
ALTER TABLE schema_version ADD COLUMN works_for BIGINT[] NOT NULL DEFAULT '{}';

-- Which version a node's program was made for.
ALTER TABLE node ADD COLUMN schema_version BIGINT NOT NULL DEFAULT 0;
