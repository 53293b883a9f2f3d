-- Queues: what is finished above a cursor, what waits, what is dead, what is asked for from outside.
CREATE TABLE consign_done (   -- finished at or above the cursor; goes when the cursor passes
  subscription INTEGER NOT NULL, partition INTEGER NOT NULL, log_offset INTEGER NOT NULL,
  PRIMARY KEY (subscription, partition, log_offset)) STRICT, WITHOUT ROWID;

CREATE TABLE consign_retry (   -- stands in for a message that failed, or waits behind one; its removal ends it
  subscription INTEGER NOT NULL, partition INTEGER NOT NULL, log_offset INTEGER NOT NULL,
  id BLOB NOT NULL, attempt INTEGER NOT NULL,   -- the attempt to be made next
  due_at INTEGER,   -- NULL: waits behind an earlier message of its key
  suspect INTEGER NOT NULL DEFAULT 0,   -- it may have killed the process that ran it
  last_error TEXT, fingerprint TEXT, failed_at INTEGER,   -- for the first time
  kind TEXT NOT NULL, version INTEGER NOT NULL, key BLOB, headers BLOB,
  payload BLOB NOT NULL, published_at INTEGER NOT NULL,
  PRIMARY KEY (subscription, partition, log_offset)) STRICT, WITHOUT ROWID;
CREATE INDEX consign_retry_due ON consign_retry (subscription, partition, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX consign_retry_key ON consign_retry (subscription, partition, key, log_offset);
CREATE INDEX consign_retry_id ON consign_retry (subscription, id);

CREATE TABLE consign_parked_key (   -- later messages of these keys wait, in order
  subscription INTEGER NOT NULL, partition INTEGER NOT NULL, key BLOB NOT NULL,
  parked_at INTEGER NOT NULL, paused INTEGER NOT NULL DEFAULT 0,   -- by somebody: nothing of it is due
  PRIMARY KEY (subscription, partition, key)) STRICT, WITHOUT ROWID;

CREATE TABLE consign_dead_letter (   -- ids in the order of death, never reused
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  subscription INTEGER NOT NULL, partition INTEGER NOT NULL, log_offset INTEGER NOT NULL,
  message BLOB NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL,
  last_error TEXT NOT NULL, fingerprint TEXT NOT NULL,
  first_failed_at INTEGER NOT NULL, died_at INTEGER NOT NULL,
  kind TEXT NOT NULL, version INTEGER NOT NULL, published_at INTEGER NOT NULL,
  key BLOB, headers BLOB, payload BLOB NOT NULL,
  UNIQUE (subscription, partition, log_offset)) STRICT;
-- Each ends in the rowid, so a list that is newest first needs no sort.
CREATE INDEX consign_dead_letter_subscription ON consign_dead_letter (subscription);
CREATE INDEX consign_dead_letter_fingerprint ON consign_dead_letter (fingerprint);
CREATE INDEX consign_dead_letter_both ON consign_dead_letter (subscription, fingerprint);
CREATE INDEX consign_dead_letter_message ON consign_dead_letter (message);

CREATE TABLE consign_command (   -- asked for from outside: a row a partition, executed by its owner
  id INTEGER PRIMARY KEY, request BLOB NOT NULL,   -- what was asked for at once
  subscription INTEGER NOT NULL, partition INTEGER NOT NULL, verb TEXT NOT NULL,
  message BLOB, key BLOB, payload BLOB, fingerprint TEXT, reason TEXT, kind TEXT,
  until_letter INTEGER NOT NULL DEFAULT 0,   -- who died later is not meant
  after_offset INTEGER NOT NULL DEFAULT -1,   -- how far it has come
  rate INTEGER, free_at INTEGER NOT NULL,   -- messages a second of the whole request; when the next one may go
  touched INTEGER NOT NULL DEFAULT 0,
  asked_at INTEGER NOT NULL, done_at INTEGER) STRICT;
CREATE INDEX consign_command_open ON consign_command (subscription, partition, id) WHERE done_at IS NULL;
CREATE INDEX consign_command_request ON consign_command (request);

ALTER TABLE consign_subscription ADD COLUMN reads TEXT NOT NULL DEFAULT 'stream';
ALTER TABLE consign_subscription ADD COLUMN paused TEXT;   -- why; NULL: it is not
ALTER TABLE consign_subscription ADD COLUMN named_at INTEGER NOT NULL DEFAULT 0;   -- by a process, written at most hourly

-- Of what was passed since started_offset and not skipped, and what is marked above the cursor:
-- applied + dead + waiting + discarded, always. What a stream had passed before counts as applied.
ALTER TABLE consign_cursor ADD COLUMN started_offset INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consign_cursor ADD COLUMN marked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consign_cursor ADD COLUMN applied INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consign_cursor ADD COLUMN dead INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consign_cursor ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consign_cursor ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consign_cursor ADD COLUMN suspect INTEGER NOT NULL DEFAULT 0;   -- its last owner died while others went on
UPDATE consign_cursor SET applied = next_offset - coalesce((SELECT sum(total) FROM consign_skipped s
  WHERE s.subscription = consign_cursor.subscription AND s.partition = consign_cursor.partition), 0);
