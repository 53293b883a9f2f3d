//! What a browser sends: a form, or the part of an address after the question mark.

use axum::extract::{Form, FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A form; what is none of `T`'s is refused as a [`Problem`].
pub(super) struct Sent<T>(pub(super) T);

/// A query; what is none of `T`'s is refused as a [`Problem`].
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let form = Form::from_request(request, state).await;
        form.map(|Form(sent)| Self(sent))
            .map_err(|rejection| Problem::invalid(format!("cannot read the form: {rejection}")))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        query
            .map(|Query(asked)| Self(asked))
            .map_err(|rejection| Problem::invalid(format!("cannot read the address: {rejection}")))
    }
}
