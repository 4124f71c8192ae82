-- One row for Query.auditIntegrity: one chain of the audit log with every hash recomputed, the number of its events,
-- and the first event that does not follow from the one before it. The head counts as one more. No row if the caller
-- sees no event of the chain. The compiler of reads fills in the argument `chain` and what the caller sees.
SELECT count(*) AS events, min(at) AS since, min(seq) FILTER (WHERE NOT follows) AS first_wrong, max(seq) AS last,
    (array_agg(hash ORDER BY seq DESC))[1] = (SELECT h.hash FROM audit_chains h WHERE h.chain = {args[chain]}::text)
        AND max(seq) = (SELECT h.seq FROM audit_chains h WHERE h.chain = {args[chain]}::text) AS ends_at_head
FROM (
    SELECT e.seq, e.at, e.hash, e.seq = row_number() OVER (ORDER BY e.seq)
        AND e.previous_hash = lag(e.hash, 1, sha256(convert_to(e.chain, 'UTF8'))) OVER (ORDER BY e.seq)
        AND e.hash = sha256(convert_to(concat_ws(E'\n', e.chain, e.seq,
            to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), encode(e.previous_hash, 'hex'), e.entry),
            'UTF8')) AS follows
    FROM audit_events e WHERE e.chain = {args[chain]}::text AND {visible[e audit_events]}
) checked
HAVING count(*) > 0
