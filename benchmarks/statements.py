"""The reads written by hand: one statement a case, answering the whole response. Page sizes stand in the text, because
with a parameter as LIMIT PostgreSQL plans the statement anew at every execution."""

VERSION = """
    SELECT v.id, array_to_string(v.number, '.') AS version, v.stage, v.description, v.target,
        v.created_at AS "createdAt", v.created_by AS "createdBy",
        (SELECT coalesce(json_agg(m), '[]')
            FROM (SELECT name, value FROM metrics WHERE version_id = v.id ORDER BY name) m) AS metrics,
        (SELECT coalesce(json_agg(tag ORDER BY tag), '[]') FROM tags WHERE version_id = v.id) AS tags,
        v.parameters,
        (SELECT e FROM (SELECT id, name, algorithm, status
            FROM experiments WHERE id = v.experiment_id) e) AS experiment,
        (SELECT d FROM (SELECT d.id, d.label, d.row_count AS "rowCount",
            (SELECT s FROM (SELECT name FROM datasets WHERE id = d.dataset_id) s) AS dataset
            FROM dataset_versions d WHERE d.id = v.dataset_version_id) d) AS "datasetVersion",
        (SELECT p FROM (SELECT id, array_to_string(number, '.') AS version, stage
            FROM versions WHERE id = v.parent_id) p) AS parent
    FROM versions v WHERE v.model_id = o.id ORDER BY v.number DESC LIMIT {first}"""

# $1 the model's id.
VERSIONS = f"""
SELECT convert_to(json_build_object('data', json_build_object('model', (
    SELECT json_build_object('id', o.id, 'name', o.name, 'versions', json_build_object('nodes',
        (SELECT coalesce(json_agg(v), '[]') FROM ({VERSION}) v)))
    FROM models o WHERE o.id = $1)))::text, 'UTF8')"""

# $1 the model's id, $2 the version's number.
CHAIN = """
WITH RECURSIVE chain AS (
    SELECT id, number, stage, created_at, parent_id, 1 AS place
    FROM versions WHERE model_id = $1 AND number = $2::int[]
    UNION ALL
    SELECT v.id, v.number, v.stage, v.created_at, v.parent_id, place + 1
    FROM chain JOIN versions v ON v.id = chain.parent_id WHERE place < 100
)
SELECT convert_to(json_build_object('data', json_build_object('version', json_build_object(
    'id', (SELECT id FROM chain WHERE place = 1),
    'versionChain', (SELECT json_agg(c) FROM (
        SELECT id, array_to_string(number, '.') AS version, stage, created_at AS "createdAt" FROM chain ORDER BY place
    ) c))))::text, 'UTF8')"""

# Of `found` and `page`, the rows of a search; the cursor follows.
PAGE = """SELECT convert_to(json_build_object('data', json_build_object('searchVersions', json_build_object(
    'nodes', (SELECT coalesce(json_agg(n), '[]') FROM (
        SELECT v.id, array_to_string(v.number, '.') AS version, v.stage, v.created_at AS "createdAt",
            (SELECT o FROM (SELECT id, name FROM models WHERE id = v.model_id) o) AS model,
            (SELECT coalesce(json_agg(tag ORDER BY tag), '[]') FROM tags WHERE version_id = v.id) AS tags,
            (SELECT coalesce(json_agg(m), '[]')
                FROM (SELECT name, value FROM metrics WHERE version_id = v.id ORDER BY name) m) AS metrics
        FROM page v) n),
    'pageInfo', json_build_object(
        'hasNextPage', (SELECT count(*) > 20 FROM found),"""

# $1 the query, $2 the stage, $3 the tag, $4 the metric, $5 its minimum, $6 the earliest time. Best matches first.
TEXT_SEARCH = f"""
WITH found AS MATERIALIZED (
    SELECT v.*, ts_rank(x.words, to_tsquery('simple', $1)) AS rank
    FROM version_texts x JOIN versions v ON v.id = x.version_id
    WHERE x.words @@ to_tsquery('simple', $1) AND v.stage = $2 AND v.created_at >= $6
        AND EXISTS (SELECT FROM tags t WHERE t.version_id = v.id AND t.tag = $3)
        AND EXISTS (SELECT FROM metrics m WHERE m.version_id = v.id AND m.name = $4 AND m.value >= $5)
    ORDER BY rank DESC, v.id DESC LIMIT 21
), page AS (
    SELECT * FROM found ORDER BY rank DESC, id DESC LIMIT 20
)
{PAGE}
        'endCursor', (SELECT replace(encode(convert_to(json_build_array('RELEVANCE-', rank, id)::text, 'UTF8'),
            'base64'), E'\\n', '') FROM page ORDER BY rank, id LIMIT 1)))))::text, 'UTF8')"""

# $1 the data set version's id. All that is told of the affected versions is read of each once.
IMPACT = """
WITH RECURSIVE near (id, distance) AS (
    SELECT $1::text, 0
    UNION
    SELECT p.dataset_version_id::text, distance + 1 FROM near JOIN dataset_parents p ON p.parent_id = near.id
), nearest AS MATERIALIZED (
    SELECT id, min(distance) AS distance FROM near GROUP BY id
), origin AS MATERIALIZED (
    SELECT n.id, min(b.id) AS from_id FROM nearest n JOIN dataset_parents p ON p.dataset_version_id = n.id
    JOIN nearest b ON b.id = p.parent_id AND b.distance = n.distance - 1 GROUP BY n.id
), data (id, via) AS (
    SELECT $1::text, ARRAY[$1::text]
    UNION ALL
    SELECT o.id, via || o.id FROM data JOIN origin o ON o.from_id = data.id
), direct AS (
    SELECT DISTINCT ON (u.version_id) u.version_id::text AS id, via || u.version_id::text AS via
    FROM data JOIN dataset_uses u ON u.dataset_version_id = data.id AND u.role = 'TRAINING'
    ORDER BY u.version_id, cardinality(via), data.id
), affected (id, via) AS (
    SELECT id, via FROM direct
    UNION ALL
    SELECT child.id, via || child.id
    FROM affected a, LATERAL (SELECT v.id::text FROM versions v WHERE v.parent_id = a.id OFFSET 0) child
    WHERE child.id NOT IN (SELECT id FROM direct)
), found AS MATERIALIZED (
    SELECT v.id, v.number, v.stage, v.created_at, v.model_id, a.via FROM affected a JOIN versions v ON v.id = a.id
)
SELECT convert_to(json_build_object('data', json_build_object('datasetVersion', json_build_object(
    'impact', json_build_object(
        'versions', json_build_object('totalCount', (SELECT count(*) FROM found), 'nodes', (
            SELECT coalesce(json_agg(n), '[]') FROM (
                SELECT id, array_to_string(number, '.') AS version, stage FROM found
                ORDER BY created_at DESC, id DESC LIMIT 20) n)),
        'production', (SELECT coalesce(json_agg(n), '[]') FROM (
            SELECT id, array_to_string(number, '.') AS version,
                (SELECT o FROM (SELECT id, name FROM models WHERE id = f.model_id) o) AS model
            FROM found f WHERE stage = 'PRODUCTION' ORDER BY created_at DESC, id DESC) n),
        'models', (SELECT coalesce(json_agg(n), '[]') FROM (
            SELECT id, name FROM models WHERE id IN (SELECT model_id FROM found) ORDER BY name, id) n),
        'paths', (SELECT coalesce(json_agg(n), '[]') FROM (
            SELECT (SELECT i FROM (SELECT f.id) i) AS version, via FROM found f
            ORDER BY cardinality(via), id LIMIT 20) n)))))::text, 'UTF8')"""

# Its conditions are scalar, not EXISTS: PostgreSQL then walks the newest versions without planning anew each time.
# $1 the stage, $2 the tag, $3 the metric, $4 its minimum, $5 the earliest time.
SEARCH = f"""
WITH found AS MATERIALIZED (
    SELECT * FROM versions v
    WHERE stage = $1 AND created_at >= $5
        AND (SELECT true FROM tags WHERE version_id = v.id AND tag = $2)
        AND (SELECT value FROM metrics WHERE version_id = v.id AND name = $3) >= $4
    ORDER BY created_at DESC, id DESC LIMIT 21
), page AS (
    SELECT * FROM found ORDER BY created_at DESC, id DESC LIMIT 20
)
{PAGE}
        'endCursor', (SELECT replace(encode(convert_to(json_build_array('CREATED_AT-', created_at, id)::text, 'UTF8'),
            'base64'), E'\\n', '') FROM page ORDER BY created_at, id LIMIT 1)))))::text, 'UTF8')"""
