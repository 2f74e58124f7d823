-- A queue as it is now, for whoever looks: what has run out is gone or back in line, what is due has its place.
CREATE FUNCTION look(_name text) RETURNS queue LANGUAGE plpgsql AS $$
DECLARE r queue; _now float8;
BEGIN
    r := enter(_name);
    IF r.q IS NOT NULL AND r.fence IN ('none', 'draining') THEN
        _now := clock();
        PERFORM tick(r.q, _now);
        PERFORM place_due(r.q, _now, true);
    END IF;
    RETURN r;
END $$;

-- All that is known of tasks, but for their failed attempts: of one by its id, or of some by their numbers.
CREATE FUNCTION records(_q int, _tid text, _ids bigint[])
RETURNS TABLE (id bigint, tid text, put_at float8, expires_in float8, keep_done float8, max_attempts bigint,
    line smallint, grp text, uniq text, publisher text, headers text, data bytea, state text, place bigint,
    until float8, failures bigint, deliveries bigint, token text, settled text, error bytea) LANGUAGE plpgsql AS $$
BEGIN
    IF _tid IS NOT NULL THEN
        _ids := ARRAY(SELECT t.id FROM task t WHERE t.q + 0 = _q AND t.tid = _tid);
    END IF;
    RETURN QUERY SELECT t.id, t.tid, t.put_at, t.expires_in, t.keep_done, t.max_attempts, t.line, t.grp, t.uniq,
            t.publisher, t.headers, t.data, s.state, s.place, s.until, s.failures, s.deliveries, s.token, s.settled,
            (SELECT e.error FROM last_error e WHERE e.q = _q AND e.id = t.id)
        FROM unnest(_ids) AS u (id)
        CROSS JOIN LATERAL (SELECT * FROM task x WHERE x.q = _q AND x.id = u.id OFFSET 0) t
        CROSS JOIN LATERAL (SELECT * FROM standing x WHERE x.q = _q AND x.id = t.id AND x.line = t.line OFFSET 0) s;
END $$;

CREATE FUNCTION failed(_q int, _ids bigint[])
RETURNS TABLE (id bigint, attempt bigint, at float8, verb text, error bytea, traceback bytea) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT f.id, f.attempt, f.at, f.verb, f.error, f.traceback
        FROM unnest(_ids) AS u (id)
        CROSS JOIN LATERAL (SELECT * FROM failure x WHERE x.q = _q AND x.id = u.id OFFSET 0) f ORDER BY f.id, f.n;
END $$;

-- The ids that are remembered, from a number on.
CREATE FUNCTION remembered(_q int, _after bigint, _limit int) RETURNS TABLE (n bigint, tid text, at float8, crc bigint,
    settled text, deliveries bigint, token text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT g.n, g.tid, g.at, g.crc, g.settled, g.deliveries, g.token FROM gone g
        WHERE g.q = _q AND g.n > _after ORDER BY g.q, g.n LIMIT _limit;
END $$;

-- The ids of the tasks in some states (all if NULL), from a number on, and how large they are.
CREATE FUNCTION page(_q int, _states text[], _after bigint, _limit int) RETURNS TABLE (id bigint, size int)
LANGUAGE plpgsql AS $$
BEGIN
    IF _states IS NULL THEN
        RETURN QUERY SELECT t.id, octet_length(t.data) FROM task t
            WHERE t.q = _q AND t.id > _after ORDER BY t.q, t.id LIMIT _limit;
    ELSIF 'ready' = ANY (_states) THEN
        RETURN QUERY SELECT t.id, octet_length(t.data) FROM task t
            WHERE t.q = _q AND t.id > _after AND (SELECT s.state FROM standing s
                WHERE s.q = t.q AND s.id = t.id AND s.line = t.line) = ANY (_states) ORDER BY t.q, t.id LIMIT _limit;
    ELSE  -- without a look at each of many tasks that are ready
        RETURN QUERY SELECT x.id, x.size FROM (
            (SELECT h.id, h.size FROM hidden h WHERE h.q = _q AND h.id > _after
                AND CASE WHEN h.leased THEN 'leased' ELSE 'scheduled' END = ANY (_states) ORDER BY h.q, h.id LIMIT _limit)
            UNION ALL (SELECT d.id, d.size FROM dead d WHERE d.q = _q AND d.id > _after
                AND 'dead' = ANY (_states) ORDER BY d.q, d.id LIMIT _limit)
            UNION ALL (SELECT d.id, d.size FROM done d WHERE d.q = _q AND d.id > _after
                AND 'done' = ANY (_states) ORDER BY d.q, d.id LIMIT _limit)
            ) x ORDER BY x.id LIMIT _limit;
    END IF;
END $$;

-- The ids of the first tasks in line, in that order.
CREATE FUNCTION first_in_line(_q int, _limit int) RETURNS TABLE (id bigint, size int) LANGUAGE sql STABLE AS $$
    SELECT x.id, x.size FROM (
        (SELECT r.line, r.id AS place, r.id, r.size FROM ready r WHERE r.q = _q ORDER BY r.q, r.line, r.id LIMIT _limit)
        UNION ALL (SELECT r.line, r.place, r.id, r.size FROM returned r WHERE r.q + 0 = _q AND r.line >= 0
            ORDER BY r.q + 0, r.line, r.place, r.id LIMIT _limit)) x
    ORDER BY x.line, x.place, x.id LIMIT _limit
$$;

-- When the one was put that has waited longest of those that are first in line for their priority: from one
-- priority to the next in the indexes, however many stand between.
CREATE FUNCTION oldest_in_line(_q int) RETURNS float8 LANGUAGE sql STABLE AS $$
    WITH RECURSIVE a AS (
        (SELECT r.line, r.id FROM ready r WHERE r.q = _q ORDER BY r.q, r.line, r.id LIMIT 1)
        UNION ALL SELECT x.line, x.id FROM a CROSS JOIN LATERAL (SELECT r.line, r.id FROM ready r
            WHERE r.q = _q AND r.line > a.line ORDER BY r.q, r.line, r.id LIMIT 1) x
    ), b AS (
        (SELECT r.line, r.id FROM returned r WHERE r.q + 0 = _q AND r.line >= 0
            ORDER BY r.q + 0, r.line, r.place, r.id LIMIT 1)
        UNION ALL SELECT x.line, x.id FROM b CROSS JOIN LATERAL (SELECT r.line, r.id FROM returned r
            WHERE r.q + 0 = _q AND r.line > b.line AND r.line >= 0
            ORDER BY r.q + 0, r.line, r.place, r.id LIMIT 1) x
    )
    SELECT min((SELECT t.put_at FROM task t WHERE t.q = _q AND t.id = f.id))
    FROM (SELECT id FROM a UNION ALL SELECT id FROM b) f
$$;

CREATE FUNCTION counts(_name text) RETURNS TABLE (paused boolean, fence text, note text, ready bigint,
    waiting bigint, scheduled bigint, leased bigint, done bigint, dead bigint, remembered bigint, expired bigint,
    oldest_ready_at float8, next_due_at float8) LANGUAGE plpgsql AS $$
DECLARE r queue;
BEGIN
    r := look(_name);
    RETURN QUERY SELECT r.paused, r.fence, r.note,
        (SELECT count(*) FROM ready x WHERE x.q = r.q) + (SELECT count(*) FROM returned x WHERE x.q = r.q)
            + (SELECT count(*) FROM waiting x WHERE x.q = r.q),
        (SELECT count(*) FROM waiting x WHERE x.q = r.q),
        (SELECT count(*) FROM hidden x WHERE x.q + 0 = r.q AND x.line >= 0 AND NOT x.leased),
        (SELECT count(*) FROM hidden x WHERE x.q + 0 = r.q AND x.line >= 0 AND x.leased),
        (SELECT count(*) FROM done x WHERE x.q = r.q),
        (SELECT count(*) FROM dead x WHERE x.q = r.q),
        (SELECT count(*) FROM gone x WHERE x.q = r.q),
        (SELECT coalesce(sum(x.count), 0)::bigint FROM expired x WHERE x.q = r.q),
        oldest_in_line(r.q),
        (SELECT min(x.until) FROM hidden x WHERE x.q + 0 = r.q AND x.line >= 0 AND NOT x.leased);
END $$;
