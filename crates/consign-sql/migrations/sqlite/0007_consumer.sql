-- Of consumers: which of them may be built anew, how often one had to be, and who is in their way.
ALTER TABLE consign_subscription ADD COLUMN projects INTEGER NOT NULL DEFAULT 0;   -- a projection, no handler: it may be rebuilt
UPDATE consign_subscription SET projects = 1 WHERE reads = 'stream';
ALTER TABLE consign_subscription ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;   -- of consumers that had died or hung

ALTER TABLE consign_worker ADD COLUMN pinned_since INTEGER;   -- a reader keeps the WAL from being copied; NULL: nobody does
ALTER TABLE consign_worker ADD COLUMN pinned_bytes INTEGER;   -- how long the WAL is
