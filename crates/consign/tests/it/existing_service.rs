//! `examples/existing_service`: an axum and sqlx service takes us in, with the rows it has.

use crate::examples::command;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BEFORE: &str = include_str!("../../examples/existing_service/before.rs");
const AFTER: &str = include_str!("../../examples/existing_service/after.rs");

/// Article 3 has a tenth of the thousand likes that `tables.sql` brings.
const ARTICLE: i64 = 3;
const OLD: i64 = 100;

#[test]
fn an_existing_service_takes_us_in_with_fifteen_lines() {
    let (before, after) = (lines(BEFORE), lines(AFTER));
    let added = after.len() - longest_common(&before, &after);
    assert!(added > 0, "before.rs and after.rs are the same");
    assert!(added <= 15, "{added} lines that are not blank were added");
}

#[test]
fn old_rows_and_new_ones_are_counted_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("likes.db");

    let service = Service::start("existing_service_before", &database);
    assert_eq!(service.likes(), OLD);
    (0..3).for_each(|reader| service.like(reader));
    assert_eq!(service.likes(), OLD + 3);
    drop(service);

    let service = Service::start("existing_service_after", &database);
    service.wait_for_likes(OLD + 3);
    (0..20).for_each(|reader| service.like(reader));
    service.wait_for_likes(OLD + 23);
    drop(service);

    let service = Service::start("existing_service_after", &database);
    service.like(99);
    service.wait_for_likes(OLD + 24);
    service.ends_when_asked();
}

fn lines(source: &str) -> Vec<&str> {
    source.lines().filter(|line| !line.trim().is_empty()).collect()
}

/// Lines that both have, in order: what a diff leaves alone.
fn longest_common(before: &[&str], after: &[&str]) -> usize {
    let mut lengths = vec![0; after.len() + 1];
    for old in before {
        let mut diagonal = 0;
        for (column, new) in after.iter().enumerate() {
            let above = lengths[column + 1];
            lengths[column + 1] =
                if old == new { diagonal + 1 } else { above.max(lengths[column]) };
            diagonal = above;
        }
    }
    lengths[after.len()]
}

/// One of the two programs; killed when dropped, as a deploy or a crash would.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(example: &str, database: &Path) -> Self {
        let mut command = command(example);
        let command = command.arg("127.0.0.1:0").arg(database).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut line).expect("it says where it listens");
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("{example} says {line:?}")).to_owned();
        Self { child, address }
    }

    fn like(&self, reader: i64) {
        let like = format!(r#"{{"article_id":{ARTICLE},"reader_id":{reader}}}"#);
        let (status, _) = self.request("POST", "/likes", &like);
        assert_eq!(status, 201);
    }

    fn likes(&self) -> i64 {
        let (status, body) = self.request("GET", &format!("/likes/{ARTICLE}"), "");
        assert_eq!(status, 200);
        body.parse().expect("a number")
    }

    fn wait_for_likes(&self, expected: i64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let likes = self.likes();
            assert!(likes <= expected, "{likes} likes, only {expected} were given");
            if likes == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{likes} of {expected} likes after 20 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The workers end with the server that they live beside.
    fn ends_when_asked(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().expect("`kill` runs");
        assert!(sent.success(), "`kill` ended with {sent}");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                assert!(status.success(), "it ended with {status}");
                return;
            }
            assert!(Instant::now() < deadline, "it goes on 20 s after it was asked to stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}",
            self.address
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        (status.expect("an answer has a status"), body.to_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}
