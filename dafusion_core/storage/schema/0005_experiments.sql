-- Experiments and what they queued; files that a job leaves beside the tables made for its kind.
CREATE TABLE experiment (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, spec_json TEXT NOT NULL,
  created_at TEXT NOT NULL
);
CREATE TABLE experiment_split (
  experiment_id INTEGER NOT NULL REFERENCES experiment(id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  split_id INTEGER NOT NULL REFERENCES split(id),
  PRIMARY KEY (experiment_id, key)
) WITHOUT ROWID;
CREATE TABLE experiment_job (
  experiment_id INTEGER NOT NULL REFERENCES experiment(id) ON DELETE CASCADE,
  key TEXT NOT NULL,
  job_id INTEGER NOT NULL REFERENCES job(id),
  PRIMARY KEY (experiment_id, key)
) WITHOUT ROWID;
CREATE TABLE artefact (
  id INTEGER PRIMARY KEY,
  unit_id INTEGER NOT NULL REFERENCES job_unit(id),
  job_id INTEGER NOT NULL REFERENCES job(id),
  role TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
  record_json TEXT NOT NULL, created_at TEXT NOT NULL,
  UNIQUE (unit_id, role)
);
