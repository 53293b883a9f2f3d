-- What retention took from a subscription that nobody named for long, and rebuilds that are asked for.
ALTER TABLE consign_cursor ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;   -- deleted before it read them

ALTER TABLE consign_subscription ADD COLUMN rebuild TEXT
  CHECK (rebuild IN ('asked', 'begun'));   -- begun: and its read model is not whole again
ALTER TABLE consign_subscription ADD COLUMN rebuild_refused TEXT;   -- why the last one was

-- Whoever was there before this was written down counts as named now.
UPDATE consign_subscription SET named_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
  WHERE named_at = 0;
