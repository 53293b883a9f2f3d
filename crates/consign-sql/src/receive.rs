//! Pages of the log, of all partitions of a subscription in one hop.

use crate::handle::Log;
use crate::publish::OFFSET_BITS;
use crate::sqlite::thread::in_one_long_hop;
use crate::topics::TopicRow;
use bytes::Bytes;
use consign_core::{
    Changes, Driver, Envelope, KEY_BYTES_MAX, Key, MessageId, Offset, Page, PageRequest, Reader,
    Result, Topic,
};
use rusqlite::types::{FromSqlResult, ValueRef};
use rusqlite::{Connection, Row, params};
use sqlx::SqliteConnection;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use std::vec;
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
    type Messages = Messages;

    async fn read(&mut self, requests: &[PageRequest]) -> Result<Vec<Page<Messages>>> {
        if self.connection.is_none() {
            self.connection = Some(self.log.connections().open_reader().await?);
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
) -> rusqlite::Result<Vec<Page<Messages>>> {
    let mut select = db.prepare_cached(PAGE)?;
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
) -> rusqlite::Result<Page<Messages>> {
    let mut page = Rows::default();
    while let Some(row) = rows.next()? {
        page.add(row, kinds)?;
        if page.payloads.len() >= request.bytes_max {
            return Ok(page.finish(true));
        }
    }
    let more = page.heads.len() == request.messages_max;
    Ok(page.finish(more))
}

/// The rows of a page; their bytes lie one after the other, so that a message costs no allocation.
/// The payloads lie apart, since an event lives as long as its projection likes, with its key and
/// headers, and without its payload.
#[derive(Default)]
struct Rows {
    heads: Vec<Head>,
    /// Of each message its key, then its headers.
    kept: Vec<u8>,
    payloads: Vec<u8>,
}

/// A row, with the lengths of its bytes.
#[derive(Debug)]
struct Head {
    offset: Offset,
    id: MessageId,
    kind: Arc<str>,
    version: u32,
    key: Option<usize>,
    headers: usize,
    payload: usize,
    published_at: i64,
}

impl Rows {
    fn add(&mut self, row: &Row<'_>, kinds: &mut Vec<Arc<str>>) -> rusqlite::Result<()> {
        let position: i64 = row.get(0)?;
        let key = row.get_ref(4)?.as_blob_or_null()?;
        if key.is_some_and(|key| key.len() > KEY_BYTES_MAX) {
            return Err(too_long());
        }
        let headers = row.get_ref(5)?.as_blob_or_null()?.unwrap_or_default();
        let payload = row.get_ref(6)?.as_blob()?;
        self.heads.push(Head {
            offset: Offset((position & ((1 << OFFSET_BITS) - 1)).cast_unsigned()),
            id: MessageId(Uuid::from_slice(row.get_ref(1)?.as_blob()?).unwrap_or_default()),
            kind: kind(row.get_ref(2)?, kinds)?,
            version: row.get(3)?,
            key: key.map(<[u8]>::len),
            headers: headers.len(),
            payload: payload.len(),
            published_at: row.get(7)?,
        });
        self.kept.extend_from_slice(key.unwrap_or_default());
        self.kept.extend_from_slice(headers);
        self.payloads.extend_from_slice(payload);
        Ok(())
    }

    fn finish(self, more: bool) -> Page<Messages> {
        let (heads, kept, payloads) = (self.heads.into_iter(), self.kept, self.payloads);
        Page { messages: Messages { heads, kept: kept.into(), payloads: payloads.into() }, more }
    }
}

/// The messages of a page.
#[derive(Debug)]
pub struct Messages {
    heads: vec::IntoIter<Head>,
    kept: Bytes,
    payloads: Bytes,
}

impl Iterator for Messages {
    type Item = (Offset, Envelope);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.heads.next()?;
        let key = head.key.map(|length| Key::new(self.kept.split_to(length)));
        let envelope = Envelope {
            id: head.id,
            kind: head.kind,
            version: head.version,
            key: key.map(|key| key.expect("its length was looked at when it was read")),
            headers: self.kept.split_to(head.headers),
            payload: self.payloads.split_to(head.payload),
            published_at: UNIX_EPOCH + Duration::from_micros(head.published_at.unsigned_abs()),
        };
        Some((head.offset, envelope))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.heads.size_hint()
    }
}

fn too_long() -> rusqlite::Error {
    let source = format!("the key of a message has more than {KEY_BYTES_MAX} bytes");
    rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Blob, source.into())
}

/// Compared as bytes: whether they are text is asked only of what is new.
fn kind(name: ValueRef<'_>, kinds: &mut Vec<Arc<str>>) -> FromSqlResult<Arc<str>> {
    let bytes = name.as_bytes()?;
    if let Some(known) = kinds.iter().find(|known| known.as_bytes() == bytes) {
        return Ok(Arc::clone(known));
    }
    let new: Arc<str> = name.as_str()?.into();
    kinds.push(Arc::clone(&new));
    Ok(new)
}
