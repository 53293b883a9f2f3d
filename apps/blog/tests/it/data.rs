//! The data directory and the address: what is made, what is refused.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::process::Process;
use crate::site::{Place, Site};

#[tokio::test]
async fn nobody_else_on_the_machine_reads_the_data() {
    let site = Site::start().await;
    let mode = |path: std::path::PathBuf| {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!(mode(site.data()), 0o700);
    for file in ["blog.db", "blog.db-wal", "blog.db-shm"] {
        assert_eq!(mode(site.data().join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_directory_that_is_there_may_hold_files_of_others() {
    let place = Place::new();
    std::fs::create_dir(place.data()).unwrap();
    std::fs::write(place.data().join("notes.txt"), "mine").unwrap();
    let _site = place.run(&[]);
    place.ready().await;
    assert_eq!(std::fs::read_to_string(place.data().join("notes.txt")).unwrap(), "mine");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let site = Site::shared().await;
    let elsewhere = Place::at(site.listen);
    for part in [&[] as &[&str], &["api"]] {
        let printed = refused(elsewhere.run(part)).await;
        assert!(printed.contains(&site.listen.port().to_string()), "{printed}");
        assert!(printed.contains("--listen"), "{printed}");
    }
    assert!(!elsewhere.data().exists());
}

#[tokio::test]
async fn data_of_a_newer_program_is_refused_and_left_alone() {
    let place = Place::new();
    let mut site = place.run(&[]);
    place.ready().await;
    site.signal("TERM");
    site.ended(Duration::from_secs(10)).await;
    let options = SqliteConnectOptions::new().filename(place.database());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("pragma user_version = 99").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    for part in [&[] as &[&str], &["api"], &["worker", "counter"]] {
        let printed = refused(place.run(part)).await;
        assert!(printed.contains("blog.db"), "{printed}");
        assert!(printed.contains("99") && printed.contains("newer"), "{printed}");
    }
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let version: i64 =
        sqlx::query_scalar("pragma user_version").fetch_one(&mut connection).await.unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let place = Place::new();
    std::fs::write(place.data(), "a file, not a directory").unwrap();
    let printed = refused(place.run(&["api"])).await;
    assert!(printed.contains("blog.db"), "{printed}");
}

/// Ends by itself, in an error of one line; answers that line.
async fn refused(mut process: Process) -> String {
    let status = process.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1));
    let printed = process.printed();
    let line = printed.lines().find(|line| line.starts_with("blog: "));
    line.unwrap_or_else(|| panic!("no error in:\n{printed}")).to_owned()
}
