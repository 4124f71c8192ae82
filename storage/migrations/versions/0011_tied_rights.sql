-- Rights and the rules of approval change only together with an event that records the change: at the commit, a
-- deferred trigger on each table looks for that event among those that the same transaction appended. The last event
-- and the committed row count. The owner of the tables is exempt, since no trigger stops it: migrations need no events.

-- Whether the session's role is, or can become, the owner of these tables. Not by name: a dump can be restored under
-- another name.
CREATE FUNCTION owner_is_here() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT pg_has_role(session_user, current_user, 'MEMBER')
$$;

-- The events that this transaction has appended to a chain, the last first. Other transactions cannot append in the
-- meantime: appending locks the chain's head until the transaction ends.
CREATE FUNCTION told_now(p_chain text) RETURNS SETOF jsonb LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    event record;
BEGIN
    FOR event IN SELECT e.xmin AS writer, e.entry FROM audit_events e WHERE e.chain = p_chain ORDER BY e.seq DESC LOOP
        EXIT WHEN event.writer <> pg_current_xact_id()::xid;
        RETURN NEXT event.entry::jsonb;
    END LOOP;
END
$$;

-- The last of them with one of these actions about a subject; null if there is none.
CREATE FUNCTION told_of(p_chain text, p_subject text, VARIADIC p_actions text[]) RETURNS jsonb LANGUAGE sql VOLATILE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT e.event FROM told_now(p_chain) WITH ORDINALITY AS e (event, nth)
    WHERE e.event ->> 'action' = ANY (p_actions) AND e.event ->> 'subjectId' = p_subject ORDER BY e.nth LIMIT 1
$$;

CREATE FUNCTION refuse_untold(p_what text, p_table text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: no event of the same transaction tells of it.', p_what, p_table
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE FUNCTION tie_principal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    now_is principals;
    made jsonb := told_of('registry', NEW.id, 'principal.created');
    administers_set jsonb := told_of('registry', NEW.id, 'principal.administersSet') #> '{details,after,administers}';
BEGIN
    SELECT * INTO STRICT now_is FROM principals WHERE id = NEW.id;
    IF TG_OP = 'INSERT' AND (made ->> 'actor', made #>> '{details,after,email}', made #>> '{details,after,kind}')
            IS DISTINCT FROM (now_is.created_by, now_is.email, now_is.kind)
        OR coalesce(administers_set, CASE TG_OP WHEN 'INSERT' THEN to_jsonb(false) END)
            IS DISTINCT FROM to_jsonb(now_is.administers)
    THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION tie_member() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    changed members := coalesce(NEW, OLD);
    person text := (SELECT email FROM principals WHERE id = changed.principal_id);
    now_is members;
    told jsonb;
BEGIN
    SELECT * INTO now_is FROM members m
    WHERE (m.project_id, m.principal_id) = (changed.project_id, changed.principal_id);
    SELECT e.event INTO told FROM told_now(changed.project_id) WITH ORDINALITY AS e (event, nth)
    WHERE e.event ->> 'action' IN ('member.set', 'member.removed') AND e.event ->> 'subjectId' = changed.project_id
        AND coalesce(e.event #>> '{details,after,email}', e.event #>> '{details,before,email}') = person
    ORDER BY e.nth LIMIT 1;
    IF told IS NULL OR told ->> 'projectId' IS DISTINCT FROM changed.project_id
        OR told #>> '{details,after,role}' IS DISTINCT FROM now_is.role
        OR (told ->> 'action' = 'member.set') <> (now_is.role IS NOT NULL)
        OR (TG_OP = 'INSERT' AND told ->> 'actor' <> now_is.created_by)
    THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

-- Each changed column has the value in the last event that names it. The time when a person last lost a reviewer's role
-- is not part of the policy, and follows from the events of members.
CREATE FUNCTION tie_policy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    may_change CONSTANT text[] := ARRAY['project_id', 'reviewer_left_at'];
    was jsonb := CASE TG_OP WHEN 'UPDATE' THEN to_jsonb(OLD) ELSE '{}' END;
    told jsonb := '{}';
BEGIN
    SELECT told || coalesce(jsonb_object_agg(f.key, f.value ORDER BY e.nth DESC), '{}') INTO told
    FROM told_now(NEW.project_id) WITH ORDINALITY AS e (event, nth)
    CROSS JOIN LATERAL jsonb_each(CASE e.event ->> 'action' WHEN 'policy.updated' THEN e.event #> '{details,after}'
        WHEN 'project.created' THEN e.event #> '{details,after,policy}' ELSE '{}' END) f
    WHERE e.event ->> 'subjectId' = NEW.project_id AND e.event ->> 'projectId' = NEW.project_id;
    IF EXISTS (
        SELECT FROM project_policies y CROSS JOIN LATERAL jsonb_each(to_jsonb(y) - may_change) c
        WHERE y.project_id = NEW.project_id AND to_jsonb(NEW) -> c.key IS DISTINCT FROM was -> c.key
            AND c.value IS DISTINCT FROM told -> c.key
    ) THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION tie_policy_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    now_is policy_changes;
    told jsonb := told_of(NEW.project_id, NEW.id, 'policy.changeRequested', 'policy.changeApplied',
        'policy.changeConfirmed', 'policy.changeWithdrawn');
    asked jsonb := told #> '{details,after}';
BEGIN
    SELECT * INTO STRICT now_is FROM policy_changes WHERE id = NEW.id;
    IF TG_OP = 'UPDATE' AND (OLD.status, now_is.status) = ('APPLIED', 'REPLACED') THEN
        -- It gave way to another change, which the event of the policy tells of.
        told := told_of(NEW.project_id, NEW.project_id, 'policy.updated');
    ELSIF asked ->> 'status' IS DISTINCT FROM now_is.status
        OR TG_OP = 'UPDATE' AND OLD.effective_at <> now_is.effective_at AND now_is.status <> 'APPLIED'
        OR asked ->> 'confirmedBy' IS DISTINCT FROM now_is.confirmed_by
        OR TG_OP = 'INSERT' AND (told ->> 'actor', lower(asked ->> 'field'), asked -> 'from', asked -> 'to',
                (asked ->> 'effectiveAt')::timestamptz, asked -> 'alone')
            IS DISTINCT FROM (now_is.created_by, replace(now_is.field, '_', ''), now_is.from_value::jsonb,
                now_is.to_value::jsonb, now_is.effective_at, to_jsonb(now_is.alone))
    THEN
        told := NULL;
    END IF;
    IF told IS NULL THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

-- Recording the use of a key needs no event.
CREATE FUNCTION tie_key() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    now_is api_keys;
    made jsonb := told_of('registry', NEW.id, 'key.created', 'key.rotated');
    facts jsonb := made #> '{details,after}';
    ended jsonb;
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'last_used_at' = to_jsonb(OLD) - 'last_used_at' THEN
        RETURN NULL;
    END IF;
    SELECT * INTO STRICT now_is FROM api_keys WHERE id = NEW.id;
    IF TG_OP = 'INSERT' THEN
        IF (made ->> 'actor', facts ->> 'name', facts ->> 'email', facts ->> 'projectId', facts -> 'mayAttest',
                (facts ->> 'expiresAt')::timestamptz, NULL::timestamptz)
            IS DISTINCT FROM (now_is.created_by, now_is.name,
                (SELECT email FROM principals WHERE id = now_is.principal_id), now_is.project_id,
                to_jsonb(now_is.may_attest), now_is.expires_at, now_is.revoked_at)
        THEN
            PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
        END IF;
        RETURN NULL;
    END IF;
    SELECT e.event #> '{details,after,rotated}' INTO ended FROM told_now('registry') WITH ORDINALITY AS e (event, nth)
    WHERE e.event ->> 'action' = 'key.rotated' AND e.event #>> '{details,after,rotated,id}' = NEW.id
    ORDER BY e.nth LIMIT 1;
    IF NEW.expires_at IS DISTINCT FROM OLD.expires_at
            AND (ended ->> 'expiresAt')::timestamptz IS DISTINCT FROM now_is.expires_at
        OR NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
            AND (now_is.revoked_at IS NULL OR told_of('registry', NEW.id, 'key.revoked') IS NULL)
    THEN
        PERFORM refuse_untold(TG_OP, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    tied record;
BEGIN
    FOR tied IN SELECT * FROM (VALUES ('principals', 'tie_principal', 'INSERT OR UPDATE'),
        ('members', 'tie_member', 'INSERT OR UPDATE OR DELETE'), ('project_policies', 'tie_policy', 'INSERT OR UPDATE'),
        ('policy_changes', 'tie_policy_change', 'INSERT OR UPDATE'), ('api_keys', 'tie_key', 'INSERT OR UPDATE')
    ) AS of_table (name, function, events) LOOP
        EXECUTE format('CREATE CONSTRAINT TRIGGER tied_to_event AFTER %s ON %I DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NOT owner_is_here()) EXECUTE FUNCTION %I()', tied.events, tied.name, tied.function);
        -- ENABLE ALWAYS: a session that plays the replica does not get past these.
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER tied_to_event', tied.name);
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION told_now(text), told_of(text, text, text[]), tie_principal(), tie_member(), tie_policy(),
    tie_policy_change(), tie_key() FROM PUBLIC;
