-- Stars beside the decision, in the same journal; and named filters.
ALTER TABLE synthetic_image
  ADD COLUMN rating INTEGER NOT NULL DEFAULT 0 CHECK (rating BETWEEN 0 AND 5);
ALTER TABLE curation_operation
  ADD COLUMN field TEXT NOT NULL DEFAULT 'curation' CHECK (field IN ('curation', 'rating'));
CREATE TABLE saved_view (
  id INTEGER PRIMARY KEY, page TEXT NOT NULL, name TEXT NOT NULL, spec_json TEXT NOT NULL,
  UNIQUE (page, name)
);
