//! The cookie that signs a browser in, and who a request comes from.
//!
//! Behind https it is `__Host-session`, which no other site or subdomain can plant; on plain http to this machine, where a browser
//! would drop that one, it is `session`. Which of the two holds follows from the host that was asked, and the other is not read.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::login::{self, SignedIn, Token};
use crate::problem::Problem;
use crate::state::App;

const SECURE: &str = "__Host-session";
const LOOPBACK: &str = "session";

/// The header that signs a browser in, for the host that it asked.
pub(crate) fn set(request: &HeaderMap, token: &Token) -> HeaderValue {
    header_value(request, name(request), token.as_str(), "")
}

/// The header that makes a browser forget its token.
pub(crate) fn clear(request: &HeaderMap) -> HeaderValue {
    header_value(request, name(request), "", "; Max-Age=0")
}

/// The header that makes a browser keep something else for so long; 0 makes it forget that.
pub(crate) fn set_for(request: &HeaderMap, name: &str, value: &str, seconds: u32) -> HeaderValue {
    header_value(request, name, value, &format!("; Max-Age={seconds}"))
}

/// The token that a browser sent.
pub(crate) fn read(request: &HeaderMap) -> Option<Token> {
    value(request, name(request)).and_then(Token::parse)
}

/// What a browser keeps under `name`.
pub(crate) fn value<'a>(request: &'a HeaderMap, name: &str) -> Option<&'a str> {
    request
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// Whether the request was sent to this very machine's loopback address.
pub(crate) fn is_loopback(request: &HeaderMap) -> bool {
    let host = request.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn name(request: &HeaderMap) -> &'static str {
    if is_loopback(request) { LOOPBACK } else { SECURE }
}

fn header_value(request: &HeaderMap, name: &str, value: &str, more: &str) -> HeaderValue {
    let secure = if is_loopback(request) { "" } else { "; Secure" };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{more}");
    HeaderValue::from_str(&cookie).expect("what we let a browser keep is plain letters and digits")
}

/// The address of the other end of the connection. `X-Forwarded-For` is not believed: anybody can write it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl FromRequestParts<App> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(address)) => Ok(Self(address.ip())),
            None => Err(Problem::internal(&"a connection without an address")),
        }
    }
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let somebody = <Self as OptionalFromRequestParts<App>>::from_request_parts(parts, app);
        somebody.await?.ok_or_else(|| Problem::not_signed_in("sign in first"))
    }
}

impl OptionalFromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        match token(&parts.headers) {
            Some(token) => login::signed_in(app, &token).await,
            None => Ok(None),
        }
    }
}

/// A program's token if the request has one, else a browser's.
fn token(request: &HeaderMap) -> Option<Token> {
    match request.get(header::AUTHORIZATION) {
        Some(value) => {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| Token::parse(token.trim()))?
        }
        None => read(request),
    }
}
