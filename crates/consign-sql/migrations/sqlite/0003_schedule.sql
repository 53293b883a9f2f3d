-- Messages that are not due yet, names that one message may hold, and what is due again and again.
CREATE TABLE consign_scheduled (
  nth INTEGER PRIMARY KEY,   -- grows as they are published: the order of those that are due at once
  deliver_at INTEGER NOT NULL, topic INTEGER NOT NULL, id BLOB NOT NULL,
  unique_name BLOB,   -- the name that it holds in consign_unique
  kind TEXT NOT NULL, version INTEGER NOT NULL, key BLOB, headers BLOB, payload BLOB NOT NULL) STRICT;
CREATE INDEX consign_scheduled_due ON consign_scheduled (deliver_at);

CREATE TABLE consign_unique (   -- who holds a name; looked at by publishers alone, never by a worker
  topic INTEGER NOT NULL, kind TEXT NOT NULL, name BLOB NOT NULL,
  id BLOB NOT NULL,
  position INTEGER,   -- of the message in the log; NULL: it is not due yet
  subscription TEXT,   -- the name is free when it has handled the message; NULL: at look_at
  look_at INTEGER NOT NULL,   -- then it is free, or is looked at whether it is
  PRIMARY KEY (topic, kind, name)) STRICT, WITHOUT ROWID;
CREATE INDEX consign_unique_look ON consign_unique (look_at);

CREATE TABLE consign_cron (   -- last_due is moved by compare-and-set, beside the ticks' messages
  name TEXT PRIMARY KEY, times TEXT NOT NULL, last_due INTEGER NOT NULL) STRICT, WITHOUT ROWID;
