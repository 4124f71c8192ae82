-- Refuses a read that names an object that does not exist, or that the caller cannot see.
CREATE FUNCTION not_found(p_noun text, p_name text, p_field text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'LN404', MESSAGE = p_noun, DETAIL = p_name, HINT = p_field;
END
$$;

-- The words of a text with their positions. Spaces and punctuation separate words: "q4-retrain" is found as "q4
-- retrain" and as "retrain".
CREATE FUNCTION words_of(p_text text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT to_tsvector('simple', regexp_replace(p_text,
        '[\u0001-/:-@\[-`{-\u00a1\u00a7\u00ab\u00b6\u00b7\u00bb\u00bf\u1680\u2000-\u206f\u3000-\u3003\u3008-\u3011\u3014-\u301f\uff01-\uff0f\uff1a-\uff20]+',
        ' ', 'g'));
$$;

-- All words of a version, by weight: A the model's name and id; B its description and tags; C the written sections of
-- its card; D the notes of its steps, newest first, and of its experiment, and the model's description. A mark
-- separates any two texts, and is removed at the end, so that no phrase spans two texts.
CREATE FUNCTION version_words(p_version versions) RETURNS tsvector LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT ts_delete(
        setweight(words_of(concat_ws(' 0textends0 ', m.name, m.id, '')), 'A')
        || setweight(words_of(concat_ws(' 0textends0 ', p_version.description,
            (SELECT string_agg(g.tag, ' 0textends0 ' ORDER BY g.tag) FROM tags g WHERE g.version_id = p_version.id), '')), 'B')
        || setweight(words_of(concat_ws(' 0textends0 ', k.description, k.intended_use, k.limitations,
            k.ethical_considerations, k.training_data_summary ->> 'source', k.training_data_summary ->> 'date_range', '')), 'C')
        || setweight(words_of(left(concat_ws(' 0textends0 ', m.description, x.name, x.notes,
            (SELECT string_agg(s.notes, ' 0textends0 ' ORDER BY s.position DESC) FROM stage_transitions s
                WHERE s.version_id = p_version.id)), 100000)), 'D'),
        '0textends0')
    FROM models m
    LEFT JOIN model_cards k ON k.version_id = p_version.id
    LEFT JOIN experiments x ON x.id = p_version.experiment_id
    WHERE m.id = p_version.model_id;
$$;

-- Stores the words of these versions. Their rows are locked before the words are recomputed: of two transactions that
-- change a version's words, the second sees what the first has written.
CREATE FUNCTION keep_words(p_versions text[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM FROM version_texts t WHERE t.version_id = ANY (p_versions) ORDER BY t.version_id FOR UPDATE;
    INSERT INTO version_texts AS kept (project_id, version_id, words)
    SELECT v.project_id, v.id, version_words(v) FROM versions v WHERE v.id = ANY (p_versions) ORDER BY v.id
    ON CONFLICT (version_id) DO UPDATE SET words = EXCLUDED.words WHERE kept.words IS DISTINCT FROM EXCLUDED.words;
END
$$;

-- Stores the words of the version that the row belongs to, by any of these column names.
CREATE FUNCTION keep_words_of_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_words(ARRAY[coalesce(to_jsonb(NEW) ->> 'version_id', to_jsonb(NEW) ->> 'id')]);
    RETURN NULL;
END
$$;

-- Stores the words of existing versions. A new version gets its words with its first step, when all its other rows
-- exist.
CREATE FUNCTION keep_words_of_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_words(ARRAY(SELECT DISTINCT c.version_id FROM changed c JOIN version_texts t USING (version_id)));
    RETURN NULL;
END
$$;

CREATE FUNCTION keep_words_of_model() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_words(ARRAY(SELECT id FROM versions WHERE model_id = NEW.id));
    RETURN NULL;
END
$$;

CREATE FUNCTION keep_words_of_experiment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_words(ARRAY(SELECT id FROM versions WHERE experiment_id = NEW.id));
    RETURN NULL;
END
$$;

CREATE TRIGGER keep_words AFTER INSERT ON stage_transitions FOR EACH ROW
    WHEN (NEW.from_stage IS NULL OR NEW.notes IS NOT NULL) EXECUTE FUNCTION keep_words_of_row();
CREATE TRIGGER keep_words AFTER UPDATE ON versions FOR EACH ROW
    WHEN (OLD.description IS DISTINCT FROM NEW.description) EXECUTE FUNCTION keep_words_of_row();
CREATE TRIGGER keep_words AFTER INSERT OR UPDATE ON model_cards FOR EACH ROW EXECUTE FUNCTION keep_words_of_row();
CREATE TRIGGER keep_words_when_tagged AFTER INSERT ON tags REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION keep_words_of_rows();
CREATE TRIGGER keep_words_when_untagged AFTER DELETE ON tags REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION keep_words_of_rows();
CREATE TRIGGER keep_words AFTER UPDATE ON models FOR EACH ROW
    WHEN ((OLD.name, OLD.description) IS DISTINCT FROM (NEW.name, NEW.description))
    EXECUTE FUNCTION keep_words_of_model();
CREATE TRIGGER keep_words AFTER UPDATE ON experiments FOR EACH ROW
    WHEN ((OLD.name, OLD.notes) IS DISTINCT FROM (NEW.name, NEW.notes)) EXECUTE FUNCTION keep_words_of_experiment();

INSERT INTO version_texts (project_id, version_id, words) SELECT v.project_id, v.id, version_words(v) FROM versions v;

REVOKE ALL ON FUNCTION keep_words(text[]) FROM PUBLIC;
