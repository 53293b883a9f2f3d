//! The body of a request: read whole before anything else is done, and bounded in size and time.
//!
//! What is too large is read on and thrown away for a while, since a client that is still sending would not see the answer.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

const BYTES_MAX: usize = 512 * 1024;
const THROWN_AWAY_MAX: usize = 8 * 1024 * 1024;
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// Middleware: nothing further in waits for a client.
pub(crate) async fn read(request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let bytes = tokio::time::timeout(ARRIVES_WITHIN, collect(body))
        .await
        .map_err(|_| Problem::too_slow())??;
    Ok(next.run(Request::from_parts(parts, Body::from(bytes))).await)
}

async fn collect(body: Body) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let (mut bytes, mut seen) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::invalid("the request broke off"))?;
        seen += chunk.len();
        if seen > THROWN_AWAY_MAX {
            break;
        }
        if seen <= BYTES_MAX {
            bytes.extend_from_slice(&chunk);
        }
    }
    if seen > BYTES_MAX {
        return Err(Problem::too_large(format!("the request has more than {BYTES_MAX} bytes")));
    }
    Ok(bytes.into())
}

/// A JSON object with exactly the fields of `T`.
pub(crate) struct Input<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = collect(request.into_body()).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::invalid(format!("cannot read the JSON: {error}")))
    }
}
