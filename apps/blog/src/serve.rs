//! The server: pages and API on one listener, with bounds on what a client can hold.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;

use crate::problem::Problem;
use crate::state::App;
use crate::{BoxError, api, body, csrf, headers, ready, web};

/// Below the 1,024 files that a process may usually open: workers have to be started, too.
const CONNECTIONS_MAX: usize = 800;
/// For the head of a request, and between two requests of one connection.
const HEAD_ARRIVES_WITHIN: Duration = Duration::from_secs(20);
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const FINISHED_WITHIN: Duration = Duration::from_secs(4);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Takes the address, or says who could.
pub(crate) async fn listen(address: &str) -> Result<TcpListener, BoxError> {
    TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => {
                let port = address.rsplit(':').next().unwrap_or(address);
                format!("port {port} is taken: stop what uses it, or name another with --listen")
            }
            _ => format!("{error}: name another address with --listen, such as 127.0.0.1:8080"),
        };
        format!("cannot listen on {address}: {remedy}").into()
    })
}

/// Serves until it is asked to stop; then finishes what runs.
pub(crate) async fn serve(listener: TcpListener, app: App) {
    let (stop, router) = (app.stop.clone(), router(app));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let running = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = stop.asked() => break,
        };
        let (stream, address, permit) = accepted;
        let connection = running.watch(connection(stream, address, router.clone()));
        tokio::spawn(async move {
            // A client that broke off is no news.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(FINISHED_WITHIN, running.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish and are cut off");
    }
}

fn router(app: App) -> Router {
    Router::new()
        .nest("/api", api::routes())
        .merge(web::routes())
        .layer(from_fn_with_state(app.clone(), ready::wait))
        .layer(from_fn(csrf::protect))
        .layer(from_fn(within_time))
        .layer(from_fn(body::read))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(app.clone(), web::as_pages))
        .layer(from_fn(headers::add))
        .with_state(app)
}

/// What is read has to begin in time; an event stream may then go on. What is written has bounds of
/// its own at each wait, and is never cut off: it may be stored by then.
async fn within_time(request: Request, next: Next) -> Result<Response, Problem> {
    if !request.method().is_safe() {
        return Ok(next.run(request).await);
    }
    tokio::time::timeout(ANSWERED_WITHIN, next.run(request))
        .await
        .map_err(|_| Problem::busy("the answer took too long: try again"))
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let cause = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("a panic");
    Problem::internal(&cause).into_response()
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> Accepted {
    let permit = connections.clone().acquire_owned().await.expect("never closed");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, permit),
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                // Out of file descriptors, as a rule: some connection will end.
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // Small answers must not wait for a client's acknowledgement; without it they are late, not wrong.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        router.clone().call(request.map(Body::new))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_ARRIVES_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
}
