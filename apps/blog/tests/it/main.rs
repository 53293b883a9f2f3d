//! The blog as its users meet it: the real program, started, asked, stopped and killed.

#![allow(
    clippy::disallowed_methods,
    reason = "a test reads what a program printed, and looks at the clock"
)]

mod accounts;
mod articles;
mod audit;
mod authors;
mod client;
mod cookies;
mod csrf;
mod data;
mod disk;
mod eventually;
mod failures;
mod hang_up;
mod headers;
mod kill;
mod live;
mod load;
mod mail;
mod openapi;
mod overload;
mod own_writes;
mod pages;
mod process;
mod ready;
mod search;
mod sessions;
mod site;
mod smtp;
mod status;
mod supervision;
