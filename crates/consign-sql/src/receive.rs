//! Pages of the log, of all partitions of a subscription in one hop.

use crate::connection::Role;
use crate::handle::Log;
use crate::publish::OFFSET_BITS;
use crate::sqlite::thread::in_one_long_hop;
use crate::topics::TopicRow;
use bytes::Bytes;
use consign_core::{
    Changes, Driver, Envelope, Key, MessageId, Offset, Page, PageRequest, Reader, Result, Topic,
};
use rusqlite::{Connection, Row, params};
use sqlx::SqliteConnection;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

const PAGE: &str = "SELECT position, id, kind, version, key, headers, payload, published_at
    FROM consign_log WHERE position >= ?1 AND position < ?2 ORDER BY position LIMIT ?3";

/// Reads one topic of the log.
#[derive(Debug)]
pub struct LogReader {
    log: Log,
    topic: TopicRow,
    /// Opened when it is needed, and again after an error.
    connection: Option<SqliteConnection>,
    /// Kinds met so far, so that a message's kind costs no allocation.
    kinds: Vec<Arc<str>>,
}

impl Driver for Log {
    type Reader = LogReader;

    async fn reader(&self, topic: &Topic) -> Result<LogReader> {
        let topic = self.topic(topic).await?;
        Ok(LogReader { log: self.clone(), topic, connection: None, kinds: Vec::new() })
    }

    fn changes(&self) -> Changes {
        Self::changes(self)
    }
}

impl Reader for LogReader {
    async fn read(&mut self, requests: &[PageRequest]) -> Result<Vec<Page>> {
        if self.connection.is_none() {
            self.connection = Some(self.log.connections().open(Role::Reads).await?);
        }
        let (topic, kinds) = (self.topic, &mut self.kinds);
        let connection = self.connection.as_mut().expect("opened above");
        let read =
            in_one_long_hop(connection, "read the log", |db| pages(db, topic, requests, kinds));
        let read = read.await;
        if read.is_err() {
            self.connection = None;
        }
        read
    }
}

fn pages(
    db: &Connection,
    topic: TopicRow,
    requests: &[PageRequest],
    kinds: &mut Vec<Arc<str>>,
) -> rusqlite::Result<Vec<Page>> {
    let mut select = db.prepare(PAGE)?;
    let read = |request: &PageRequest| {
        let number = topic.number(request.partition);
        let first = number << OFFSET_BITS | request.from.0.cast_signed();
        let end = (number + 1) << OFFSET_BITS;
        let limit = i64::try_from(request.messages_max).unwrap_or(i64::MAX);
        page(select.query(params![first, end, limit])?, request, kinds)
    };
    requests.iter().map(read).collect()
}

fn page(
    mut rows: rusqlite::Rows<'_>,
    request: &PageRequest,
    kinds: &mut Vec<Arc<str>>,
) -> rusqlite::Result<Page> {
    let mut page = Rows::default();
    while let Some(row) = rows.next()? {
        page.add(row, kinds)?;
        if page.payloads.len() >= request.bytes_max {
            return page.finish(true);
        }
    }
    let more = page.messages.len() == request.messages_max;
    page.finish(more)
}

/// The rows of a page; their bytes lie one after the other, so that a message costs no allocation.
/// The payloads lie apart, since an event lives as long as its projection likes, with its key and
/// headers, and without its payload.
#[derive(Default)]
struct Rows {
    kept: Vec<u8>,
    payloads: Vec<u8>,
    messages: Vec<(Offset, Message)>,
}

/// A row without its bytes.
struct Message {
    id: MessageId,
    kind: Arc<str>,
    version: u32,
    key: Option<Range<usize>>,
    headers: Range<usize>,
    payload: Range<usize>,
    published_at: i64,
}

impl Rows {
    fn add(&mut self, row: &Row<'_>, kinds: &mut Vec<Arc<str>>) -> rusqlite::Result<()> {
        let position: i64 = row.get(0)?;
        let offset = Offset((position & ((1 << OFFSET_BITS) - 1)).cast_unsigned());
        let headers = row.get_ref(5)?.as_blob_or_null()?.unwrap_or_default();
        let message = Message {
            id: MessageId(Uuid::from_slice(row.get_ref(1)?.as_blob()?).unwrap_or_default()),
            kind: kind(row.get_ref(2)?.as_str()?, kinds),
            version: row.get(3)?,
            key: row.get_ref(4)?.as_blob_or_null()?.map(|key| end_of(&mut self.kept, key)),
            headers: end_of(&mut self.kept, headers),
            payload: end_of(&mut self.payloads, row.get_ref(6)?.as_blob()?),
            published_at: row.get(7)?,
        };
        self.messages.push((offset, message));
        Ok(())
    }

    fn finish(self, more: bool) -> rusqlite::Result<Page> {
        let (kept, payloads) = (Bytes::from(self.kept), Bytes::from(self.payloads));
        let whole = |(offset, row): (Offset, Message)| {
            let key = row.key.map(|range| Key::new(kept.slice(range))).transpose();
            let envelope = Envelope {
                id: row.id,
                kind: row.kind,
                version: row.version,
                key: key.map_err(too_long)?,
                headers: kept.slice(row.headers),
                payload: payloads.slice(row.payload),
                published_at: UNIX_EPOCH + Duration::from_micros(row.published_at.unsigned_abs()),
            };
            Ok((offset, envelope))
        };
        let messages = self.messages.into_iter().map(whole).collect::<rusqlite::Result<_>>()?;
        Ok(Page { messages, more })
    }
}

/// Appends bytes and says where they lie.
fn end_of(all: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = all.len();
    all.extend_from_slice(bytes);
    start..all.len()
}

fn too_long(source: consign_core::Error) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Blob, Box::new(source))
}

fn kind(name: &str, kinds: &mut Vec<Arc<str>>) -> Arc<str> {
    if let Some(known) = kinds.iter().find(|known| &***known == name) {
        return Arc::clone(known);
    }
    let new: Arc<str> = name.into();
    kinds.push(Arc::clone(&new));
    new
}
