-- Why a receipt settles nothing (any more): a code, and what belongs to it.
CREATE FUNCTION why(_q int, _tid text, _token text, _deliveries bigint, _verb text, _window float8, _now float8,
    OUT code text, OUT state text, OUT until float8, OUT detail text) LANGUAGE plpgsql AS $$
DECLARE t task; s record; g gone;
BEGIN
    SELECT * INTO t FROM task WHERE q + 0 = _q AND tid = _tid;
    IF NOT found THEN
        SELECT * INTO g FROM gone WHERE q + 0 = _q AND tid = _tid AND at > _now - _window;
        state := 'done';
        detail := g.settled;
        code := CASE WHEN g.tid IS NULL THEN 'unknown' WHEN g.settled IN ('cancel', 'purge') THEN 'gone'
            WHEN (g.deliveries, g.token) IS DISTINCT FROM (_deliveries, _token) THEN 'another'
            WHEN g.settled = _verb THEN 'again' ELSE 'settled' END;
        RETURN;
    END IF;
    SELECT * INTO s FROM standing x WHERE x.q = _q AND x.id = t.id AND x.line = t.line;
    state := s.state; until := s.until; detail := s.settled;
    code := CASE WHEN (s.deliveries, s.token) IS DISTINCT FROM (_deliveries, _token) THEN 'stale'
        WHEN s.state = 'leased' OR s.settled IS NULL THEN 'stale' WHEN s.settled = _verb THEN 'again'
        ELSE 'settled' END;
END $$;

-- End deliveries as done. What is not simply gone after that is answered, by its position; and whether a
-- group has a next member in line now.
CREATE FUNCTION ack(_name text, _window float8, _tids text[], _tokens text[], _deliveries bigint[])
RETURNS TABLE (ord bigint, code text, state text, until float8, detail text) LANGUAGE plpgsql AS $$
DECLARE r queue; _now float8; _ok bigint[]; _failed bigint[]; _ids bigint[]; _grps text[]; _uniqs text[];
    _kept bigint[]; _untils float8[]; one record; _out tid[]; _over tid[]; _gone text[]; _crcs bigint[];
    _counts bigint[]; _given text[]; _is_special boolean;
BEGIN
    r := enter(_name);
    IF r.fence NOT IN ('none', 'draining') THEN
        RETURN QUERY SELECT 0::bigint, 'fence', r.fence, NULL::float8, r.note;
        RETURN;
    END IF;
    _now := clock();
    -- Found and locked first: each statement after this one sees the newest version of what is locked.
    SELECT array_agg(u.ord), array_agg(h.at), array_agg(t.at), array_agg(u.tid), array_agg(t.crc),
        array_agg(u.deliveries), array_agg(u.token),
        bool_or(t.keep_done > 0 OR u.deliveries > 1 OR t.grp IS NOT NULL OR t.uniq IS NOT NULL)
        INTO _ok, _out, _over, _gone, _crcs, _counts, _given, _is_special
    FROM unnest(_tids, _tokens, _deliveries) WITH ORDINALITY AS u (tid, token, deliveries, ord)
    CROSS JOIN LATERAL (SELECT x.ctid AS at, x.id, x.crc, x.keep_done, x.grp, x.uniq
        FROM task x WHERE x.q + 0 = r.q AND x.tid = u.tid OFFSET 0) t
    CROSS JOIN LATERAL (SELECT x.ctid AS at FROM hidden x
        WHERE x.q = r.q AND x.id = t.id AND x.leased AND x.until > _now
            AND x.token = u.token AND x.deliveries = u.deliveries FOR UPDATE) h;
    IF _is_special THEN
        SELECT array_agg(u.at) FILTER (WHERE t.keep_done = 0), array_agg(u.tid) FILTER (WHERE t.keep_done = 0),
            array_agg(u.crc) FILTER (WHERE t.keep_done = 0), array_agg(u.deliveries) FILTER (WHERE t.keep_done = 0),
            array_agg(u.token) FILTER (WHERE t.keep_done = 0),
            array_agg(t.id) FILTER (WHERE u.deliveries > 1 AND t.keep_done = 0),  -- a redrive sets failures to 0
            array_agg(t.id) FILTER (WHERE t.grp IS NOT NULL OR t.uniq IS NOT NULL),
            array_agg(t.grp) FILTER (WHERE t.grp IS NOT NULL OR t.uniq IS NOT NULL),
            array_agg(t.uniq) FILTER (WHERE t.grp IS NOT NULL OR t.uniq IS NOT NULL),
            array_agg(u.ord) FILTER (WHERE t.keep_done > 0),
            array_agg(_now + t.keep_done) FILTER (WHERE t.keep_done > 0)
            INTO _over, _gone, _crcs, _counts, _given, _failed, _ids, _grps, _uniqs, _kept, _untils
        FROM unnest(_ok, _over, _gone, _crcs, _counts, _given) AS u (ord, at, tid, crc, deliveries, token)
        CROSS JOIN LATERAL (SELECT x.id, x.keep_done, x.grp, x.uniq FROM task x WHERE x.ctid = u.at OFFSET 0) t;
    END IF;
    IF _kept IS NOT NULL THEN
        INSERT INTO done (q, id, line, place, size, failures, deliveries, token, settled, until)
            SELECT r.q, x.id, x.line, x.place, x.size, x.failures, x.deliveries, x.token, 'ack', u.until
            FROM unnest(_kept, _untils) AS u (ord, until)
            CROSS JOIN LATERAL (SELECT t.id FROM task t WHERE t.q + 0 = r.q AND t.tid = _tids[u.ord] OFFSET 0) t
            CROSS JOIN LATERAL (SELECT * FROM hidden h WHERE h.q = r.q AND h.id = t.id OFFSET 0) x;
    END IF;
    DELETE FROM hidden WHERE ctid = ANY (_out);
    DELETE FROM task WHERE ctid = ANY (_over);
    INSERT INTO gone (q, tid, at, crc, settled, deliveries, token)  -- the put has seen to it that none is there
        SELECT r.q, u.tid, _now, u.crc, 'ack', u.deliveries, u.token
        FROM unnest(_gone, _crcs, _counts, _given) AS u (tid, crc, deliveries, token);
    IF _failed IS NOT NULL THEN PERFORM forget_failures(r.q, _failed); END IF;
    IF _ids IS NOT NULL THEN
        code := NULL;
        FOR one IN SELECT * FROM unnest(_ids, _grps, _uniqs) AS u (id, grp, uniq) ORDER BY grp COLLATE "C", id LOOP
            IF let_go(r.q, one.id, one.grp, one.uniq) THEN code := 'freed'; END IF;
        END LOOP;
        IF code IS NOT NULL THEN ord := 0; RETURN NEXT; END IF;
    END IF;
    IF _kept IS NOT NULL THEN
        RETURN QUERY SELECT u.ord, 'ok', 'done', u.until, NULL FROM unnest(_kept, _untils) AS u (ord, until);
    END IF;
    IF coalesce(cardinality(_ok), 0) < cardinality(_tids) THEN
        RETURN QUERY SELECT u.ord, w.* FROM unnest(_tids, _tokens, _deliveries) WITH ORDINALITY
            AS u (tid, token, deliveries, ord),
            LATERAL why(r.q, u.tid, u.token, u.deliveries, 'ack', _window, _now) w
            WHERE _ok IS NULL OR u.ord NOT IN (SELECT unnest(_ok));  -- hashed; <> ALL (_ok) reads it for each
    END IF;
END $$;

-- End deliveries of one queue as done, and take the first tasks in line of another one or the same, in one round
-- trip: rows with ord are what ack answers (state and detail stand in tid and grp), the others what claim does.
CREATE FUNCTION ack_and_claim(_name text, _window float8, _tids text[], _tokens text[], _deliveries bigint[],
    _other text, _count int, _lease float8, _token text, _room bigint, _line smallint, _from bigint)
RETURNS TABLE (code text, tid text, data bytea, deliveries bigint, failures bigint, until float8, put_at float8,
    line smallint, max_attempts bigint, grp text, publisher text, headers text, place bigint, ord bigint)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT a.code, a.state, NULL::bytea, NULL::bigint, NULL::bigint, a.until, NULL::float8,
        NULL::smallint, NULL::bigint, a.detail, NULL::text, NULL::text, NULL::bigint, a.ord
        FROM ack(_name, _window, _tids, _tokens, _deliveries) a;
    RETURN QUERY SELECT c.*, NULL::bigint FROM claim(_other, _count, _lease, _token, _room, _line, _from) c;
END $$;

-- Let leases end later, or earlier.
CREATE FUNCTION extend(_name text, _window float8, _tids text[], _tokens text[], _deliveries bigint[],
    _leases float8[])
RETURNS TABLE (ord bigint, code text, state text, until float8, detail text) LANGUAGE plpgsql AS $$
DECLARE r queue; _now float8; u record; _id bigint;
BEGIN
    r := enter(_name);
    IF r.fence NOT IN ('none', 'draining') THEN
        RETURN QUERY SELECT 0::bigint, 'fence', r.fence, NULL::float8, r.note;
        RETURN;
    END IF;
    _now := clock();
    FOR u IN SELECT * FROM unnest(_tids, _tokens, _deliveries, _leases) WITH ORDINALITY
        AS u (tid, token, deliveries, lease, ord)
    LOOP
        SELECT t.id INTO _id FROM task t WHERE t.q + 0 = r.q AND t.tid = u.tid;
        UPDATE hidden h SET until = _now + u.lease WHERE h.q = r.q AND h.id = _id AND h.leased AND h.until > _now
            AND h.token = u.token AND h.deliveries = u.deliveries;
        IF found THEN
            ord := u.ord; code := 'ok'; state := 'leased'; until := _now + u.lease; detail := NULL;
            RETURN NEXT;
        ELSE
            RETURN QUERY SELECT u.ord, w.*
                FROM why(r.q, u.tid, u.token, u.deliveries, 'extend', _window, _now) w;
        END IF;
    END LOOP;
END $$;

-- The exponential backoff of distqueue.retry, of which a share is taken off.
CREATE FUNCTION backoff(_attempt bigint, _first float8, _factor float8, _cap float8) RETURNS float8
LANGUAGE plpgsql AS $$
BEGIN
    RETURN least(_first * power(_factor, _attempt - 1), _cap);
EXCEPTION WHEN numeric_value_out_of_range THEN
    RETURN _cap;
END $$;

-- Give deliveries back: retry, release or reject. A delay that is NULL is that of the backoff.
CREATE FUNCTION give_back(_name text, _verb text, _window float8, _tids text[], _tokens text[],
    _deliveries bigint[], _delays float8[], _firsts float8[], _factors float8[], _caps float8[], _shares float8[],
    _errors bytea[], _shorts bytea[], _tracebacks bytea[])
RETURNS TABLE (ord bigint, code text, state text, until float8, detail text) LANGUAGE plpgsql AS $$
DECLARE r queue; _now float8; u record; t record; h hidden; _delay float8; _freed boolean := false;
BEGIN
    r := enter(_name);
    IF r.fence NOT IN ('none', 'draining') THEN
        RETURN QUERY SELECT 0::bigint, 'fence', r.fence, NULL::float8, r.note;
        RETURN;
    END IF;
    _now := clock();
    IF _verb <> 'release' AND cardinality(_tids) > 1 AND EXISTS (SELECT FROM grp WHERE q = r.q) THEN
        -- Those of the tasks that die.
        PERFORM lock_groups(r.q, ARRAY(SELECT o.grp
            FROM unnest(_tids, _tokens, _deliveries) AS v (tid, token, deliveries)
            CROSS JOIN LATERAL (SELECT x.id, x.max_attempts, x.grp FROM task x
                WHERE x.q + 0 = r.q AND x.tid = v.tid AND x.grp IS NOT NULL OFFSET 0) o
            CROSS JOIN LATERAL (SELECT FROM hidden x WHERE x.q = r.q AND x.id = o.id AND x.leased
                AND x.token = v.token AND x.deliveries = v.deliveries
                AND (_verb = 'reject' OR x.failures + 1 >= o.max_attempts) FOR UPDATE) s));
    END IF;
    FOR u IN SELECT * FROM unnest(_tids, _tokens, _deliveries, _delays, _firsts, _factors, _caps, _shares,
        _errors, _shorts, _tracebacks) WITH ORDINALITY
        AS u (tid, token, deliveries, delay, first, factor, cap, share, error, short, traceback, ord)
    LOOP
        SELECT x.id, x.max_attempts, x.grp, x.uniq INTO t FROM task x WHERE x.q + 0 = r.q AND x.tid = u.tid;
        DELETE FROM hidden x WHERE x.q = r.q AND x.id = t.id AND x.leased AND x.until > _now
            AND x.token = u.token AND x.deliveries = u.deliveries RETURNING * INTO h;
        IF NOT found THEN
            RETURN QUERY SELECT u.ord, w.*
                FROM why(r.q, u.tid, u.token, u.deliveries, _verb, _window, _now) w;
            CONTINUE;
        END IF;
        ord := u.ord; code := 'ok'; until := NULL; detail := NULL;
        IF _verb <> 'release' THEN
            PERFORM note_failure(r.q, h.id, h.failures + 1, _now, _verb, u.short, u.traceback);
            PERFORM note_error(r.q, h.id, u.error);
            h.failures := h.failures + 1;
        END IF;
        IF _verb = 'reject' OR (_verb = 'retry' AND h.failures >= t.max_attempts) THEN
            INSERT INTO dead (q, id, line, size, failures, deliveries, token, settled)
                VALUES (r.q, h.id, h.line, h.size, h.failures, h.deliveries, h.token, _verb);
            _freed := let_go(r.q, h.id, t.grp, t.uniq) OR _freed;
            state := 'dead';
            RETURN NEXT;
            CONTINUE;
        END IF;
        _delay := coalesce(u.delay, backoff(h.failures, u.first, u.factor, u.cap) * u.share);
        IF _now + _delay > _now THEN
            state := 'scheduled'; until := _now + _delay;
            INSERT INTO hidden (q, id, line, size, failures, deliveries, token, settled, leased, until)
                VALUES (r.q, h.id, h.line, h.size, h.failures, h.deliveries, h.token, _verb, false, until);
        ELSE
            state := 'ready';
            INSERT INTO returned (q, id, line, place, size, failures, deliveries, token, settled)
                VALUES (r.q, h.id, h.line, CASE _verb WHEN 'retry' THEN nextval('number') ELSE h.place END,
                    h.size, h.failures, h.deliveries, h.token, _verb);
        END IF;
        _freed := true;
        RETURN NEXT;
    END LOOP;
    IF _freed THEN
        RETURN QUERY SELECT 0::bigint, 'freed', NULL, NULL::float8, NULL;
    END IF;
END $$;
