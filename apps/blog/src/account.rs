//! Accounts: a name and a password.

use std::net::IpAddr;
use std::time::Instant;

use serde::Deserialize;

use crate::moment::Moment;
use crate::problem::Problem;
use crate::state::App;

const NAME_LENGTH: std::ops::RangeInclusive<usize> = 3..=32;
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=256;

/// What somebody signs up or in with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// Makes an account and answers its name. `from` is the address that a failure is counted for.
pub(crate) async fn sign_up(
    app: &App,
    from: IpAddr,
    credentials: Credentials,
) -> Result<String, Problem> {
    let Credentials { name, password } = credentials;
    check_name(&name)?;
    check_password(&password)?;
    app.failures.check(from, &name, Instant::now())?;
    if exists(app, &name).await? {
        return Err(taken(app, from, &name));
    }
    let hash = app.passwords.turn().await?.hash(password).await?;
    match insert(app, &name, &hash).await {
        // Somebody else took it while the password was hashed.
        Err(Refused::Taken) => Err(taken(app, from, &name)),
        Err(Refused::Otherwise(problem)) => Err(problem),
        Ok(()) => Ok(name),
    }
}

fn taken(app: &App, from: IpAddr, name: &str) -> Problem {
    app.failures.record(from, name, Instant::now());
    Problem::taken(format!("the name {name} is taken"))
}

async fn exists(app: &App, name: &str) -> Result<bool, Problem> {
    Ok(sqlx::query_scalar("select exists (select 1 from authors where name = ?1)")
        .bind(name)
        .fetch_one(&app.db)
        .await?)
}

enum Refused {
    Taken,
    Otherwise(Problem),
}

async fn insert(app: &App, name: &str, hash: &str) -> Result<(), Refused> {
    let otherwise = |error: consign::Error| Refused::Otherwise(error.into());
    let mut tx = app.consign.begin().await.map_err(otherwise)?;
    sqlx::query("insert into authors (name, password_hash, created_at) values (?1, ?2, ?3)")
        .bind(name)
        .bind(hash)
        .bind(Moment::now().milliseconds())
        .execute(&mut *tx)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(refused) if refused.is_unique_violation() => Refused::Taken,
            _ => Refused::Otherwise(error.into()),
        })?;
    tx.commit().await.map_err(otherwise)?;
    Ok(())
}

fn check_name(name: &str) -> Result<(), Problem> {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if NAME_LENGTH.contains(&name.len()) && name.bytes().all(known) {
        return Ok(());
    }
    Err(Problem::invalid("a name has 3 to 32 characters: a to z, 0 to 9, _ and -"))
}

fn check_password(password: &str) -> Result<(), Problem> {
    if PASSWORD_LENGTH.contains(&password.chars().count()) {
        return Ok(());
    }
    Err(Problem::invalid("a password has 8 to 256 characters"))
}
