//! Login sessions: a token in the hands of a person or a program, its hash in the database.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::account::Credentials;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::state::App;

const TOKEN_BYTES: usize = 32;
const IDLE_MAX: Duration = Duration::from_mins(30);
const AGE_MAX: Duration = Duration::from_hours(24 * 30);
/// A use is written down no more often than this: reading a page must not write.
const SEEN_EVERY: Duration = Duration::from_mins(5);
/// How many ended sessions each sign-in clears away.
const CLEARED_AT_ONCE: i64 = 16;

/// Who may act as somebody: 256 random bits, in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

/// The author that a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) author_id: i64,
    pub(crate) name: String,
}

/// Begins a session. `from` is the address that a failure is counted for.
pub(crate) async fn sign_in(
    app: &App,
    from: IpAddr,
    credentials: Credentials,
) -> Result<Token, Problem> {
    let Credentials { name, password } = credentials;
    // First the turn, then the look at the failures: those who come at once are counted one after the other.
    let turn = app.passwords.turn().await?;
    app.failures.check(from, &name, Instant::now())?;
    let (author_id, hash) = account(app, &name).await?.unzip();
    let matches = turn.matches(password, hash.flatten()).await?;
    let Some(author_id) = author_id.filter(|_| matches) else {
        app.failures.record(from, &name, Instant::now());
        tracing::info!(%from, "a sign-in failed");
        return Err(Problem::not_signed_in("the name or the password is wrong"));
    };
    app.failures.forgive(from, &name);
    tracing::info!(author_id, "signed in");
    begin_session(app, author_id).await
}

/// Ends a session; one that is not there has ended already.
pub(crate) async fn sign_out(app: &App, token: &Token) -> Result<(), Problem> {
    let mut tx = app.consign.begin().await?;
    sqlx::query("delete from sessions where token_hash = ?1")
        .bind(token.hash())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Whose token it is, unless its session has ended.
pub(crate) async fn signed_in(app: &App, token: &Token) -> Result<Option<SignedIn>, Problem> {
    let now = Moment::now();
    let row: Option<(i64, String, i64)> = sqlx::query_as(
        "select authors.id, authors.name, sessions.seen_at
         from sessions join authors on authors.id = sessions.author_id
         where token_hash = ?1 and sessions.created_at > ?2 and seen_at > ?3",
    )
    .bind(token.hash())
    .bind(now.before(AGE_MAX).milliseconds())
    .bind(now.before(IDLE_MAX).milliseconds())
    .fetch_optional(&app.db)
    .await?;
    let Some((author_id, name, seen_at)) = row else { return Ok(None) };
    if seen_at < now.before(SEEN_EVERY).milliseconds() {
        // The request goes on without it: a session may end early, but reading works on a full disk.
        if let Err(problem) = write_seen(app, token, now).await {
            tracing::warn!(detail = problem.detail(), "a session's use was not written down");
        }
    }
    Ok(Some(SignedIn { author_id, name }))
}

impl Token {
    fn new() -> Self {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        let mut text = String::with_capacity(2 * TOKEN_BYTES);
        for byte in bytes {
            write!(text, "{byte:02x}").expect("a String takes whatever is written");
        }
        Self(text)
    }

    /// Takes what a client sent; `None` if it cannot be a token of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 2 * TOKEN_BYTES && text.bytes().all(hexadecimal))
            .then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

async fn account(app: &App, name: &str) -> Result<Option<(i64, Option<String>)>, Problem> {
    Ok(sqlx::query_as("select id, password_hash from authors where name = ?1")
        .bind(name)
        .fetch_optional(&app.db)
        .await?)
}

async fn begin_session(app: &App, author_id: i64) -> Result<Token, Problem> {
    let (token, now) = (Token::new(), Moment::now());
    let mut tx = app.consign.begin().await?;
    sqlx::query(
        "insert into sessions (token_hash, author_id, created_at, seen_at) values (?1, ?2, ?3, ?3)",
    )
    .bind(token.hash())
    .bind(author_id)
    .bind(now.milliseconds())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "delete from sessions where token_hash in
         (select token_hash from sessions where seen_at < ?1 limit ?2)",
    )
    .bind(now.before(IDLE_MAX).milliseconds())
    .bind(CLEARED_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(token)
}

async fn write_seen(app: &App, token: &Token, now: Moment) -> Result<(), Problem> {
    let mut tx = app.consign.begin().await?;
    sqlx::query("update sessions set seen_at = ?2 where token_hash = ?1")
        .bind(token.hash())
        .bind(now.milliseconds())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}
