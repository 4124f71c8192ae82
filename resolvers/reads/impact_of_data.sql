-- Of data: the versions trained on it or on what was derived from it. Of several ways there, the shortest is told, and
-- of these the one by the first id.
data (id, distance) AS (
    SELECT id, 0 FROM start
    UNION
    SELECT p.dataset_version_id::text, d.distance + 1 FROM data d JOIN dataset_parents p ON p.parent_id = d.id
), nearest AS (
    SELECT id, min(distance) AS distance FROM data GROUP BY id
), origin (id, parent_id) AS (
    SELECT n.id, min(p.parent_id::text) FROM nearest n
    JOIN dataset_parents p ON p.dataset_version_id = n.id
    JOIN nearest before ON before.id = p.parent_id AND before.distance = n.distance - 1
    GROUP BY n.id
), derived (id, via) AS (
    SELECT id, ARRAY[id] FROM start
    UNION ALL
    SELECT o.id, d.via || o.id FROM derived d JOIN origin o ON o.parent_id = d.id
), direct (id, via) AS (
    SELECT DISTINCT ON (u.version_id) u.version_id::text, d.via || u.version_id::text
    FROM derived d JOIN dataset_uses u ON u.dataset_version_id = d.id AND u.role = 'TRAINING'
    ORDER BY u.version_id, cardinality(d.via), d.id
)
