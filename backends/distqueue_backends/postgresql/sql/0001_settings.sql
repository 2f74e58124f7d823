-- The functions that clients call find the schema that they are in, and have their plans pinned, also those of what
-- they call: plans are kept, and one that was made for an empty queue is slower by orders of magnitude on a full one.
DO $$
DECLARE _function regprocedure;
BEGIN
    FOR _function IN SELECT oid FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
        AND proname IN ('put', 'put_special', 'claim', 'reclaim', 'ack', 'ack_and_claim', 'extend', 'give_back', 'look', 'page',
            'records', 'failed', 'remembered', 'first_in_line', 'oldest_in_line', 'counts', 'cancel', 'purge', 'redrive', 'set_paused', 'enter_alone', 'set_fence',
            'clear_queue', 'tidy', 'load', 'putting',
            'make_queue', 'is_overdue')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan'
            ' SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off'
            ' SET jit = off', _function);
    END LOOP;
END $$;
