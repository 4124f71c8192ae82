-- Returns the value, and counts its bytes: once the values of a statement exceed p_most bytes in total, it is refused
-- with LN413. The count is a setting that ends with the transaction.
CREATE FUNCTION counted(p_value json, p_most bigint) RETURNS json LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    counted_before bigint := coalesce(nullif(current_setting('lineal.counted', true), ''), '0')::bigint;
    counted_now bigint := counted_before + coalesce(octet_length(p_value::text), 0);
BEGIN
    IF counted_now > p_most THEN
        RAISE EXCEPTION USING ERRCODE = 'LN413', MESSAGE = p_most;
    END IF;
    PERFORM set_config('lineal.counted', counted_now::text, true);
    RETURN p_value;
END $$;
