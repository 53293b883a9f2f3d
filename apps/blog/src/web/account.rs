//! `/sign-up`, `/sign-in` and `/sign-out`.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::form::{Asked, Sent};
use super::frame::Frame;
use super::page::Page;
use crate::account::{self, Credentials};
use crate::cookie::{self, Peer};
use crate::login;
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "account.html")]
pub(super) struct AccountPage {
    frame: Frame,
    /// Whether an account is made, or one is entered.
    new: bool,
    name: String,
    next: Next,
    problem: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Typed {
    name: String,
    password: String,
    #[serde(default)]
    next: Next,
}

/// The page that somebody wanted before having to sign in; only ever one of ours.
#[derive(Clone, Default, Deserialize)]
#[serde(from = "String")]
pub(super) struct Next(String);

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: Next,
}

pub(super) async fn sign_up_form(frame: Frame, Asked(wanted): Asked<Wanted>) -> Page<AccountPage> {
    Page(AccountPage { frame, new: true, name: String::new(), next: wanted.next, problem: None })
}

pub(super) async fn sign_in_form(frame: Frame, Asked(wanted): Asked<Wanted>) -> Page<AccountPage> {
    Page(AccountPage { frame, new: false, name: String::new(), next: wanted.next, problem: None })
}

/// Makes the account and signs it in.
pub(super) async fn sign_up(
    State(app): State<App>,
    frame: Frame,
    peer: Peer,
    request: HeaderMap,
    Sent(typed): Sent<Typed>,
) -> Response {
    match account::sign_up(&app, peer.0, typed.credentials()).await {
        Ok(name) => {
            let home = format!("/authors/{name}");
            enter(&app, frame, peer, &request, typed, &home).await
        }
        Err(problem) => typed_again(frame, true, typed, &problem),
    }
}

pub(super) async fn sign_in(
    State(app): State<App>,
    frame: Frame,
    peer: Peer,
    request: HeaderMap,
    Sent(typed): Sent<Typed>,
) -> Response {
    enter(&app, frame, peer, &request, typed, "/").await
}

pub(super) async fn sign_out(
    State(app): State<App>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(token) = cookie::read(&request) {
        login::sign_out(&app, &token).await?;
    }
    Ok(with_cookie(cookie::clear(&request), Redirect::to("/")))
}

/// Leads to the sign-in page, and from there back to `path`.
pub(super) fn sign_in_first(path: &str) -> Response {
    Redirect::to(&format!("/sign-in?next={path}")).into_response()
}

/// Signs in, and goes where the reader wanted to go, else to `otherwise`.
async fn enter(
    app: &App,
    frame: Frame,
    peer: Peer,
    request: &HeaderMap,
    typed: Typed,
    otherwise: &str,
) -> Response {
    match login::sign_in(app, peer.0, typed.credentials()).await {
        Ok(token) => {
            let page = Redirect::to(typed.next.path().unwrap_or(otherwise));
            with_cookie(cookie::set(request, &token), page)
        }
        Err(problem) => typed_again(frame, false, typed, &problem),
    }
}

/// The form again, with the name that was typed and why it was not taken.
fn typed_again(frame: Frame, new: bool, typed: Typed, problem: &Problem) -> Response {
    let Typed { name, next, .. } = typed;
    let sentence = Some(problem.detail().to_owned());
    Page(AccountPage { frame, new, name, next, problem: sentence }).because_of(problem)
}

fn with_cookie(cookie: HeaderValue, page: Redirect) -> Response {
    ([(header::SET_COOKIE, cookie)], page).into_response()
}

impl Typed {
    fn credentials(&self) -> Credentials {
        Credentials { name: self.name.clone(), password: self.password.clone() }
    }
}

impl Next {
    fn path(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }

    /// Takes it along to the other of the two forms.
    fn query(&self) -> String {
        self.path().map(|path| format!("?next={path}")).unwrap_or_default()
    }
}

impl From<String> for Next {
    /// Nobody is led to another site: `//elsewhere` and `/\elsewhere` are such.
    fn from(path: String) -> Self {
        let own = path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_".contains(&byte));
        Self(if own { path } else { String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        for path in ["/write", "/articles/7/edit", "/authors/a_b-c"] {
            assert_eq!(Next::from(path.to_owned()).path(), Some(path));
        }
        for path in ["", "write", "//x.org", "/\\x.org", "https://x.org", "/\t/x.org", "/a?b=c"] {
            assert_eq!(Next::from(path.to_owned()).path(), None, "{path}");
        }
    }
}
