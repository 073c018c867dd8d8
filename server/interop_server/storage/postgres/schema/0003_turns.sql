-- Work of which one process at a time does a kind, such as a sweep: who has its turn. A process that is dead has none.
CREATE TABLE turn (
    name TEXT COLLATE "C" PRIMARY KEY,
    seat INTEGER NOT NULL
);
