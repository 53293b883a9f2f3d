-- From now on a cursor's suspect says below which offset messages may have killed an owner: 0, none.
UPDATE consign_cursor SET suspect = 0;
-- Messages that are to run alone are found at every take-over, however many others wait.
CREATE INDEX consign_retry_suspect ON consign_retry (subscription, partition, log_offset) WHERE suspect = 1;
