-- The first schema. Times are UTC, ISO 8601. Paths are relative to NAME.files unless absolute.
CREATE TABLE project (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE label (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, ordinal INTEGER NOT NULL
);
CREATE TABLE image_group (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE image (
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL,
  is_reference INTEGER NOT NULL DEFAULT 0,
  sha256 TEXT NOT NULL UNIQUE,
  width INTEGER NOT NULL, height INTEGER NOT NULL, mode TEXT NOT NULL,
  label_id INTEGER NOT NULL REFERENCES label(id),
  group_id INTEGER REFERENCES image_group(id),
  original_path TEXT NOT NULL, original_size INTEGER NOT NULL, original_mtime_ns INTEGER NOT NULL,
  imported_at TEXT NOT NULL
);
CREATE INDEX image_by_label ON image(label_id);
CREATE INDEX image_by_original ON image(original_path);
CREATE TABLE import_problem (
  path TEXT PRIMARY KEY, reason TEXT NOT NULL, is_refused INTEGER NOT NULL, at TEXT NOT NULL
);

CREATE TABLE split (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, seed INTEGER NOT NULL,
  spec_json TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE split_image (
  split_id INTEGER NOT NULL REFERENCES split(id) ON DELETE CASCADE,
  image_id INTEGER NOT NULL REFERENCES image(id) ON DELETE CASCADE,
  part TEXT NOT NULL CHECK (part IN ('train', 'validation', 'test', 'unused')),
  PRIMARY KEY (split_id, image_id)
) WITHOUT ROWID;

CREATE TABLE concept (
  id INTEGER PRIMARY KEY,
  label_id INTEGER NOT NULL UNIQUE REFERENCES label(id),
  name TEXT NOT NULL, placeholder TEXT NOT NULL UNIQUE, initialiser TEXT NOT NULL
);

CREATE TABLE job (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL, title TEXT NOT NULL,
  spec_json TEXT NOT NULL, spec_hash TEXT NOT NULL, inputs_json TEXT,
  state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN
    ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
  priority INTEGER NOT NULL DEFAULT 0,
  is_held INTEGER NOT NULL DEFAULT 0,
  device TEXT, owner TEXT, lease_until REAL,
  attempt INTEGER NOT NULL DEFAULT 0,
  losses INTEGER NOT NULL DEFAULT 0,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  total INTEGER NOT NULL DEFAULT 0,
  error_kind TEXT, error_text TEXT, error_hint TEXT, error_trace TEXT,
  seq INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL, started_at TEXT, finished_at TEXT
);
CREATE INDEX job_to_claim ON job(state, priority DESC, id);
CREATE TABLE job_dependency (
  job_id INTEGER NOT NULL REFERENCES job(id) ON DELETE CASCADE,
  needs_job_id INTEGER NOT NULL REFERENCES job(id),
  PRIMARY KEY (job_id, needs_job_id)
) WITHOUT ROWID;
CREATE TABLE job_unit (
  id INTEGER PRIMARY KEY,
  job_id INTEGER NOT NULL REFERENCES job(id) ON DELETE CASCADE,
  ordinal INTEGER NOT NULL, key TEXT NOT NULL, seed INTEGER NOT NULL,
  payload_json TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'todo' CHECK (state IN ('todo', 'done', 'failed')),
  error_text TEXT,
  UNIQUE (job_id, key)
);
CREATE INDEX unit_by_state ON job_unit(job_id, state);
CREATE TABLE metric (
  id INTEGER PRIMARY KEY,
  job_id INTEGER NOT NULL REFERENCES job(id) ON DELETE CASCADE,
  unit_id INTEGER, series TEXT NOT NULL, step INTEGER NOT NULL,
  value REAL NOT NULL, at TEXT NOT NULL
);
CREATE INDEX metric_by_series ON metric(job_id, series, step);

CREATE TABLE erasure (
  id INTEGER PRIMARY KEY, unit_id INTEGER NOT NULL UNIQUE REFERENCES job_unit(id),
  job_id INTEGER NOT NULL REFERENCES job(id), method TEXT NOT NULL, concepts_json TEXT NOT NULL,
  path TEXT NOT NULL, sha256 TEXT NOT NULL, base_hash TEXT NOT NULL,
  sheet_path TEXT, record_json TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE inversion (
  id INTEGER PRIMARY KEY, unit_id INTEGER NOT NULL UNIQUE REFERENCES job_unit(id),
  job_id INTEGER NOT NULL REFERENCES job(id),
  concept_id INTEGER NOT NULL REFERENCES concept(id), placeholder TEXT NOT NULL,
  path TEXT NOT NULL, sha256 TEXT NOT NULL, record_json TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE plan (
  id INTEGER PRIMARY KEY, job_id INTEGER NOT NULL UNIQUE REFERENCES job(id),
  spec_json TEXT NOT NULL, spec_hash TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE synthetic_image (
  id INTEGER PRIMARY KEY, unit_id INTEGER NOT NULL UNIQUE REFERENCES job_unit(id),
  job_id INTEGER NOT NULL REFERENCES job(id),
  source_image_id INTEGER NOT NULL REFERENCES image(id),
  concept_id INTEGER NOT NULL REFERENCES concept(id),
  t0 REAL NOT NULL CHECK (t0 > 0 AND t0 <= 1), variant INTEGER NOT NULL, seed INTEGER NOT NULL,
  path TEXT NOT NULL, sha256 TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  curation TEXT NOT NULL DEFAULT 'undecided' CHECK (curation IN ('undecided', 'kept', 'rejected')),
  created_at TEXT NOT NULL
);
CREATE INDEX synthetic_by_place ON synthetic_image(job_id, concept_id, source_image_id, t0, variant);

CREATE TABLE curation_operation (
  id INTEGER PRIMARY KEY, text TEXT NOT NULL, at TEXT NOT NULL,
  is_undone INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE curation_change (
  operation_id INTEGER NOT NULL REFERENCES curation_operation(id) ON DELETE CASCADE,
  synthetic_id INTEGER NOT NULL REFERENCES synthetic_image(id) ON DELETE CASCADE,
  old TEXT NOT NULL, new TEXT NOT NULL,
  PRIMARY KEY (operation_id, synthetic_id)
) WITHOUT ROWID;

CREATE TABLE training_run (
  id INTEGER PRIMARY KEY, unit_id INTEGER NOT NULL UNIQUE REFERENCES job_unit(id),
  job_id INTEGER NOT NULL REFERENCES job(id), arm TEXT NOT NULL, seed INTEGER NOT NULL,
  path TEXT NOT NULL, sha256 TEXT NOT NULL, record_json TEXT NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE evaluation (
  id INTEGER PRIMARY KEY, unit_id INTEGER NOT NULL UNIQUE REFERENCES job_unit(id),
  job_id INTEGER NOT NULL REFERENCES job(id), result_json TEXT NOT NULL, created_at TEXT NOT NULL
);
