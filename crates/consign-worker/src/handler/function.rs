//! An `async fn` as a handler, by its shape alone.

use consign_core::{BoxFuture, HandlerResult};
use std::fmt;

/// What `queue` takes: an `async fn`, or a projection with `impl AnyOrder`; `A` is inferred.
///
/// It knows a function's shape only. What its arguments may be is looked at by `subscribe`, where
/// state and database are known, one argument at a time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is `async fn(message, extractors...) -> HandlerResult` with at most 8 extractors",
    note = "a projection is subscribed as `stream(..)`; as `queue(..)` too where it says that any order will do: `impl AnyOrder for {Self} {{}}`"
)]
pub trait HandlerFn<A>: Send + Sync + 'static {
    /// What a call answers, sooner or later.
    type Answer;
    /// The handler after its own type is forgotten.
    type Work;

    /// Forgets the handler's own type; `boxed` makes an answer what it must be.
    fn work(self, boxed: Boxed<Self::Answer>) -> Self::Work;
}

/// Makes what a handler answers a future of a [`HandlerResult`], whatever its type was.
pub(super) type Boxed<Answer> = fn(Answer) -> BoxFuture<'static, HandlerResult>;

/// What a handler may return.
#[diagnostic::on_unimplemented(
    message = "a handler returns `HandlerResult`, not `{Self}`",
    label = "this handler's result is `{Self}`",
    note = "write `-> HandlerResult` and end with `Ok(())`; `?` on any error means: retry by policy"
)]
pub trait HandlerOutput {
    /// It as what it must be.
    fn into_result(self) -> HandlerResult;
}

impl HandlerOutput for HandlerResult {
    fn into_result(self) -> HandlerResult {
        self
    }
}

/// A handler of which only the arguments are still known.
pub struct Function<A>(Box<dyn Fn(A) -> BoxFuture<'static, HandlerResult> + Send + Sync>);

impl<A> Function<A> {
    pub(super) fn call(&self, arguments: A) -> BoxFuture<'static, HandlerResult> {
        (self.0)(arguments)
    }
}

impl<A> fmt::Debug for Function<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

macro_rules! functions { ($(($($argument:ident)*))*) => { $(
    #[expect(non_snake_case, reason = "an argument is named as its type")]
    impl<F, R: 'static, I, $($argument,)*> HandlerFn<(I, $($argument,)*)> for F
    where
        F: Fn(I, $($argument,)*) -> R + Send + Sync + 'static,
    {
        type Answer = R;
        type Work = Function<(I, $($argument,)*)>;

        fn work(self, boxed: Boxed<R>) -> Self::Work {
            Function(Box::new(move |(I, $($argument,)*)| boxed(self(I, $($argument,)*))))
        }
    }
)* } }

functions! {
    ()
    (A1)
    (A1 A2)
    (A1 A2 A3)
    (A1 A2 A3 A4)
    (A1 A2 A3 A4 A5)
    (A1 A2 A3 A4 A5 A6)
    (A1 A2 A3 A4 A5 A6 A7)
    (A1 A2 A3 A4 A5 A6 A7 A8)
}
