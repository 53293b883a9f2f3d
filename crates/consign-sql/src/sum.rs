//! The commonest projection, without SQL: adds numbers up per key.

use crate::sqlite::thread::{in_one_hop, in_one_long_hop};
use consign_core::{AnyOrder, Batch, Error, HandlerResult, Load, Message, Projection, Result, Tx};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;

/// Adds numbers up per key, in a table of the application: a projection without SQL.
///
/// A batch becomes one upsert a key, however many messages it has.
///
/// # Guarantee
/// Each message is added exactly once, and with [`Sum::backfill`] each row that was there before,
/// too. A value that is `null` counts as 0, and a sum that would leave the range of `i64` stays at
/// the end of that range: a batch that failed for ever would be worse.
pub struct Sum<E = (), F = ()> {
    table: SumInto,
    by: F,
    backfill: Option<&'static str>,
    event: PhantomData<fn(E)>,
}

/// Where a [`Sum`] is kept.
#[derive(Clone, Copy, Debug)]
pub struct SumInto {
    table: &'static str,
    key: &'static str,
    value: &'static str,
}

impl Sum {
    /// Names the table, its unique key column, and the column that is added to.
    ///
    /// The table is the application's: looked at when the workers start, never created. Names are
    /// SQL identifiers and are written into statements as they are.
    pub fn into(table: &'static str, key: &'static str, value: &'static str) -> SumInto {
        SumInto { table, key, value }
    }
}

impl SumInto {
    /// Says which row a message changes, and by how much.
    pub fn by<E, K, F>(self, by: F) -> Sum<E, F>
    where
        E: Message,
        K: Into<Value>,
        F: Fn(&E) -> (K, i64) + Send + Sync + 'static,
    {
        Sum { table: self, by, backfill: None, event: PhantomData }
    }

    fn upsert(&self) -> String {
        let Self { table, key, value } = self;
        format!(
            "insert into {table} ({key}, {value}) values (?1, ?2) \
             on conflict ({key}) do update set {value} = \
             case when typeof({value}) = 'integer' and typeof({value} + excluded.{value}) = 'real' \
             then iif(excluded.{value} > 0, {max}, {min}) \
             else coalesce({value}, 0) + excluded.{value} end",
            max = i64::MAX,
            min = i64::MIN
        )
    }

    /// Columns that no row can be inserted without, besides ours; the rowid is given by SQLite.
    fn other_columns(&self, db: &Connection) -> rusqlite::Result<Vec<String>> {
        let select =
            "select name from pragma_table_info(?1) where \"notnull\" and dflt_value is null
            and not (pk = 1 and type = 'INTEGER' collate nocase)
            and name <> ?2 collate nocase and name <> ?3 collate nocase";
        let names = [self.table, self.key, self.value].map(unquoted);
        db.prepare(select)?.query_map(names, |row| row.get(0))?.collect()
    }

    /// The table as it must be, for who has not made it.
    fn ddl(&self) -> String {
        let Self { table, key, value } = self;
        format!("create table {table} ({key} integer primary key, {value} integer not null) strict")
    }
}

/// An identifier without its quotes.
fn unquoted(name: &str) -> &str {
    name.trim_matches(['"', '`', '[', ']'])
}

impl<E, F> Sum<E, F> {
    /// Counts what exists already: `select` answers key and value.
    ///
    /// It runs in a snapshot that holds no write lock, and the messages published after that
    /// snapshot are added: each row counts once. It takes the place of what the table says until
    /// then, so a service that kept the sums itself can hand them over.
    #[must_use]
    pub fn backfill(self, select: &'static str) -> Self {
        Self { backfill: Some(select), ..self }
    }
}

/// Numbers add up in any order.
impl<E, F> AnyOrder for Sum<E, F> {}

impl<E, F> fmt::Debug for Sum<E, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sum").field("table", &self.table).finish_non_exhaustive()
    }
}

/// A key of a [`Sum`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// An integer column.
    Int(i64),
    /// A text column.
    Text(String),
}

impl From<i64> for Value {
    fn from(key: i64) -> Self {
        Self::Int(key)
    }
}

impl From<String> for Value {
    fn from(key: String) -> Self {
        Self::Text(key)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(key) => key.to_sql(),
            Self::Text(key) => key.to_sql(),
        }
    }
}

/// In the order of the keys: the upserts walk the table once.
type Changes = BTreeMap<Value, i64>;

impl<E, K, F> Projection<Tx<SqliteConnection>> for Sum<E, F>
where
    E: Message,
    K: Into<Value>,
    F: Fn(&E) -> (K, i64) + Send + Sync + 'static,
{
    type Event = E;

    async fn apply(&self, batch: Batch<E>, mut tx: Tx<SqliteConnection>) -> HandlerResult {
        let mut changes = HashMap::<Value, i64>::new();
        for event in &batch {
            let (key, change) = (self.by)(event);
            let sum = changes.entry(key.into()).or_default();
            *sum = sum.saturating_add(change);
        }
        Ok(add(self.table, changes.into_iter().collect(), &mut tx).await?)
    }

    async fn reset(&self, mut tx: Tx<SqliteConnection>) -> HandlerResult {
        Ok(clear(self.table, &mut tx).await?)
    }

    async fn load(
        &self,
        mut snapshot: Tx<SqliteConnection>,
    ) -> HandlerResult<Option<Load<Tx<SqliteConnection>>>> {
        let Some(select) = self.backfill else { return Ok(None) };
        let changes = select_all(select, &mut snapshot).await?;
        let table = self.table;
        Ok(Some(Load::new(move |mut tx: Tx<SqliteConnection>| async move {
            clear(table, &mut tx).await?;
            Ok(add(table, changes, &mut tx).await?)
        })))
    }

    async fn check(&self, mut snapshot: Tx<SqliteConnection>) -> Result {
        let table = self.table;
        let look = |db: &Connection| {
            db.prepare(&table.upsert())?;
            table.other_columns(db)
        };
        match in_one_hop(&mut snapshot, "look at the table of a sum", look).await {
            Ok(others) if others.is_empty() => Ok(()),
            Ok(others) => Err(table.refused_for(&others)),
            Err(source) => Err(table.refused().caused_by(source)),
        }
    }
}

impl SumInto {
    fn refused(&self) -> Error {
        let Self { table, key, value } = self;
        let message = format!(
            "a sum into {table} needs a table with a column {value} and a unique key {key}; \
             make it before the workers start: {}",
            self.ddl()
        );
        Error::new("sum-table", message)
    }

    fn refused_for(&self, others: &[String]) -> Error {
        let Self { table, key, value } = self;
        let message = format!(
            "a sum into {table} inserts {key} and {value}, and these columns are `not null` \
             without a default: {}; give each a default, or let it be null, as in: {}",
            others.join(", "),
            self.ddl()
        );
        Error::new("sum-table", message)
    }
}

/// Every sum is 0 again. Before a backfill, too: what the select answers is all there was, and a
/// service that kept the sums itself until now has them in the table already. Rows stay, since the
/// table may have other columns.
async fn clear(table: SumInto, tx: &mut SqliteConnection) -> Result {
    let SumInto { table, value, .. } = table;
    let clear = format!("update {table} set {value} = 0 where {value} is not 0");
    in_one_long_hop(tx, "clear a sum", |db| db.execute(&clear, [])).await.map(drop)
}

async fn add(table: SumInto, changes: Changes, tx: &mut SqliteConnection) -> Result {
    let upsert = table.upsert();
    in_one_long_hop(tx, "add up", |db| {
        let mut upsert = db.prepare(&upsert)?;
        for (key, change) in changes.iter().filter(|(_, change)| **change != 0) {
            upsert.execute((key, change))?;
        }
        Ok(())
    })
    .await
}

async fn select_all(select: &str, snapshot: &mut SqliteConnection) -> Result<Changes> {
    in_one_long_hop(snapshot, "read what there was before", |db| {
        let mut select = db.prepare(select)?;
        let row = |row: &rusqlite::Row<'_>| {
            let key = row.get(0).map(Value::Int).or_else(|_| row.get(0).map(Value::Text))?;
            Ok((key, row.get(1)?))
        };
        select.query_map([], row)?.collect()
    })
    .await
}
