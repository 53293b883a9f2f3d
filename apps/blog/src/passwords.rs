//! Passwords: argon2id, a few at a time and off the threads that answer requests.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::problem::Problem;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const AT_ONCE_MAX: usize = 2;
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Hashes and compares passwords; clones share the limit on how many at once.
#[derive(Clone)]
pub(crate) struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    /// Leaves cores to those who post and read while many sign in.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(Arc::new(Semaphore::new((cores / 2).clamp(1, AT_ONCE_MAX))))
    }
}

/// The right to hash one password.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Passwords {
    /// Waits in line.
    pub(crate) async fn turn(&self) -> Result<Turn, Problem> {
        let permit = tokio::time::timeout(WAIT_MAX, self.0.clone().acquire_owned()).await;
        match permit {
            Ok(permit) => Ok(Turn { _permit: permit.expect("the semaphore is never closed") }),
            Err(_) => Err(Problem::busy("too many people sign in at once: try again")),
        }
    }
}

impl Turn {
    /// The hash to store.
    pub(crate) async fn hash(self, password: String) -> Result<String, Problem> {
        spawn_blocking(move || {
            let _turn = self;
            hash(&password)
        })
        .await
        .map_err(|error| Problem::internal(&error))
    }

    /// Whether `password` is the one of `stored`. Without a hash it takes as long, and says no.
    pub(crate) async fn matches(
        self,
        password: String,
        stored: Option<String>,
    ) -> Result<bool, Problem> {
        spawn_blocking(move || {
            let _turn = self;
            let known = stored.is_some();
            verify(&password, stored.as_deref().unwrap_or(&NOBODY)) && known
        })
        .await
        .map_err(|error| Problem::internal(&error))
    }
}

/// Compared with when there is no such account, so that time does not tell.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody signs in with this"));

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("parameters within bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> String {
    let hash: PasswordHash =
        argon2().hash_password(password.as_bytes()).expect("the system gives random bytes");
    hash.to_string()
}

fn verify(password: &str, stored: &str) -> bool {
    PasswordHash::new(stored)
        .is_ok_and(|stored| argon2().verify_password(password.as_bytes(), &stored).is_ok())
}
