-- What the service had before: its tables, and a thousand likes of ten articles.
create table if not exists likes (
    id integer primary key,
    article_id integer not null,
    reader_id integer not null
) strict;

create table if not exists like_counts (
    article_id integer primary key,
    likes integer not null
) strict;

begin immediate;

insert into likes (article_id, reader_id)
with recursive reader (id) as (select 1 union all select id + 1 from reader where id < 1000)
select id % 10, id from reader where not exists (select 1 from likes);

insert into like_counts (article_id, likes)
select article_id, count(*) from likes where not exists (select 1 from like_counts) group by article_id;

commit;
