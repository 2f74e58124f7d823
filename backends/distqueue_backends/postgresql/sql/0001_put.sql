-- Tasks without a unique key and without a group, all at once. Arrays that are NULL stand for defaults; 0
-- attempts for no limit. Only what was not stored is answered. In a transaction of the application's, whose end
-- nobody knows, what has run out is left to others (_ticks).
CREATE FUNCTION put(_name text, _levels text[], _window float8, _ticks boolean, _tids text[], _crcs bigint[],
    _datas bytea[], _lines smallint[], _dues float8[], _delays float8[], _attempts bigint[], _expires float8[],
    _keeps float8[], _publishers text[], _headers text[])
RETURNS TABLE (ord bigint, code text, detail text, more text) LANGUAGE plpgsql AS $$
DECLARE r queue; _now float8; _new text[]; _known text[]; _stale text[]; _ids bigint[]; _theirs smallint[];
    _ends float8[];
BEGIN
    r := enter_new(_name);
    IF r.fence <> ALL (_levels) THEN
        RETURN QUERY SELECT 0::bigint, 'fence', r.fence, r.note;
        RETURN;
    END IF;
    _now := clock();
    IF _ticks THEN PERFORM tick(r.q, _now); END IF;
    IF num_nonnulls(_lines, _dues, _delays, _attempts, _expires, _keeps, _publishers, _headers) = 0 THEN
        -- The same for tasks without options: what is not in a statement is not begun with it, either.
        WITH i AS (
            INSERT INTO task (q, id, tid, put_at, crc, data, line)
            SELECT r.q, nextval('number'), u.tid, _now, u.crc, u.data, 31
            FROM unnest(_tids, _crcs, _datas) AS u (tid, crc, data)
            ON CONFLICT ((q + 0), tid) DO NOTHING
            RETURNING id, tid, octet_length(data) AS size
        ), s AS (
            INSERT INTO ready (q, line, id, size) SELECT r.q, 31, id, size FROM i
        )
        SELECT coalesce(array_agg(tid), '{}') INTO _new FROM i;
    ELSE
        WITH i AS (
            INSERT INTO task (q, id, tid, put_at, crc, data, line, due, max_attempts, expires_in, keep_done,
                publisher, headers)
            SELECT r.q, nextval('number'), u.tid, _now, u.crc, u.data, coalesce(u.line, 31::smallint),
                CASE WHEN coalesce(u.due, _now + u.delay) > _now THEN coalesce(u.due, _now + u.delay) END,
                CASE WHEN u.attempts IS NULL THEN 5 WHEN u.attempts = 0 THEN NULL ELSE u.attempts END,
                u.expires, coalesce(u.keep, 0), u.publisher, u.headers
            FROM unnest(_tids, _crcs, _datas, _lines, _dues, _delays, _attempts, _expires, _keeps, _publishers,
                    _headers)
                AS u (tid, crc, data, line, due, delay, attempts, expires, keep, publisher, headers)
            ON CONFLICT ((q + 0), tid) DO NOTHING
            RETURNING id, tid, line, due, expires_in, octet_length(data) AS size
        ), s AS (
            INSERT INTO ready (q, line, id, size) SELECT r.q, line, id, size FROM i WHERE due IS NULL
        ), h AS (
            INSERT INTO hidden (q, id, line, size, leased, until)
                SELECT r.q, id, line, size, false, due FROM i WHERE due IS NOT NULL
        ), e AS (
            INSERT INTO expiring (q, at, id) SELECT r.q, _now + expires_in, id FROM i WHERE expires_in IS NOT NULL
        )
        SELECT coalesce(array_agg(tid), '{}') INTO _new FROM i;
    END IF;
    -- Looked up now, as an ack may have committed while the id was being inserted.
    SELECT array_agg(g.tid) FILTER (WHERE g.at > _now - _window),
        array_agg(g.tid) FILTER (WHERE g.at <= _now - _window) INTO _known, _stale
        FROM gone g WHERE g.tid = ANY (_new) AND g.q + 0 = r.q;
    IF _stale IS NOT NULL THEN
        DELETE FROM gone WHERE ctid = ANY (ARRAY(SELECT g.ctid FROM unnest(_stale) AS u (tid)
            CROSS JOIN LATERAL (SELECT x.ctid FROM gone x WHERE x.q + 0 = r.q AND x.tid = u.tid OFFSET 0) g));
    END IF;
    IF _known IS NOT NULL THEN
        WITH d AS (
            DELETE FROM task WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM unnest(_known) AS u (tid)
                CROSS JOIN LATERAL (SELECT x.ctid FROM task x WHERE x.q + 0 = r.q AND x.tid = u.tid OFFSET 0) t))
            RETURNING id, line, put_at + expires_in AS at
        )
        SELECT array_agg(id), array_agg(line), array_agg(at) INTO _ids, _theirs, _ends FROM d;
        DELETE FROM ready WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM unnest(_ids, _theirs) AS u (id, line)
            CROSS JOIN LATERAL (SELECT x.ctid FROM ready x
                WHERE x.q = r.q AND x.line = u.line AND x.id = u.id OFFSET 0) s));
        DELETE FROM hidden WHERE ctid = ANY (ARRAY(SELECT h.ctid FROM unnest(_ids) AS u (id)
            CROSS JOIN LATERAL (SELECT x.ctid FROM hidden x WHERE x.q = r.q AND x.id = u.id OFFSET 0) h));
        DELETE FROM expiring WHERE ctid = ANY (ARRAY(SELECT e.ctid FROM unnest(_ids, _ends) AS u (id, at)
            CROSS JOIN LATERAL (SELECT x.ctid FROM expiring x
                WHERE x.q = r.q AND x.at = u.at AND x.id = u.id OFFSET 0) e));
    ELSIF cardinality(_new) = cardinality(_tids) THEN
        RETURN;
    END IF;
    RETURN QUERY
        SELECT v.ord, CASE WHEN v.crc = coalesce(t.crc, g.crc) THEN 'duplicate' ELSE 'mismatch' END, v.tid, ''
        FROM (SELECT u.*, row_number() OVER (PARTITION BY u.tid ORDER BY u.ord) AS nth
            FROM unnest(_tids, _crcs) WITH ORDINALITY AS u (tid, crc, ord)) v
        LEFT JOIN LATERAL (SELECT x.crc FROM task x WHERE x.q + 0 = r.q AND x.tid = v.tid OFFSET 0) t ON true
        LEFT JOIN LATERAL (SELECT x.crc FROM gone x WHERE x.q + 0 = r.q AND x.tid = v.tid
            AND x.at > _now - _window OFFSET 0) g ON true
        WHERE NOT (v.nth = 1 AND v.tid IN (SELECT unnest(_new)) AND v.tid NOT IN (SELECT unnest(_known)))  -- hashed
        ORDER BY v.ord;
END $$;

-- Tasks of which some have a unique key or a group, one after the other.
CREATE FUNCTION put_special(_name text, _levels text[], _window float8, _ticks boolean, _tids text[],
    _crcs bigint[], _datas bytea[], _lines smallint[], _dues float8[], _delays float8[], _attempts bigint[],
    _expires float8[], _keeps float8[], _publishers text[], _headers text[], _grps text[], _uniqs text[])
RETURNS TABLE (ord bigint, code text, detail text, more text) LANGUAGE plpgsql AS $$
DECLARE r queue; u record; t task; _now float8; _due float8; _holder text; _crc bigint; _line smallint;
BEGIN
    r := enter_new(_name);
    IF r.fence <> ALL (_levels) THEN
        RETURN QUERY SELECT 0::bigint, 'fence', r.fence, r.note;
        RETURN;
    END IF;
    _now := clock();
    IF _ticks THEN PERFORM tick(r.q, _now); END IF;
    LOCK TABLE ready IN ROW EXCLUSIVE MODE;  -- so that whoever has a place in line is seen by putting()
    PERFORM lock_groups(r.q, _grps);
    FOR u IN SELECT * FROM unnest(_tids, _crcs, _datas, _lines, _dues, _delays, _attempts, _expires, _keeps,
        _publishers, _headers, _grps, _uniqs) WITH ORDINALITY
        AS u (tid, crc, data, line, due, delay, attempts, expires, keep, publisher, headers, grp, uniq, ord)
    LOOP
        ord := u.ord; detail := u.tid; more := '';
        _due := coalesce(u.due, _now + u.delay);
        IF _due <= _now THEN _due := NULL; END IF;
        _line := coalesce(u.line, 31::smallint);
        INSERT INTO task (q, id, tid, put_at, crc, data, line, due, max_attempts, expires_in, keep_done,
            publisher, headers, grp, uniq)
            VALUES (r.q, nextval('number'), u.tid, _now, u.crc, u.data, _line, _due,
                CASE WHEN u.attempts IS NULL THEN 5 WHEN u.attempts = 0 THEN NULL ELSE u.attempts END,
                u.expires, coalesce(u.keep, 0), u.publisher, u.headers, u.grp, u.uniq)
            ON CONFLICT ((q + 0), tid) DO NOTHING RETURNING id INTO t.id;
        IF NOT found THEN
            SELECT crc INTO _crc FROM task WHERE q + 0 = r.q AND tid = u.tid;
            code := CASE WHEN _crc = u.crc THEN 'duplicate' ELSE 'mismatch' END;
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT crc INTO _crc FROM gone WHERE q + 0 = r.q AND tid = u.tid AND at > _now - _window;
        IF found THEN
            DELETE FROM task WHERE q = r.q AND id = t.id;
            code := CASE WHEN _crc = u.crc THEN 'duplicate' ELSE 'mismatch' END;
            RETURN NEXT;
            CONTINUE;
        END IF;
        DELETE FROM gone WHERE q + 0 = r.q AND tid = u.tid;
        IF u.uniq IS NOT NULL THEN
            _holder := take_key(r.q, u.uniq, t.id);
            IF _holder IS NOT NULL THEN
                DELETE FROM task WHERE q = r.q AND id = t.id;
                code := 'unique'; detail := u.uniq; more := _holder;
                RETURN NEXT;
                CONTINUE;
            END IF;
        END IF;
        IF u.grp IS NOT NULL THEN
            _line := join_group(r.q, u.grp, _line, t.id);
            IF _line <> coalesce(u.line, 31::smallint) THEN
                DELETE FROM task WHERE q = r.q AND id = t.id;
                DELETE FROM held WHERE q = r.q AND key = u.uniq AND id = t.id;
                code := 'group'; detail := u.grp; more := (31 - _line)::text;
                RETURN NEXT;
                CONTINUE;
            END IF;
        END IF;
        PERFORM stand(r.q, t.id, _line, octet_length(u.data), u.grp, _due);
        IF u.expires IS NOT NULL THEN
            INSERT INTO expiring (q, at, id) VALUES (r.q, _now + u.expires, t.id);
        END IF;
    END LOOP;
END $$;

-- Take a unique key, or return the id of the task that holds it.
CREATE FUNCTION take_key(_q int, _key text, _id bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE _holder text;
BEGIN
    LOOP
        INSERT INTO held (q, key, id) VALUES (_q, _key, _id) ON CONFLICT (q, key) DO NOTHING;
        IF found THEN RETURN NULL; END IF;
        SELECT tid INTO _holder FROM task
            WHERE q = _q AND id = (SELECT h.id FROM held h WHERE h.q = _q AND h.key = _key);
        IF found THEN RETURN _holder; END IF;  -- else it was let go of just now
    END LOOP;
END $$;

-- Become the last member of a group, which is locked then; return its line, if that is another one.
CREATE FUNCTION join_group(_q int, _grp text, _line smallint, _id bigint) RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE _its smallint;
BEGIN
    INSERT INTO grp AS g (q, name, line) VALUES (_q, _grp, _line)
        ON CONFLICT (q, name) DO UPDATE SET name = excluded.name RETURNING g.line INTO _its;
    IF _its = _line THEN
        INSERT INTO member (q, grp, id) VALUES (_q, _grp, _id);
    END IF;
    RETURN _its;
END $$;

-- A new task comes to stand where it belongs.
CREATE FUNCTION stand(_q int, _id bigint, _line smallint, _size int, _grp text, _due float8) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF _due IS NOT NULL THEN
        INSERT INTO hidden (q, id, line, size, leased, until) VALUES (_q, _id, _line, _size, false, _due);
    ELSIF _grp IS NOT NULL AND EXISTS (SELECT FROM member WHERE q = _q AND grp = _grp AND id < _id) THEN
        INSERT INTO waiting (q, id, line, place, size) VALUES (_q, _id, _line, _id, _size);
    ELSE
        INSERT INTO ready (q, line, id, size) VALUES (_q, _line, _id, _size);
    END IF;
END $$;
