-- What people say about images, and one journal for everything that can be undone.

-- Label 0 stands for "no class yet". Labels with a negative ordinal are never shown or trained on:
-- -1 is label 0, -2 a class that was removed or merged (its concept may still have results).
INSERT INTO label(id, name, ordinal) VALUES (0, '', -1);
ALTER TABLE label ADD COLUMN merged_into INTEGER REFERENCES label(id);

ALTER TABLE image ADD COLUMN is_unsure INTEGER NOT NULL DEFAULT 0;
ALTER TABLE image ADD COLUMN is_rejected INTEGER NOT NULL DEFAULT 0;
ALTER TABLE image ADD COLUMN note TEXT NOT NULL DEFAULT '';
CREATE INDEX image_by_group ON image(group_id);

-- Boxes, polygons and masks in pixels of the upright image; data_json as in domain/regions.py.
CREATE TABLE region (
  id INTEGER PRIMARY KEY,
  image_id INTEGER NOT NULL REFERENCES image(id) ON DELETE CASCADE,
  label_id INTEGER REFERENCES label(id),
  kind TEXT NOT NULL CHECK (kind IN ('box', 'polygon', 'mask')),
  data_json TEXT NOT NULL
);
CREATE INDEX region_by_image ON region(image_id);

-- Images that every split keeps for testing.
CREATE TABLE locked_test (
  image_id INTEGER PRIMARY KEY REFERENCES image(id) ON DELETE CASCADE
);

-- What was measured on an image's pixels, for duplicates and other findings.
CREATE TABLE picture_fact (
  image_id INTEGER PRIMARY KEY REFERENCES image(id) ON DELETE CASCADE,
  fingerprint TEXT NOT NULL,
  sharpness REAL NOT NULL, brightness REAL NOT NULL, contrast REAL NOT NULL
);
CREATE TABLE synthetic_fact (
  synthetic_id INTEGER PRIMARY KEY REFERENCES synthetic_image(id) ON DELETE CASCADE,
  fingerprint TEXT NOT NULL
);
CREATE TABLE dismissed_finding (key TEXT PRIMARY KEY) WITHOUT ROWID;

-- One row per command, and one per row that it changed: what its columns were and became (NULL:
-- the row was not there).
CREATE TABLE operation (
  id INTEGER PRIMARY KEY, text TEXT NOT NULL, at TEXT NOT NULL,
  is_undone INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE change (
  id INTEGER PRIMARY KEY,
  operation_id INTEGER NOT NULL REFERENCES operation(id) ON DELETE CASCADE,
  kind TEXT NOT NULL, key_json TEXT NOT NULL, old_json TEXT, new_json TEXT
);
CREATE INDEX change_by_operation ON change(operation_id);
INSERT INTO operation(id, text, at, is_undone)
  SELECT id, text, at, is_undone FROM curation_operation;
INSERT INTO change(operation_id, kind, key_json, old_json, new_json)
  SELECT operation_id, 'synthetic_image', json_array(synthetic_id),
    CASE field WHEN 'rating' THEN json_object('rating', CAST(old AS INTEGER))
      ELSE json_object('curation', old) END,
    CASE field WHEN 'rating' THEN json_object('rating', CAST(new AS INTEGER))
      ELSE json_object('curation', new) END
  FROM curation_change JOIN curation_operation ON curation_operation.id = operation_id
  ORDER BY operation_id, synthetic_id;
DROP TABLE curation_change;
DROP TABLE curation_operation;
