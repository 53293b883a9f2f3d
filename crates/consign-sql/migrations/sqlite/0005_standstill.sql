-- Why a subscription does not move, for those who look.
CREATE TABLE consign_standstill (   -- what only a worker process knows; it goes with the process
  subscription INTEGER NOT NULL, worker BLOB NOT NULL,
  partition INTEGER NOT NULL,   -- -1: all of it, since something is away
  cause TEXT NOT NULL, since INTEGER NOT NULL,
  PRIMARY KEY (subscription, worker, partition)) STRICT, WITHOUT ROWID;

ALTER TABLE consign_subscription ADD COLUMN paused_at INTEGER;

-- How many of a topic's messages are not due yet, kept as they come and go: nobody counts them.
ALTER TABLE consign_topic ADD COLUMN scheduled INTEGER NOT NULL DEFAULT 0;
UPDATE consign_topic SET scheduled =
  (SELECT count(*) FROM consign_scheduled s WHERE s.topic = consign_topic.id);
CREATE INDEX consign_scheduled_topic ON consign_scheduled (topic, deliver_at);
CREATE TRIGGER consign_scheduled_comes AFTER INSERT ON consign_scheduled BEGIN
  UPDATE consign_topic SET scheduled = scheduled + 1 WHERE id = new.topic;
END;
CREATE TRIGGER consign_scheduled_goes AFTER DELETE ON consign_scheduled BEGIN
  UPDATE consign_topic SET scheduled = scheduled - 1 WHERE id = old.topic;
END;
