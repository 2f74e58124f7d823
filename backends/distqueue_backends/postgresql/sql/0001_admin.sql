-- Take a task from where it stands, whatever moves it meanwhile; NULL if it is not there.
CREATE FUNCTION take_away(_q int, _id bigint, _line smallint, OUT state text, OUT deliveries bigint, OUT token text)
LANGUAGE plpgsql AS $$
BEGIN
    FOR _try IN 1..10 LOOP
        DELETE FROM ready x WHERE x.q = _q AND x.line = _line AND x.id = _id;
        IF found THEN state := 'ready'; deliveries := 0; RETURN; END IF;
        DELETE FROM returned x WHERE x.q = _q AND x.id = _id RETURNING 'ready', x.deliveries, x.token
            INTO state, deliveries, token;
        IF found THEN RETURN; END IF;
        DELETE FROM waiting x WHERE x.q = _q AND x.id = _id RETURNING 'ready', x.deliveries, x.token
            INTO state, deliveries, token;
        IF found THEN RETURN; END IF;
        DELETE FROM hidden x WHERE x.q = _q AND x.id = _id
            RETURNING CASE WHEN x.leased THEN 'leased' ELSE 'scheduled' END, x.deliveries, x.token
            INTO state, deliveries, token;
        IF found THEN RETURN; END IF;
        DELETE FROM dead x WHERE x.q = _q AND x.id = _id RETURNING 'dead', x.deliveries, x.token
            INTO state, deliveries, token;
        IF found THEN RETURN; END IF;
        DELETE FROM done x WHERE x.q = _q AND x.id = _id RETURNING 'done', x.deliveries, x.token
            INTO state, deliveries, token;
        IF found THEN RETURN; END IF;
    END LOOP;
END $$;

CREATE FUNCTION cancel(_name text, _tid text, OUT code text, OUT detail text, OUT more text) LANGUAGE plpgsql AS $$
DECLARE r queue; t task; x record; _now float8;
BEGIN
    r := enter(_name);
    IF r.fence <> 'none' THEN
        code := 'fence'; detail := r.fence; more := r.note;
        RETURN;
    END IF;
    _now := clock();
    IF r.q IS NOT NULL THEN PERFORM tick(r.q, _now); END IF;
    SELECT * INTO t FROM task WHERE q + 0 = r.q AND tid = _tid;
    x := take_away(t.q, t.id, t.line);
    IF x.state IS NULL THEN
        code := 'missing';
        RETURN;
    END IF;
    PERFORM forget_task(r.q, t.id, 'cancel', _now, x.deliveries, x.token);
    code := 'ok'; detail := x.state;
END $$;

CREATE FUNCTION purge(_name text, _states text[], OUT code text, OUT detail text, OUT more text) LANGUAGE plpgsql AS $$
DECLARE r queue; _now float8; _ids bigint[]; _counts bigint[]; _tokens text[]; x record;
BEGIN
    r := look(_name);
    IF r.fence <> 'none' THEN
        code := 'fence'; detail := r.fence; more := r.note;
        RETURN;
    END IF;
    _now := clock();
    WITH a AS (DELETE FROM ready z WHERE z.q = r.q AND 'ready' = ANY (_states) RETURNING z.id, 0::bigint AS deliveries, NULL::text AS token),
        b AS (DELETE FROM returned z WHERE z.q = r.q AND 'ready' = ANY (_states) RETURNING z.id, z.deliveries, z.token),
        c AS (DELETE FROM waiting z WHERE z.q = r.q AND 'ready' = ANY (_states) RETURNING z.id, z.deliveries, z.token),
        d AS (DELETE FROM hidden z WHERE z.q = r.q
            AND CASE WHEN z.leased THEN 'leased' ELSE 'scheduled' END = ANY (_states) RETURNING z.id, z.deliveries, z.token),
        e AS (DELETE FROM dead z WHERE z.q = r.q AND 'dead' = ANY (_states) RETURNING z.id, z.deliveries, z.token),
        f AS (DELETE FROM done z WHERE z.q = r.q AND 'done' = ANY (_states) RETURNING z.id, z.deliveries, z.token),
        g AS (SELECT * FROM a UNION ALL SELECT * FROM b UNION ALL SELECT * FROM c UNION ALL SELECT * FROM d
            UNION ALL SELECT * FROM e UNION ALL SELECT * FROM f)
        SELECT array_agg(g.id), array_agg(g.deliveries), array_agg(g.token) INTO _ids, _counts, _tokens FROM g;
    INSERT INTO gone (q, tid, at, crc, settled, deliveries, token)
        SELECT r.q, t.tid, _now, t.crc, 'purge', u.deliveries, u.token
        FROM (SELECT * FROM unnest(_ids, _counts, _tokens) AS v (id, deliveries, token) ORDER BY v.id) u
        CROSS JOIN LATERAL (SELECT y.tid, y.crc FROM task y WHERE y.q = r.q AND y.id = u.id OFFSET 0) t;
    FOR x IN SELECT t.id, t.grp, t.uniq FROM unnest(_ids) AS u (id)
        CROSS JOIN LATERAL (SELECT y.id, y.grp, y.uniq FROM task y WHERE y.q = r.q AND y.id = u.id OFFSET 0) t
        WHERE t.grp IS NOT NULL OR t.uniq IS NOT NULL ORDER BY t.grp, t.id
    LOOP
        PERFORM let_go(r.q, x.id, x.grp, x.uniq);
    END LOOP;
    DELETE FROM task WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM unnest(_ids) AS u (id)
        CROSS JOIN LATERAL (SELECT y.ctid FROM task y WHERE y.q = r.q AND y.id = u.id OFFSET 0) s));
    PERFORM forget_failures(r.q, _ids);
    -- Hashed, as it is no condition of a join so; ANY (_ids) would be a search of the index for each before PostgreSQL 17.
    DELETE FROM expiring WHERE q = r.q AND (id IN (SELECT unnest(_ids))) IS TRUE;
    code := 'ok'; detail := coalesce(cardinality(_ids), 0);
END $$;

CREATE FUNCTION redrive(_name text, _tid text, _error bytea, OUT code text, OUT detail text, OUT more text,
    OUT refused text[]) LANGUAGE plpgsql AS $$
DECLARE r queue; d dead; t task; _ids bigint[]; _count bigint := 0; _new bigint; _line smallint; _now float8;
    _first bigint := 0; _last bigint := 9223372036854775807;  -- of all of them
BEGIN
    refused := '{}';
    r := enter(_name);
    IF r.fence <> 'none' THEN
        code := 'fence'; detail := r.fence; more := r.note;
        RETURN;
    END IF;
    _now := clock();
    IF r.q IS NOT NULL THEN PERFORM tick(r.q, _now); END IF;
    IF _tid IS NOT NULL THEN
        SELECT x.id INTO _first FROM dead x WHERE x.q = r.q
            AND x.id = (SELECT y.id FROM task y WHERE y.q + 0 = r.q AND y.tid = _tid);
        _last := _first;
        IF _first IS NULL THEN
            code := 'missing';
            RETURN;
        END IF;
    END IF;
    _ids := ARRAY(SELECT x.id FROM dead x WHERE x.q = r.q AND x.id BETWEEN _first AND _last
            AND (_error IS NULL OR position(_error IN coalesce(
                (SELECT e.error FROM last_error e WHERE e.q = x.q AND e.id = x.id), '')) > 0)
        ORDER BY x.id FOR UPDATE SKIP LOCKED);
    IF EXISTS (SELECT FROM grp WHERE q = r.q) THEN
        PERFORM lock_groups(r.q, ARRAY(SELECT s.grp FROM unnest(_ids) AS u (id)
            CROSS JOIN LATERAL (SELECT x.grp FROM task x WHERE x.q = r.q AND x.id = u.id AND x.grp IS NOT NULL OFFSET 0) s));
    END IF;
    FOR d IN SELECT s.* FROM unnest(_ids) WITH ORDINALITY AS u (id, ord)
        CROSS JOIN LATERAL (SELECT * FROM dead x WHERE x.q = r.q AND x.id = u.id OFFSET 0) s ORDER BY u.ord
    LOOP
        SELECT * INTO t FROM task WHERE q = r.q AND id = d.id;
        _new := nextval('number');
        IF t.uniq IS NOT NULL AND take_key(r.q, t.uniq, _new) IS NOT NULL THEN
            refused := refused || t.tid;
            CONTINUE;
        END IF;
        IF t.grp IS NOT NULL AND join_group(r.q, t.grp, t.line, _new) <> t.line THEN
            DELETE FROM held WHERE q = r.q AND key = t.uniq AND id = _new;
            refused := refused || t.tid;
            CONTINUE;
        END IF;
        DELETE FROM dead WHERE q = r.q AND id = d.id;
        DELETE FROM task WHERE q = r.q AND id = d.id;
        t.id := _new;
        INSERT INTO task SELECT t.*;
        UPDATE failure SET id = _new WHERE q = r.q AND id = d.id;
        UPDATE last_error SET id = _new WHERE q = r.q AND id = d.id;
        d.id := _new; d.place := _new; d.failures := 0;
        IF t.grp IS NOT NULL AND EXISTS (SELECT FROM member WHERE q = r.q AND grp = t.grp AND id < _new) THEN
            INSERT INTO waiting SELECT d.*;
        ELSE
            INSERT INTO returned SELECT d.*;
        END IF;
        IF d.deliveries = 0 AND t.expires_in IS NOT NULL THEN
            INSERT INTO expiring (q, at, id) VALUES (r.q, t.put_at + t.expires_in, _new);
        END IF;
        _count := _count + 1;
    END LOOP;
    code := 'ok'; detail := _count;
END $$;

CREATE FUNCTION set_paused(_name text, _paused boolean, OUT code text, OUT detail text, OUT more text)
LANGUAGE plpgsql AS $$
DECLARE r queue;
BEGIN
    IF _paused THEN r := enter_new(_name); ELSE r := enter(_name); END IF;
    IF r.fence NOT IN ('none', 'filling') THEN
        code := 'fence'; detail := r.fence; more := r.note;
        RETURN;
    END IF;
    UPDATE queue SET paused = _paused WHERE q = r.q AND paused <> _paused;
    code := 'ok';
END $$;

-- Make a queue before a transaction of the application's puts something into it: whoever makes it in an open
-- transaction keeps everybody else waiting who wants to.
CREATE FUNCTION make_queue(_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM enter_new(_name);
END $$;

-- Use a queue alone until the commit; code is 'there' if it is.
CREATE FUNCTION enter_alone(_name text, OUT code text, OUT detail text, OUT more text, OUT has_tasks boolean)
LANGUAGE plpgsql AS $$
DECLARE r queue;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key(_name));
    r := enter(_name);
    code := CASE WHEN r.q IS NULL THEN 'new' ELSE 'there' END;
    detail := r.fence; more := r.note;
    has_tasks := EXISTS (SELECT FROM task WHERE q = r.q);
END $$;

CREATE FUNCTION set_fence(_name text, _level text, _note text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO queue (name, fence, note) VALUES (_name, _level, _note)
        ON CONFLICT (name) DO UPDATE SET fence = excluded.fence, note = excluded.note
$$;

CREATE FUNCTION clear_queue(_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE _q int; _table text;
BEGIN
    UPDATE queue SET paused = false WHERE name = _name RETURNING q INTO _q;
    FOREACH _table IN ARRAY '{task,ready,returned,waiting,hidden,dead,done,expiring,expired,held,grp,member,failure,last_error,gone}'::text[] LOOP
        EXECUTE format('DELETE FROM %I WHERE q = $1', _table) USING _q;
    END LOOP;
END $$;

-- Forget the oldest ids that are remembered: those over the window, and all but the newest so many. Answers
-- whether some are left, as there were too many for one call.
CREATE FUNCTION tidy(_window float8, _most int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE _q int; _deleted bigint; _cut bigint; _now float8 := clock(); _are_left boolean := false;
BEGIN
    FOR _q IN SELECT q FROM queue LOOP
        SELECT n INTO _cut FROM gone WHERE q = _q ORDER BY q DESC, n DESC OFFSET _most LIMIT 1;
        FOR _turn IN 1..50 LOOP
            -- What is too young is not locked: a lock is written, too. A put in an open transaction may have one.
            DELETE FROM gone WHERE ctid = ANY (ARRAY(SELECT g.ctid FROM gone g WHERE g.ctid = ANY (ARRAY(
                SELECT x.ctid FROM (SELECT y.ctid, y.at, y.n FROM gone y WHERE y.q = _q ORDER BY y.q, y.n LIMIT 2000) x
                WHERE x.at <= _now - _window OR x.n <= _cut)) FOR UPDATE SKIP LOCKED));
            GET DIAGNOSTICS _deleted = ROW_COUNT;
            EXIT WHEN _deleted < 2000;
        END LOOP;
        _are_left := _are_left OR _deleted = 2000;
        IF (SELECT count(*) FROM (SELECT FROM expired WHERE q = _q LIMIT 100) x) = 100 THEN
            WITH d AS (DELETE FROM expired WHERE q = _q RETURNING count)
                INSERT INTO expired SELECT _q, sum(count) FROM d;
        END IF;
    END LOOP;
    RETURN _are_left;
END $$;
