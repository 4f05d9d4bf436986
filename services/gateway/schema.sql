-- Conversations, turns and their events. Times are seconds since the epoch.
-- `finish_time` and `rating` are null until they are known; a turn is live while `finish_time` is null.
CREATE TABLE IF NOT EXISTS conversations (
  name TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  assistant TEXT NOT NULL,
  title TEXT NOT NULL,
  create_time REAL NOT NULL,
  update_time REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS conversations_by_use ON conversations (tenant, subject, update_time DESC, name DESC);

CREATE TABLE IF NOT EXISTS turns (
  name TEXT PRIMARY KEY,
  conversation TEXT NOT NULL REFERENCES conversations (name) ON DELETE CASCADE,
  create_time REAL NOT NULL,
  finish_time REAL,
  last_seq INTEGER NOT NULL DEFAULT 0,
  owner TEXT NOT NULL,
  lease_expire REAL NOT NULL,
  stop_requested INTEGER NOT NULL DEFAULT 0,
  last_read REAL NOT NULL,
  tidied INTEGER NOT NULL DEFAULT 0,
  rating BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS turns_by_conversation ON turns (conversation, create_time);
CREATE INDEX IF NOT EXISTS turns_live ON turns (lease_expire) WHERE finish_time IS NULL;
CREATE INDEX IF NOT EXISTS turns_untidied ON turns (finish_time) WHERE finish_time IS NOT NULL AND tidied = 0;

CREATE TABLE IF NOT EXISTS events (
  turn TEXT NOT NULL REFERENCES turns (name) ON DELETE CASCADE,
  seq INTEGER NOT NULL,
  event BLOB NOT NULL,
  PRIMARY KEY (turn, seq)
) WITHOUT ROWID;

-- AIP-155: unique for (principal, request_id) for 24 hours.
CREATE TABLE IF NOT EXISTS requests (
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  request_id TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  turn TEXT NOT NULL REFERENCES turns (name) ON DELETE CASCADE,
  create_time REAL NOT NULL,
  PRIMARY KEY (tenant, subject, request_id)
) WITHOUT ROWID;
