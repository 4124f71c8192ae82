-- An address without the part before its host, or before the host of an address within it.
CREATE FUNCTION shown_user(uri text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN uri !~ '@|%40' THEN uri ELSE
        regexp_replace(regexp_replace(regexp_replace(regexp_replace(uri,
            '((?:^|:)//)[^/?#@]*(?::|%3a)[^/?#]*@', '\1***@', 'gi'),
            '((?:^|:)//)[^/?#@:\[\]]*:(?![0-9]*(?:[/?#&]|$))[^@]*@', '\1***@', 'gi'),
            '((?:^|[^a-z0-9])https?://)[^/?#]*@', '\1***@', 'gi'),
            '((?::|%3a)%2f%2f)(?:(?!%2f|%40)[^/?#&@])*%3a(?:(?!%2f)[^/?#&])*%40', '\1***%40', 'gi')
    END
$$;

-- A URI without the credentials in it, as resolvers/rules/locations.py recognizes them. New URIs with credentials are
-- refused there; this is for URIs that were stored before. The first test keeps it cheap: most addresses contain
-- nothing suspicious.
CREATE FUNCTION shown_uri(uri text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN uri !~ '[@?;#%]' THEN uri ELSE
        regexp_replace(regexp_replace(shown_user(uri),
            '((?:(?:t|%54|%74)(?:o|%4f|%6f)(?:k|%4b|%6b)(?:e|%45|%65)(?:n|%4e|%6e)|(?:s|%53|%73)(?:i|%49|%69)'
            '(?:g|%47|%67)(?:n|%4e|%6e)(?:a|%41|%61)(?:t|%54|%74)(?:u|%55|%75)(?:r|%52|%72)(?:e|%45|%65)|'
            '(?:p|%50|%70)(?:a|%41|%61)(?:s|%53|%73)(?:s|%53|%73)(?:w|%57|%77)(?:o|%4f|%6f)(?:r|%52|%72)'
            '(?:d|%44|%64)|(?:p|%50|%70)(?:a|%41|%61)(?:s|%53|%73)(?:s|%53|%73)(?:w|%57|%77)(?:d|%44|%64)|'
            '(?:p|%50|%70)(?:a|%41|%61)(?:s|%53|%73)(?:s|%53|%73)(?:p|%50|%70)(?:h|%48|%68)(?:r|%52|%72)'
            '(?:a|%41|%61)(?:s|%53|%73)(?:e|%45|%65)|(?:s|%53|%73)(?:e|%45|%65)(?:c|%43|%63)(?:r|%52|%72)'
            '(?:e|%45|%65)(?:t|%54|%74)|(?:c|%43|%63)(?:r|%52|%72)(?:e|%45|%65)(?:d|%44|%64)(?:e|%45|%65)'
            '(?:n|%4e|%6e)(?:t|%54|%74)(?:i|%49|%69)(?:a|%41|%61)(?:l|%4c|%6c)|(?:c|%43|%63)(?:r|%52|%72)'
            '(?:e|%45|%65)(?:d|%44|%64)(?:e|%45|%65)(?:n|%4e|%6e)(?:t|%54|%74)(?:i|%49|%69)(?:a|%41|%61)'
            '(?:l|%4c|%6c)(?:s|%53|%73)|(?:a|%41|%61)(?:p|%50|%70)(?:i|%49|%69)(?:[-_.]|%2d|%5f|%2e)?(?:k|%4b|%6b)'
            '(?:e|%45|%65)(?:y|%59|%79)|(?:a|%41|%61)(?:c|%43|%63)(?:c|%43|%63)(?:e|%45|%65)(?:s|%53|%73)'
            '(?:s|%53|%73)(?:[-_.]|%2d|%5f|%2e)?(?:k|%4b|%6b)(?:e|%45|%65)(?:y|%59|%79)|(?:a|%41|%61)(?:c|%43|%63)'
            '(?:c|%43|%63)(?:e|%45|%65)(?:s|%53|%73)(?:s|%53|%73)(?:[-_.]|%2d|%5f|%2e)?(?:k|%4b|%6b)(?:e|%45|%65)'
            '(?:y|%59|%79)(?:[-_.]|%2d|%5f|%2e)?(?:i|%49|%69)(?:d|%44|%64)|(?:a|%41|%61)(?:c|%43|%63)(?:c|%43|%63)'
            '(?:o|%4f|%6f)(?:u|%55|%75)(?:n|%4e|%6e)(?:t|%54|%74)(?:[-_.]|%2d|%5f|%2e)?(?:k|%4b|%6b)(?:e|%45|%65)'
            '(?:y|%59|%79)|(?:s|%53|%73)(?:e|%45|%65)(?:c|%43|%63)(?:r|%52|%72)(?:e|%45|%65)(?:t|%54|%74)'
            '(?:[-_.]|%2d|%5f|%2e)?(?:k|%4b|%6b)(?:e|%45|%65)(?:y|%59|%79)|(?:p|%50|%70)(?:r|%52|%72)(?:i|%49|%69)'
            '(?:v|%56|%76)(?:a|%41|%61)(?:t|%54|%74)(?:e|%45|%65)(?:[-_.]|%2d|%5f|%2e)?(?:k|%4b|%6b)(?:e|%45|%65)'
            '(?:y|%59|%79)|(?:s|%53|%73)(?:u|%55|%75)(?:b|%42|%62)(?:s|%53|%73)(?:c|%43|%63)(?:r|%52|%72)'
            '(?:i|%49|%69)(?:p|%50|%70)(?:t|%54|%74)(?:i|%49|%69)(?:o|%4f|%6f)(?:n|%4e|%6e)(?:[-_.]|%2d|%5f|%2e)?'
            '(?:k|%4b|%6b)(?:e|%45|%65)(?:y|%59|%79)|(?:s|%53|%73)(?:e|%45|%65)(?:s|%53|%73)(?:s|%53|%73)'
            '(?:i|%49|%69)(?:o|%4f|%6f)(?:n|%4e|%6e)(?:[-_.]|%2d|%5f|%2e)?(?:i|%49|%69)(?:d|%44|%64)|(?:j|%4a|%6a)'
            '(?:w|%57|%77)(?:t|%54|%74))(?:=|%3d))[^&#]+', '\1***', 'gi'),
            '((?:[?&;#=]|%3f|%26|%3b|%23)(?:(?:s|%53|%73)(?:i|%49|%69)(?:g|%47|%67)|(?:p|%50|%70)(?:w|%57|%77)'
            '(?:d|%44|%64)|(?:p|%50|%70)(?:a|%41|%61)(?:s|%53|%73)(?:s|%53|%73)|(?:a|%41|%61)(?:u|%55|%75)'
            '(?:t|%54|%74)(?:h|%48|%68)|(?:a|%41|%61)(?:u|%55|%75)(?:t|%54|%74)(?:h|%48|%68)(?:o|%4f|%6f)'
            '(?:r|%52|%72)(?:i|%49|%69)(?:z|%5a|%7a)(?:a|%41|%61)(?:t|%54|%74)(?:i|%49|%69)(?:o|%4f|%6f)'
            '(?:n|%4e|%6e))(?:=|%3d))[^&#]+', '\1***', 'gi')
    END
$$;

-- The text of an audit event's entry with the addresses in it as shown_uri shows them. The stored entry stays as it was
-- hashed.
CREATE FUNCTION shown_entry(entry text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    place text[];
    stated text;
    shown text;
BEGIN
    IF entry !~ '"uri":"(?:[^"\\]|\\.)*[@?;#%]' THEN
        RETURN entry;
    END IF;
    FOR place IN VALUES (ARRAY['after', 'artifact', 'uri']), (ARRAY['after', 'uri']),
        (ARRAY['before', 'artifact', 'uri']), (ARRAY['before', 'uri'])
    LOOP
        stated := entry::json -> 'details' #>> place;
        shown := shown_uri(stated);
        IF stated <> shown THEN
            -- Wherever else it stands in the entry, too.
            entry := replace(entry, to_json(stated)::text, to_json(shown)::text);
        END IF;
    END LOOP;
    RETURN entry;
END
$$;

-- An address with credentials is not stored, whichever role inserts it.
CREATE FUNCTION refuse_credentials() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'An address with credentials in it is not stored.' USING ERRCODE = 'check_violation';
END
$$;

CREATE TRIGGER no_credentials BEFORE INSERT OR UPDATE OF artifact_uri ON versions FOR EACH ROW
    WHEN (NEW.artifact_uri <> shown_uri(NEW.artifact_uri)) EXECUTE FUNCTION refuse_credentials();
CREATE TRIGGER no_credentials BEFORE INSERT OR UPDATE OF uri ON dataset_versions FOR EACH ROW
    WHEN (NEW.uri <> shown_uri(NEW.uri)) EXECUTE FUNCTION refuse_credentials();

-- Stored responses for repeated requests contain addresses under any name, so each text in them without blanks is
-- checked.
UPDATE idempotent_answers k SET answer = convert_to(shown.answer, 'UTF8')
FROM (
    SELECT actor, key, place, string_agg(CASE WHEN token[1] ~ '^"[^\s]*"$'
        THEN to_json(shown_uri(token[1]::json #>> '{}'))::text ELSE token[1] END, '' ORDER BY nth) AS answer
    FROM idempotent_answers,
        regexp_matches(convert_from(answer, 'UTF8'),
            '"(?:[^"\\]|\\.)*"|[^"]+', 'g') WITH ORDINALITY AS tokens (token, nth)
    WHERE convert_from(answer, 'UTF8') ~ '//' GROUP BY actor, key, place
) shown
WHERE (k.actor, k.key, k.place) = (shown.actor, shown.key, shown.place)
    AND convert_from(k.answer, 'UTF8') <> shown.answer;
