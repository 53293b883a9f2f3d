//! The blog in processes of its own, and authors who are signed in.

use crate::http::Client;
use crate::shim::Shim;
use crate::{Result, database};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PASSWORD: &str = "a password for figures";
/// Words of an article, so that its index has something to do.
const WORDS: usize = 150;
const DIFFERENT_WORDS: u64 = 5_000;

/// Whoever writes while measuring.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Author {
    pub(crate) name: String,
    pub(crate) token: String,
}

/// A running blog; ended when it is dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    processes: Vec<Child>,
}

impl Site {
    /// Starts `blog api`, and a `blog worker` of each name, on the directory `data`.
    pub(crate) fn start(data: &Path, workers: &[&str], shim: Option<&Shim>) -> Result<Self> {
        let mut api = command(data, shim)?;
        api.args(["api", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        let mut api = api.spawn()?;
        let address = read_address(&mut api)?;
        let mut site = Self { address, processes: vec![api] };
        for worker in workers {
            site.processes.push(command(data, shim)?.args(["worker", worker]).spawn()?);
        }
        Ok(site)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// An account and a session.
    pub(crate) fn sign_up(&self, name: &str) -> Result<Author> {
        let mut client = self.client();
        let account = json!({ "name": name, "password": PASSWORD });
        client.post("/api/accounts", "", &account)?.expect(201)?;
        let session: serde_json::Value =
            client.post("/api/sessions", "", &account)?.expect(201)?.json()?;
        let token = session["token"].as_str().ok_or("a session without a token")?.to_owned();
        Ok(Author { name: name.to_owned(), token })
    }

    /// Asks all processes to end, and waits for them.
    pub(crate) fn end(mut self) -> Result {
        self.stop()
    }

    fn stop(&mut self) -> Result {
        for mut process in self.processes.drain(..) {
            Command::new("kill").args(["-TERM", &process.id().to_string()]).status()?;
            process.wait()?;
        }
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("the blog does not end: {error}");
        }
    }
}

/// The program that was built beside this one.
fn command(data: &Path, shim: Option<&Shim>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name("blog"));
    command.arg("--data").arg(data).stdin(Stdio::null()).stdout(Stdio::null());
    command.env("RUST_LOG", "warn");
    if let Some(shim) = shim {
        shim.slow_down(&mut command);
    }
    Ok(command)
}

/// It says where it listens once it does.
fn read_address(api: &mut Child) -> Result<SocketAddr> {
    let said = api.stdout.take().ok_or("the blog has no standard output")?;
    for line in BufReader::new(said).lines() {
        let line = line?;
        let address = line.split("Blog").nth(1).and_then(|rest| rest.split("http://").nth(1));
        if let Some(address) = address {
            return Ok(address.trim().trim_end_matches('/').parse()?);
        }
    }
    Err("the blog did not start: build it with `cargo build --release -p blog`".into())
}

/// What `POST /api/articles` takes: the article of this number.
pub(crate) fn article(number: u64) -> serde_json::Value {
    let mut seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        format!("w{:x}", seed % DIFFERENT_WORDS)
    };
    let title = format!("{} {} {}", word(), word(), word());
    let body: Vec<String> = (0..WORDS).map(|_| word()).collect();
    json!({ "title": title, "body": body.join(" ") })
}

/// How many messages a subscription of the blog has not yet passed.
pub(crate) fn lag(db: &rusqlite::Connection, subscription: &str) -> Result<i64> {
    let select = format!(
        "select sum(consign_partition.next_offset - consign_cursor.next_offset)
         from consign_cursor
         join consign_subscription on consign_subscription.id = subscription
         join consign_partition on number = consign_cursor.partition
         where name = '{subscription}'"
    );
    database::number(db, &select)
}
