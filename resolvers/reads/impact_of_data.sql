-- Returns the versions that were trained on some data or on data derived from it, each by its shortest path. Of several
-- shortest paths, the one with the lowest ID.
data (id, distance, parent_id) AS (
    SELECT id, 0, NULL::text FROM start
    UNION
    SELECT p.dataset_version_id::text, d.distance + 1, d.id FROM data d JOIN dataset_parents p ON p.parent_id = d.id
), origin AS (
    SELECT DISTINCT ON (id) id, distance, parent_id FROM data ORDER BY id, distance, parent_id
), direct (id, from_id, length) AS (
    SELECT DISTINCT ON (u.version_id) u.version_id::text, o.id, o.distance + 2
    FROM origin o JOIN dataset_uses u ON u.dataset_version_id = o.id AND u.role = 'TRAINING'
    ORDER BY u.version_id, o.distance, o.id
)
