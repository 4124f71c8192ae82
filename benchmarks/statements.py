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

# Its conditions are scalar, not EXISTS: PostgreSQL then walks the newest versions without planning anew each time.
# $1 the stage, $2 the tag, $3 the metric, $4 its minimum, $5 the earliest time.
SEARCH = """
WITH found AS MATERIALIZED (
    SELECT * FROM versions v
    WHERE stage = $1 AND created_at >= $5
        AND (SELECT true FROM tags WHERE version_id = v.id AND tag = $2)
        AND (SELECT value FROM metrics WHERE version_id = v.id AND name = $3) >= $4
    ORDER BY created_at DESC, id DESC LIMIT 21
), page AS (
    SELECT * FROM found ORDER BY created_at DESC, id DESC LIMIT 20
)
SELECT convert_to(json_build_object('data', json_build_object('searchVersions', json_build_object(
    'nodes', (SELECT coalesce(json_agg(n), '[]') FROM (
        SELECT v.id, array_to_string(v.number, '.') AS version, v.stage, v.created_at AS "createdAt",
            (SELECT o FROM (SELECT id, name FROM models WHERE id = v.model_id) o) AS model,
            (SELECT coalesce(json_agg(tag ORDER BY tag), '[]') FROM tags WHERE version_id = v.id) AS tags,
            (SELECT coalesce(json_agg(m), '[]')
                FROM (SELECT name, value FROM metrics WHERE version_id = v.id ORDER BY name) m) AS metrics
        FROM page v) n),
    'pageInfo', json_build_object(
        'hasNextPage', (SELECT count(*) > 20 FROM found),
        'endCursor', (SELECT replace(encode(convert_to(json_build_array('CREATED_AT-', created_at, id)::text, 'UTF8'),
            'base64'), E'\\n', '') FROM page ORDER BY created_at, id LIMIT 1)))))::text, 'UTF8')"""
