-- The blog's own tables. Times are milliseconds since 1970.

create table authors (
    id integer primary key,
    name text not null unique,
    -- Argon2id; null for a demo author, whom nobody signs in as.
    password_hash text,
    created_at integer not null
) strict;

create table sessions (
    -- SHA-256 of the token: who reads this table can sign in as nobody.
    token_hash blob primary key,
    author_id integer not null references authors (id),
    created_at integer not null,
    seen_at integer not null
) strict, without rowid;

create index sessions_by_seen_at on sessions (seen_at);

-- AUTOINCREMENT, so that the address of a deleted article never shows another one.
create table articles (
    id integer primary key autoincrement,
    author_id integer not null references authors (id),
    title text not null,
    body text not null,
    published_at integer not null,
    updated_at integer not null
) strict;

create index articles_by_author on articles (author_id);

-- Kept by the counter, never by a request.
create table author_counts (
    author_id integer primary key,
    articles integer not null
) strict;

-- Kept by search, never by a request. A plain table: an old text must be at hand to be taken out again.
create virtual table article_search using fts5 (title, body, tokenize = 'unicode61 remove_diacritics 2');

-- No merge inside a COMMIT, where everybody waits: search merges in turns of its own.
insert into article_search (article_search, rank) values
    ('automerge', 0),
    ('crisismerge', 1000),
    ('rank', 'bm25(4.0, 1.0)');

-- What happened once and for all: `seeded`, `ready`.
create table markers (
    name text primary key,
    at integer not null
) strict, without rowid;

pragma user_version = 1;
