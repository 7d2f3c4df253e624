-- Further files of an inversion: the optimiser's state, low-rank changes of the network.
CREATE TABLE inversion_file (
  inversion_id INTEGER NOT NULL REFERENCES inversion(id) ON DELETE CASCADE,
  role TEXT NOT NULL, path TEXT NOT NULL, sha256 TEXT NOT NULL,
  PRIMARY KEY (inversion_id, role)
) WITHOUT ROWID;

-- What was measured on a synthetic image. Distances are cosine distances from 0 to 2.
CREATE TABLE synthetic_check (
  synthetic_id INTEGER PRIMARY KEY REFERENCES synthetic_image(id) ON DELETE CASCADE,
  job_id INTEGER NOT NULL REFERENCES job(id),
  features TEXT NOT NULL,
  source_distance REAL,
  train_distance REAL, train_image_id INTEGER,
  test_distance REAL, test_image_id INTEGER,
  agreement REAL, predicted TEXT,
  sharpness REAL NOT NULL, is_blank INTEGER NOT NULL
);
