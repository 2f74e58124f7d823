-- Take the first tasks in line. If there is none, one row says why: its code, and in until when to look again.
-- What stands before (_line, _from) among what is ready is taken for gone: the index is full of it, as long as an
-- old transaction is open somewhere; only if nothing stands behind it, that is looked at, too. place is that of
-- a task that was ready since the put.
CREATE FUNCTION claim(_name text, _count int, _lease float8, _token text, _room bigint, _line smallint,
    _from bigint)
RETURNS TABLE (code text, tid text, data bytea, deliveries bigint, failures bigint, until float8, put_at float8,
    line smallint, max_attempts bigint, grp text, publisher text, headers text, place bigint) LANGUAGE plpgsql AS $$
DECLARE
    r queue; _now float8; _has_returned boolean; _has_expiring boolean; _is_placed boolean; _most int := _count;
    _n int; _a tid[]; _b tid[]; _ids bigint[]; _more bigint[]; _sizes bigint; _plus bigint;
BEGIN
    r := enter(_name);
    IF r.fence <> 'none' THEN
        RETURN QUERY SELECT 'fence', r.fence, NULL::bytea, NULL::bigint, NULL::bigint, NULL::float8, NULL::float8,
            NULL::smallint, NULL::bigint, r.note, NULL::text, NULL::text, NULL::bigint;
        RETURN;
    END IF;
    IF _line IS NULL OR EXISTS (SELECT FROM ready x WHERE x.q = r.q AND x.line < _line) THEN
        _line := 0;
        _from := 0;
    END IF;
    FOR _try IN 1..2 LOOP
        EXIT WHEN r.q IS NULL;
        _now := clock();
        PERFORM tick(r.q, _now);
        _is_placed := place_due(r.q, _now, _try = 2);
        EXIT WHEN r.paused;
        SELECT EXISTS (SELECT FROM returned WHERE q = r.q), EXISTS (SELECT FROM expiring WHERE q = r.q)
            INTO _has_returned, _has_expiring;
        LOOP
            _a := NULL; _ids := NULL; _sizes := 0; _n := 0;
            IF _has_returned THEN
                SELECT count(*) FILTER (WHERE x.back) INTO _n FROM (
                    (SELECT true AS back, s.line, s.place FROM returned s WHERE s.q + 0 = r.q AND s.line >= 0
                        ORDER BY s.q + 0, s.line, s.place, s.id LIMIT _most)
                    UNION ALL
                    (SELECT false, s.line, s.id FROM ready s WHERE s.q = r.q
                        AND (s.line, s.id) >= (_line, _from) ORDER BY s.q, s.line, s.id LIMIT _most)
                    ORDER BY 2, 3 LIMIT _most) x;
                SELECT array_agg(s.ctid), array_agg(s.id), sum(s.size), count(*) INTO _a, _ids, _sizes, _n FROM (
                    SELECT x.ctid, x.id, x.size FROM returned x WHERE x.q + 0 = r.q AND x.line >= 0
                        ORDER BY x.q + 0, x.line, x.place, x.id LIMIT _n FOR UPDATE SKIP LOCKED) s;
            END IF;
            SELECT array_agg(s.ctid), array_agg(s.id), sum(s.size) INTO _b, _more, _plus FROM (
                SELECT x.ctid, x.id, x.size FROM ready x WHERE x.q = r.q AND (x.line, x.id) >= (_line, _from)
                    ORDER BY x.q, x.line, x.id LIMIT _most - _n FOR UPDATE SKIP LOCKED) s;
            _ids := _ids || _more;
            _sizes := coalesce(_sizes, 0) + coalesce(_plus, 0);
            IF _ids IS NULL AND (_line > 0 OR _from > 0) THEN
                _line := 0;
                _from := 0;
                CONTINUE;
            END IF;
            EXIT WHEN _sizes <= _room OR cardinality(_ids) = 1;
            _most := cardinality(_ids) / 2;
        END LOOP;
        EXIT WHEN _ids IS NOT NULL OR _is_placed;
    END LOOP;
    IF _ids IS NULL THEN
        IF NOT r.paused AND r.q IS NOT NULL THEN
            until := least((SELECT min(h.until) FROM hidden h WHERE h.q + 0 = r.q AND h.line >= 0 AND h.leased),
                (SELECT min(h.until) FROM hidden h WHERE h.q + 0 = r.q AND h.line >= 0 AND NOT h.leased),
                (SELECT min(e.at) FROM expiring e WHERE e.q = r.q));
        END IF;
        code := 'none'; put_at := coalesce(_now, clock());
        RETURN NEXT;
        RETURN;
    END IF;
    IF _has_expiring THEN
        DELETE FROM expiring WHERE ctid = ANY (ARRAY(SELECT e.ctid FROM unnest(_ids) AS u (id)
            CROSS JOIN LATERAL (SELECT x.id, x.put_at + x.expires_in AS at
                FROM task x WHERE x.q = r.q AND x.id = u.id OFFSET 0) t
            CROSS JOIN LATERAL (SELECT x.ctid
                FROM expiring x WHERE x.q = r.q AND x.at = t.at AND x.id = t.id OFFSET 0) e));
    END IF;
    RETURN QUERY
        WITH a AS (
            DELETE FROM returned x WHERE x.ctid = ANY (_a) RETURNING x.id, x.line, x.place, x.size, x.failures, x.deliveries
        ), b AS (
            DELETE FROM ready x WHERE x.ctid = ANY (_b) RETURNING x.id, x.line, x.size
        ), c AS (
            SELECT x.id, x.line, x.place, x.size, x.failures, x.deliveries, NULL::bigint AS fresh FROM a x
            UNION ALL SELECT x.id, x.line, x.id, x.size, 0, 0, x.id FROM b x
        ), h AS (
            INSERT INTO hidden (q, id, line, place, size, failures, deliveries, token, leased, until)
                SELECT r.q, x.id, x.line, x.place, x.size, x.failures, x.deliveries + 1, _token, true, _now + _lease
                FROM c x
        )
        SELECT 'lease', t.tid, t.data, x.deliveries + 1, x.failures, _now + _lease, t.put_at, t.line,
            t.max_attempts, t.grp, t.publisher, t.headers, x.fresh
        FROM c x CROSS JOIN LATERAL (SELECT * FROM task y WHERE y.q = r.q AND y.id = x.id OFFSET 0) t ORDER BY x.line, x.place, x.id;
END $$;

-- What is still leased of an earlier claim.
CREATE FUNCTION reclaim(_name text, _token text)
RETURNS TABLE (code text, tid text, data bytea, deliveries bigint, failures bigint, until float8, put_at float8,
    line smallint, max_attempts bigint, grp text, publisher text, headers text, place bigint) LANGUAGE plpgsql AS $$
DECLARE r queue;
BEGIN
    r := enter(_name);
    IF r.q IS NOT NULL AND r.fence NOT IN ('frozen', 'moved', 'filling') THEN
        PERFORM tick(r.q, clock());
    END IF;
    RETURN QUERY SELECT 'lease', t.tid, t.data, h.deliveries, h.failures, h.until, t.put_at, t.line,
            t.max_attempts, t.grp, t.publisher, t.headers, NULL::bigint
        FROM hidden h CROSS JOIN LATERAL (SELECT * FROM task x WHERE x.q = r.q AND x.id = h.id OFFSET 0) t
        WHERE h.q + 0 = r.q AND h.line >= 0 AND h.leased AND h.token = _token ORDER BY h.line, h.place, h.id;
END $$;

-- Who has begun to put tasks and has not committed: their places may be before those that were claimed.
CREATE FUNCTION putting() RETURNS text[] LANGUAGE sql AS $$
    SELECT coalesce(array_agg(l.virtualtransaction), '{}') FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.relation = 'ready'::regclass AND l.mode = 'RowExclusiveLock'
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
$$;
