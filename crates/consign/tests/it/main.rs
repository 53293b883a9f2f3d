//! Tests of the facade: what its users write, and what they are told.

mod database;
mod ending;
mod errors;
mod examples;
mod existing_service;
mod hang_up;
mod message;
mod owners;
mod publish;
mod shared_commit;
mod stream;
