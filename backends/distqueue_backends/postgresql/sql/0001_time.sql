-- What happens by time. Helpers, too, of the other functions.

CREATE FUNCTION clock() RETURNS float8 LANGUAGE sql VOLATILE
    AS 'SELECT extract(epoch FROM clock_timestamp())::float8';

CREATE FUNCTION lock_key(_name text) RETURNS bigint LANGUAGE sql STABLE
    AS 'SELECT hashtextextended(current_schema() || ''/'' || _name, 7)';

-- Whoever uses a queue keeps a share of its lock until the commit; a fence takes it whole.
CREATE FUNCTION enter(_name text) RETURNS queue LANGUAGE plpgsql AS $$
DECLARE r queue; star queue;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(lock_key(_name));
    SELECT * INTO r FROM queue WHERE name = _name;
    IF r.q IS NULL THEN
        SELECT * INTO star FROM queue WHERE name = '*';
        r.fence := coalesce(star.fence, 'none');
        r.note := coalesce(star.note, '');
        IF r.fence = 'draining' THEN r.fence := 'frozen'; END IF;
        r.paused := false;
    END IF;
    RETURN r;
END $$;

CREATE FUNCTION enter_new(_name text) RETURNS queue LANGUAGE plpgsql AS $$
DECLARE r queue;
BEGIN
    r := enter(_name);
    IF r.q IS NULL AND r.fence = 'none' THEN
        PERFORM pg_advisory_xact_lock_shared(lock_key('*'));
        r := enter(_name);  -- or a fence has gone up around all of them
        IF r.q IS NULL AND r.fence = 'none' THEN
            INSERT INTO queue (name) VALUES (_name) ON CONFLICT (name) DO NOTHING;
            r := enter(_name);
        END IF;
    END IF;
    RETURN r;
END $$;

-- Lock those groups that there are, by name. What locks several, by this or one after the other, does so in this
-- order and after the rows where its tasks stand: else two of them could wait for each other.
CREATE FUNCTION lock_groups(_q int, _grps text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM (SELECT DISTINCT v.grp COLLATE "C" AS grp FROM unnest(_grps) AS v (grp) ORDER BY 1) u
        CROSS JOIN LATERAL (SELECT FROM grp x WHERE x.q = _q AND x.name = u.grp FOR UPDATE) g;
END $$;

-- The next member of a group comes to stand in line, once one is over. Whether one does.
CREATE FUNCTION leave_group(_q int, _grp text, _id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE _next bigint;
BEGIN
    PERFORM 1 FROM grp WHERE q = _q AND name = _grp FOR UPDATE;
    DELETE FROM member WHERE q = _q AND grp = _grp AND id = _id;
    SELECT id INTO _next FROM member WHERE q = _q AND grp = _grp ORDER BY q, grp, id LIMIT 1;
    IF _next IS NULL THEN
        DELETE FROM grp WHERE q = _q AND name = _grp;
        RETURN false;
    END IF;
    WITH w AS (DELETE FROM waiting WHERE q = _q AND id = _next RETURNING *) INSERT INTO returned SELECT * FROM w;
    RETURN found;
END $$;

-- A task that is not live any more gives up its key and its place in its group.
CREATE FUNCTION let_go(_q int, _id bigint, _grp text, _uniq text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF _uniq IS NOT NULL THEN
        DELETE FROM held WHERE q = _q AND key = _uniq AND id = _id;
    END IF;
    RETURN _grp IS NOT NULL AND leave_group(_q, _grp, _id);
END $$;

CREATE FUNCTION forget_failures(_q int, _ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM failure WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM unnest(_ids) AS u (id)
        CROSS JOIN LATERAL (SELECT x.ctid FROM failure x WHERE x.q = _q AND x.id = u.id OFFSET 0) s));
    DELETE FROM last_error WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM unnest(_ids) AS u (id)
        CROSS JOIN LATERAL (SELECT x.ctid FROM last_error x WHERE x.q = _q AND x.id = u.id OFFSET 0) s));
END $$;

-- A task goes for good; where it stood is deleted by now.
CREATE FUNCTION forget_task(_q int, _id bigint, _verb text, _at float8, _deliveries bigint, _token text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE t task;
BEGIN
    DELETE FROM task WHERE q = _q AND id = _id RETURNING * INTO t;
    INSERT INTO gone (q, tid, at, crc, settled, deliveries, token)
        VALUES (_q, t.tid, _at, t.crc, _verb, _deliveries, _token);
    PERFORM forget_failures(_q, ARRAY[_id]);
    IF t.expires_in IS NOT NULL THEN
        DELETE FROM expiring WHERE q = _q AND at = t.put_at + t.expires_in AND id = _id;
    END IF;
    RETURN let_go(_q, _id, t.grp, t.uniq);
END $$;

CREATE FUNCTION note_failure(_q int, _id bigint, _attempt bigint, _at float8, _verb text, _error bytea,
    _traceback bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO failure (q, id, attempt, at, verb, error, traceback)
        VALUES (_q, _id, _attempt, _at, _verb, _error, _traceback);
    DELETE FROM failure WHERE q = _q AND id = _id AND n <=
        (SELECT n FROM failure WHERE q = _q AND id = _id ORDER BY q DESC, id DESC, n DESC OFFSET 10 LIMIT 1);
END $$;

CREATE FUNCTION note_error(_q int, _id bigint, _error bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM last_error WHERE q = _q AND id = _id;
    IF _error IS NOT NULL THEN
        INSERT INTO last_error (q, id, error) VALUES (_q, _id, _error);
    END IF;
END $$;

CREATE FUNCTION drop_expired(_q int, _now float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE _id bigint; _count bigint := 0; _line smallint; _found boolean;
BEGIN
    FOR _id, _line IN
        SELECT o.id, o.line FROM (
            SELECT e.at, e.id, t.line, t.grp FROM expiring e
            CROSS JOIN LATERAL (SELECT x.line, x.grp FROM task x WHERE x.q = _q AND x.id = e.id OFFSET 0) t
            WHERE e.q = _q AND e.at <= _now ORDER BY e.at, e.id LIMIT 1000 FOR UPDATE OF e SKIP LOCKED) o
        ORDER BY o.grp, o.at, o.id
    LOOP  -- whoever is just claiming it has it locked, and waits for this row
        DELETE FROM ready WHERE ctid = (SELECT ctid FROM ready WHERE q = _q AND line = _line AND id = _id
            FOR UPDATE SKIP LOCKED);
        _found := found;
        IF NOT _found THEN
            DELETE FROM returned WHERE ctid = (SELECT ctid FROM returned WHERE q = _q AND id = _id
                FOR UPDATE SKIP LOCKED);
            _found := found;
        END IF;
        IF NOT _found THEN
            DELETE FROM waiting WHERE ctid = (SELECT ctid FROM waiting WHERE q = _q AND id = _id
                FOR UPDATE SKIP LOCKED);
            _found := found;
        END IF;
        IF NOT _found THEN
            DELETE FROM hidden WHERE ctid = (SELECT ctid FROM hidden WHERE q = _q AND id = _id AND NOT leased
                FOR UPDATE SKIP LOCKED);
            _found := found;
        END IF;
        IF _found THEN
            PERFORM forget_task(_q, _id, 'expire', _now, 0, NULL);
            _count := _count + 1;
        END IF;
    END LOOP;
    IF _count > 0 THEN
        INSERT INTO expired VALUES (_q, _count);
    END IF;
END $$;

CREATE FUNCTION end_leases(_q int, _now float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE h record; _error CONSTANT bytea := 'the lease ran out before the task was settled';
BEGIN
    FOR h IN
        WITH d AS (
            DELETE FROM hidden WHERE ctid = ANY (ARRAY(SELECT ctid FROM hidden WHERE q + 0 = _q AND line >= 0
                AND leased AND until <= _now ORDER BY until LIMIT 1000 FOR UPDATE SKIP LOCKED))
            RETURNING *
        )
        SELECT d.*, t.max_attempts, t.grp, t.uniq FROM d CROSS JOIN LATERAL (SELECT x.max_attempts, x.grp, x.uniq
            FROM task x WHERE x.q = _q AND x.id = d.id OFFSET 0) t ORDER BY t.grp, d.id
    LOOP
        PERFORM note_failure(_q, h.id, h.failures + 1, h.until, 'lapse', _error, NULL);
        IF h.failures + 1 >= h.max_attempts THEN
            INSERT INTO dead (q, id, line, size, failures, deliveries)
                VALUES (_q, h.id, h.line, h.size, h.failures + 1, h.deliveries);
            PERFORM note_error(_q, h.id, _error);
            PERFORM let_go(_q, h.id, h.grp, h.uniq);
        ELSE
            INSERT INTO returned (q, id, line, place, size, failures, deliveries)
                VALUES (_q, h.id, h.line, h.place, h.size, h.failures + 1, h.deliveries);
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION drop_kept(_q int, _now float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE d record;
BEGIN
    FOR d IN
        WITH o AS (
            DELETE FROM done WHERE ctid = ANY (ARRAY(SELECT ctid FROM done
                WHERE q + 0 = _q AND until <= _now ORDER BY until LIMIT 1000 FOR UPDATE SKIP LOCKED))
            RETURNING *
        )
        SELECT o.id, o.deliveries, o.token FROM o
            CROSS JOIN LATERAL (SELECT x.grp FROM task x WHERE x.q = _q AND x.id = o.id OFFSET 0) t ORDER BY t.grp, o.id
    LOOP
        PERFORM forget_task(_q, d.id, 'ack', _now, d.deliveries, d.token);
    END LOOP;
END $$;

-- What has run out by now is gone or back in line.
CREATE FUNCTION tick(_q int, _now float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE _expired boolean; _ended boolean; _kept boolean;
BEGIN
    SELECT EXISTS (SELECT FROM expiring WHERE q = _q AND at <= _now),
        EXISTS (SELECT FROM hidden WHERE q + 0 = _q AND line >= 0 AND leased AND until <= _now),
        EXISTS (SELECT FROM done WHERE q + 0 = _q AND until <= _now)
        INTO _expired, _ended, _kept;
    IF _expired THEN PERFORM drop_expired(_q, _now); END IF;
    IF _ended THEN PERFORM end_leases(_q, _now); END IF;
    IF _kept THEN PERFORM drop_kept(_q, _now); END IF;
END $$;

-- Whether anything has run out that was not seen to yet.
CREATE FUNCTION is_overdue(_name text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM expiring e WHERE e.q = r.q AND e.at <= clock())
        OR EXISTS (SELECT FROM hidden h WHERE h.q + 0 = r.q AND h.line >= 0 AND h.leased AND h.until <= clock())
        FROM queue r WHERE r.name = _name
$$;

-- What is due by now takes its place at the end: one transaction at a time, or their places would mix.
-- False if another one is at it.
CREATE FUNCTION place_due(_q int, _now float8, _patient boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM hidden WHERE q + 0 = _q AND line >= 0 AND NOT leased AND until <= _now) THEN
        RETURN true;
    END IF;
    IF _patient THEN
        PERFORM pg_advisory_xact_lock(lock_key('due/' || _q));
    ELSIF NOT pg_try_advisory_xact_lock(lock_key('due/' || _q)) THEN
        RETURN false;
    END IF;
    PERFORM lock_groups(_q, ARRAY(SELECT t.grp FROM hidden h
        CROSS JOIN LATERAL (SELECT x.grp FROM task x WHERE x.q = _q AND x.id = h.id OFFSET 0) t
        WHERE h.q + 0 = _q AND h.line >= 0 AND NOT h.leased AND h.until <= _now AND t.grp IS NOT NULL));
    WITH d AS (
        DELETE FROM hidden WHERE ctid = ANY (ARRAY(SELECT ctid FROM hidden
            WHERE q + 0 = _q AND line >= 0 AND NOT leased AND until <= _now FOR UPDATE SKIP LOCKED))
        RETURNING *
    ), p AS MATERIALIZED (
        SELECT o.*, nextval('number') AS new_place FROM (SELECT * FROM d ORDER BY until, id) o
    ), h AS MATERIALIZED (
        SELECT p.*, t.grp IS NULL OR NOT EXISTS
            (SELECT FROM member m WHERE m.q = _q AND m.grp = t.grp AND m.id < p.id) AS is_head
        FROM p CROSS JOIN LATERAL (SELECT x.grp FROM task x WHERE x.q = _q AND x.id = p.id OFFSET 0) t
    ), w AS (
        INSERT INTO waiting (q, id, line, place, size, failures, deliveries, token, settled)
            SELECT _q, id, line, new_place, size, failures, deliveries, token, settled FROM h WHERE NOT is_head
    )
    INSERT INTO returned (q, id, line, place, size, failures, deliveries, token, settled)
        SELECT _q, id, line, new_place, size, failures, deliveries, token, settled FROM h WHERE is_head;
    RETURN true;
END $$;
