-- The tables of a store. A task's payload is written once; what changes is where its id stands:
-- in exactly one of ready, returned, waiting, hidden, dead and done.
-- Plans are kept, and by the statistics of an empty table all indexes that begin with q cost the same, whatever else a
-- query asks for: it could read a whole queue for one id. So of two indexes of a table one is over (q + 0): a query with
-- q + 0 can use that one only, and one with q only the other. An index over (q + 0) whose other columns stand in lookups
-- by id, too, is WHERE line >= 0, which is true of every row: without it such a lookup could go through all of the index.

CREATE TABLE store (version int NOT NULL, oldest int NOT NULL, uuid uuid NOT NULL DEFAULT gen_random_uuid());
COMMENT ON TABLE store IS 'the version of the schema, and the oldest one whose programs can use it';
INSERT INTO store VALUES (1, 1);

CREATE SEQUENCE number;
COMMENT ON SEQUENCE number IS 'gives tasks their ids, which are the order of publishing, and places in line';

CREATE TABLE queue (
    q int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    paused boolean NOT NULL DEFAULT false,
    fence text NOT NULL DEFAULT 'none' CHECK (fence IN ('none', 'draining', 'frozen', 'moved', 'filling')),
    note text NOT NULL DEFAULT ''
);

CREATE TABLE task (
    id bigint NOT NULL,
    put_at float8 NOT NULL,
    due float8,
    expires_in float8,
    keep_done float8 NOT NULL DEFAULT 0,
    crc bigint NOT NULL,
    max_attempts bigint DEFAULT 5,
    q int NOT NULL,
    line smallint NOT NULL,
    tid text COLLATE "C" NOT NULL,
    grp text COLLATE "C",
    uniq text COLLATE "C",
    publisher text COLLATE "C",
    headers text COLLATE "C",
    data bytea NOT NULL,
    PRIMARY KEY (q, id)
);
CREATE UNIQUE INDEX ON task ((q + 0), tid);
COMMENT ON TABLE task IS 'what was put: never updated; line is 31 less the priority';

CREATE TABLE ready (
    id bigint NOT NULL,
    q int NOT NULL,
    size int NOT NULL,
    line smallint NOT NULL,
    PRIMARY KEY (q, line, id)
);
COMMENT ON TABLE ready IS 'ready since the put, in line by id';

CREATE TABLE returned (
    id bigint NOT NULL,
    place bigint,
    failures bigint NOT NULL DEFAULT 0,
    deliveries bigint NOT NULL DEFAULT 0,
    q int NOT NULL,
    size int NOT NULL,
    line smallint NOT NULL,
    token text COLLATE "C",
    settled text COLLATE "C",
    PRIMARY KEY (q, id)
);
CREATE INDEX ON returned ((q + 0), line, place, id) WHERE line >= 0;
COMMENT ON TABLE returned IS 'ready, in line by place: due by now, or once out or behind the head of its group';

CREATE TABLE waiting (LIKE returned INCLUDING DEFAULTS, PRIMARY KEY (q, id));
COMMENT ON TABLE waiting IS 'ready, but behind the head of its group';

CREATE TABLE hidden (
    LIKE returned INCLUDING DEFAULTS,
    until float8 NOT NULL,
    leased boolean NOT NULL,
    PRIMARY KEY (q, id)
);
CREATE INDEX ON hidden ((q + 0), leased, until) WHERE line >= 0;
COMMENT ON TABLE hidden IS 'leased until then, or scheduled for then';

CREATE TABLE dead (LIKE returned INCLUDING DEFAULTS, PRIMARY KEY (q, id));
CREATE TABLE done (LIKE returned INCLUDING DEFAULTS, until float8 NOT NULL, PRIMARY KEY (q, id));
CREATE INDEX ON done ((q + 0), until);

CREATE TABLE expiring (at float8 NOT NULL, id bigint NOT NULL, q int NOT NULL, PRIMARY KEY (q, at, id));
COMMENT ON TABLE expiring IS 'what is dropped then, unless it is claimed before';

CREATE TABLE expired (q int NOT NULL, count bigint NOT NULL);
CREATE INDEX ON expired (q);

CREATE TABLE held (q int NOT NULL, id bigint NOT NULL, key text COLLATE "C" NOT NULL, PRIMARY KEY (q, key));
COMMENT ON TABLE held IS 'which task holds which unique key';

CREATE TABLE grp (q int NOT NULL, line smallint NOT NULL, name text COLLATE "C" NOT NULL, PRIMARY KEY (q, name));
CREATE TABLE member (
    id bigint NOT NULL,
    q int NOT NULL,
    grp text COLLATE "C" NOT NULL,
    PRIMARY KEY (q, grp, id)
);
COMMENT ON TABLE member IS 'the tasks of a group that are not over; whoever adds or drops one locks the group';

CREATE TABLE failure (
    n bigint GENERATED ALWAYS AS IDENTITY,
    id bigint NOT NULL,
    attempt bigint NOT NULL,
    at float8 NOT NULL,
    q int NOT NULL,
    verb text NOT NULL,
    error bytea,
    traceback bytea,
    PRIMARY KEY (q, id, n)
);
CREATE TABLE last_error (id bigint NOT NULL, q int NOT NULL, error bytea NOT NULL, PRIMARY KEY (q, id));
COMMENT ON TABLE last_error IS 'texts are bytes of UTF-8, as a text of PostgreSQL holds no NUL';

CREATE TABLE gone (
    n bigint GENERATED ALWAYS AS IDENTITY,
    at float8 NOT NULL,
    crc bigint NOT NULL,
    deliveries bigint NOT NULL,
    q int NOT NULL,
    tid text COLLATE "C" NOT NULL,
    token text COLLATE "C",
    settled text COLLATE "C" NOT NULL,
    PRIMARY KEY (q, n)
);
-- Many are looked for at once, which before PostgreSQL 17 is sure to be asked of the first column of an index only.
CREATE UNIQUE INDEX ON gone (tid, (q + 0));
COMMENT ON TABLE gone IS 'ids that are remembered after their task; never that of a task that is there';

CREATE VIEW standing AS
    SELECT q, id, line, 'ready' AS state, id AS place, NULL::float8 AS until, 0::bigint AS failures,
        0::bigint AS deliveries, NULL::text AS token, NULL::text AS settled FROM ready
    UNION ALL SELECT q, id, line, 'ready', place, NULL, failures, deliveries, token, settled FROM returned
    UNION ALL SELECT q, id, line, 'ready', place, NULL, failures, deliveries, token, settled FROM waiting
    UNION ALL SELECT q, id, line, CASE WHEN leased THEN 'leased' ELSE 'scheduled' END, place, until, failures,
        deliveries, token, settled FROM hidden
    UNION ALL SELECT q, id, line, 'dead', NULL, NULL, failures, deliveries, token, settled FROM dead
    UNION ALL SELECT q, id, line, 'done', place, until, failures, deliveries, token, settled FROM done;
COMMENT ON VIEW standing IS 'where each task stands';

DO $$
DECLARE hot text;
BEGIN
    FOREACH hot IN ARRAY '{task,ready,returned,waiting,hidden,gone,grp,member,held,expiring}'::text[] LOOP
        EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_scale_factor = 0.02,
            autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
            autovacuum_vacuum_insert_scale_factor = 0.2)', hot);
    END LOOP;
END $$;
