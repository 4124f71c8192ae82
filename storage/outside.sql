-- Returns nothing. For `storage/migrate.py` and the embedded database: prevents the server's role from storing anything
-- outside the tables: in large objects, messages in the write-ahead log, temporary tables or new objects. It revokes
-- rights on what the role that runs it owns. The functions belong to the superuser, so on an external database they
-- stay open unless a superuser runs this too. No parameters.
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND pg_has_role(proowner, 'USAGE')
            AND (proname ~ '^lo(_|read$|write$)' OR proname = 'pg_logical_emit_message')
        UNION ALL
        SELECT format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', datname) FROM pg_database
        WHERE datname = current_database() AND pg_has_role(datdba, 'USAGE')
        UNION ALL
        SELECT 'REVOKE CREATE ON SCHEMA public FROM PUBLIC' FROM pg_namespace
        WHERE nspname = 'public' AND pg_has_role(nspowner, 'USAGE')
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$
