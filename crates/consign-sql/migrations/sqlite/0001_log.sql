-- The log, who reads it, and how far they are. docs/guarantees.md says what rests on which row.
CREATE TABLE consign_meta (   -- schema_version; min_reader: the oldest schema that may still work here
  name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE consign_topic (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
  first_number INTEGER NOT NULL UNIQUE) STRICT;   -- its partitions are first_number, first_number + 1, …

CREATE TABLE consign_partition (   -- offsets come from here, not from the rows, so they never restart
  number INTEGER PRIMARY KEY, topic INTEGER NOT NULL, partition INTEGER NOT NULL,
  first_offset INTEGER NOT NULL DEFAULT 0, next_offset INTEGER NOT NULL DEFAULT 0,
  UNIQUE (topic, partition)) STRICT;

CREATE TABLE consign_log (
  position INTEGER PRIMARY KEY,   -- the rowid: number << 44 | offset
  id BLOB NOT NULL, kind TEXT NOT NULL, version INTEGER NOT NULL, key BLOB, headers BLOB,
  payload BLOB NOT NULL, published_at INTEGER NOT NULL) STRICT;   -- microseconds since 1970

CREATE TABLE consign_subscription (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, topic INTEGER NOT NULL,
  kinds TEXT NOT NULL,   -- a JSON array: every kind that any of its processes ever named
  state TEXT NOT NULL CHECK (state IN ('new', 'backfilling', 'running')),
  resume TEXT) STRICT;   -- where a backfill goes on

CREATE TABLE consign_worker (   -- one row a process: the only lease there is
  id BLOB PRIMARY KEY, name TEXT NOT NULL, subscriptions TEXT NOT NULL,
  started_at INTEGER NOT NULL, alive_until INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE consign_cursor (   -- partition = consign_partition.number; next_offset = the next message
  subscription INTEGER NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
  owner BLOB, epoch INTEGER NOT NULL DEFAULT 0,   -- grows at every take-over
  passed INTEGER NOT NULL DEFAULT 0, updated_at INTEGER NOT NULL,
  PRIMARY KEY (subscription, partition)) STRICT, WITHOUT ROWID;

CREATE TABLE consign_skipped (   -- messages of kinds that no process of the subscription ever named
  subscription INTEGER NOT NULL, partition INTEGER NOT NULL, kind TEXT NOT NULL,
  total INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
  PRIMARY KEY (subscription, partition, kind)) STRICT, WITHOUT ROWID;
