-- Store a task as another store exported it, or (if it has no state) the id of one that is gone.
CREATE FUNCTION load(_name text, _source text, _window float8, _tid text, _crc bigint, _state text, _number bigint,
    _place bigint, _line smallint, _failures bigint, _deliveries bigint, _put_at float8, _until float8,
    _max_attempts bigint, _expires_in float8, _keep_done float8, _grp text, _uniq text, _publisher text,
    _headers text, _token text, _settled text, _error bytea, _data bytea,
    OUT code text, OUT detail text, OUT more text, OUT q int, OUT id bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE r queue; _its smallint; _holder text; _last bigint; _now float8; _is_live boolean; _is_head boolean := true;
BEGIN
    IF _source = '' THEN r := enter_new(_name); ELSE r := enter(_name); END IF;
    IF r.fence NOT IN ('none', 'filling') THEN
        code := 'fence'; detail := r.fence; more := r.note;
        RETURN;
    END IF;
    IF _source <> '' AND (r.fence <> 'filling' OR r.note <> _source) THEN
        code := 'not filled';
        RETURN;
    END IF;
    IF _state IS NULL THEN
        id := nextval('number');
    ELSE
        SELECT last_value INTO _last FROM number;
        IF greatest(_number, _place) >= _last THEN  -- others may be counting on: go far ahead of them
            PERFORM setval('number', greatest(_number, _place) + 1000000);
        END IF;
        id := _number;
        IF _number <= (SELECT max(t.id) FROM task t WHERE t.q = r.q) THEN
            id := nextval('number');
        END IF;
    END IF;
    -- Also where only the id is remembered: a task of it that is just being put is waited for, and one that is
    -- put later waits. Only then is it looked up what is remembered, as an ack may have committed meanwhile.
    INSERT INTO task (q, id, tid, put_at, crc, data, line, max_attempts, expires_in, keep_done, grp, uniq,
        publisher, headers) VALUES (r.q, load.id, _tid, _put_at, _crc, coalesce(_data, ''), coalesce(_line, 31),
        _max_attempts, _expires_in, coalesce(_keep_done, 0), _grp, _uniq, _publisher, _headers)
        ON CONFLICT ((q + 0), tid) DO NOTHING;
    IF NOT found THEN
        code := 'duplicate';
        RETURN;
    END IF;
    _now := clock();
    DELETE FROM gone g WHERE g.q + 0 = r.q AND g.tid = _tid AND g.at <= _now - _window;
    IF EXISTS (SELECT FROM gone g WHERE g.q + 0 = r.q AND g.tid = _tid) THEN
        DELETE FROM task t WHERE t.q = r.q AND t.id = load.id;
        code := 'duplicate';
        RETURN;
    END IF;
    IF _state IS NULL THEN
        DELETE FROM task t WHERE t.q = r.q AND t.id = load.id;
        INSERT INTO gone (q, tid, at, crc, settled, deliveries, token)
            VALUES (r.q, _tid, _put_at, _crc, _settled, _deliveries, _token);
        code := 'ok';
        RETURN;
    END IF;
    _is_live := _state IN ('scheduled', 'ready', 'leased');
    IF _is_live AND _uniq IS NOT NULL THEN
        _holder := take_key(r.q, _uniq, id);
        IF _holder IS NOT NULL THEN
            DELETE FROM task t WHERE t.q = r.q AND t.id = load.id;
            code := 'unique'; detail := _uniq; more := _holder;
            RETURN;
        END IF;
    END IF;
    IF _is_live AND _grp IS NOT NULL THEN
        _its := join_group(r.q, _grp, _line, id);
        IF _its <> _line THEN
            DELETE FROM task t WHERE t.q = r.q AND t.id = load.id;
            DELETE FROM held h WHERE h.q = r.q AND h.key = _uniq AND h.id = load.id;
            code := 'group'; detail := _grp; more := (31 - _its)::text;
            RETURN;
        END IF;
        _is_head := NOT EXISTS (SELECT FROM member m WHERE m.q = r.q AND m.grp = _grp AND m.id < load.id);
    END IF;
    CASE _state
        WHEN 'ready' THEN
            IF NOT _is_head THEN
                INSERT INTO waiting (q, id, line, place, size, failures, deliveries, token, settled) VALUES (r.q,
                    load.id, _line, coalesce(_place, load.id), octet_length(_data), _failures, _deliveries, _token, _settled);
            ELSE
                INSERT INTO returned (q, id, line, place, size, failures, deliveries, token, settled) VALUES (r.q,
                    load.id, _line, coalesce(_place, load.id), octet_length(_data), _failures, _deliveries, _token, _settled);
            END IF;
        WHEN 'dead' THEN
            INSERT INTO dead (q, id, line, size, failures, deliveries, token, settled) VALUES (r.q,
                load.id, _line, octet_length(_data), _failures, _deliveries, _token, _settled);
        WHEN 'done' THEN
            INSERT INTO done (q, id, line, place, size, failures, deliveries, token, settled, until) VALUES (r.q,
                load.id, _line, _place, octet_length(_data), _failures, _deliveries, _token, _settled, coalesce(_until, 0));
        ELSE
            INSERT INTO hidden (q, id, line, place, size, failures, deliveries, token, settled, leased, until)
                VALUES (r.q, load.id, _line, _place, octet_length(_data), _failures, _deliveries, _token, _settled,
                    _state = 'leased', coalesce(_until, 0));
    END CASE;
    IF _expires_in IS NOT NULL AND _deliveries = 0 AND _state IN ('ready', 'scheduled') THEN
        INSERT INTO expiring (q, at, id) VALUES (r.q, _put_at + _expires_in, load.id);
    END IF;
    PERFORM note_error(r.q, load.id, _error);
    code := 'ok'; q := r.q;
END $$;
