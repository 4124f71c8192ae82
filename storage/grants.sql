-- What the app's role may do, and no more: it reads everything, adds rows, and changes only what may change.
-- The history and the audit log are added to, never changed; the log only through audit_append.
GRANT USAGE ON SCHEMA public TO :app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO :app;
GRANT INSERT ON projects, models, datasets, dataset_versions, dataset_parents, experiments,
    versions, metrics, tags, dataset_uses, stage_transitions, api_keys TO :app;
GRANT UPDATE (description) ON models TO :app; -- also what the row lock needs
GRANT UPDATE (stage, stage_position, description) ON versions TO :app;
GRANT UPDATE (status, algorithm, training_duration_secs, notes, completed_at) ON experiments TO :app;
GRANT UPDATE (revoked_at) ON api_keys TO :app;
GRANT DELETE ON tags TO :app;
GRANT EXECUTE ON FUNCTION audit_append(text, text) TO :app
