//! Mails by SMTP.

use std::time::Duration;

use consign::{HandlerResult, Verdict};
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::BoxError;

/// For each step of a conversation.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// As many as the mailer handles at once.
const CONNECTIONS_MAX: u32 = 16;

/// A mail server; clones share its connections.
#[derive(Clone)]
pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// Its address as an error may say it: without a password.
    server: String,
}

impl Smtp {
    /// Takes `smtp://HOST`, `smtps://HOST` and the like; connects once there is a mail.
    pub(super) fn open(url: &str) -> Result<Self, BoxError> {
        let server = without_credentials(url);
        let readable = url.starts_with("smtp:") && !url.contains("tls=required");
        if readable && url != server {
            return Err(format!(
                "the password for {server} would be sent for everybody to read: write smtps://, or \
                 add ?tls=required to the address"
            )
            .into());
        }
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|error| {
            format!(
                "cannot use {server} as a mail server: {error}: an address is \
                 smtp://HOST:PORT or smtps://NAME:PASSWORD@HOST:PORT"
            )
        })?;
        let transport = builder
            .timeout(Some(ANSWERED_WITHIN))
            .pool_config(PoolConfig::new().max_size(CONNECTIONS_MAX))
            .build();
        Ok(Self { transport, server })
    }

    /// Once this is done the server has said that it has the mail.
    pub(super) async fn send(&self, mail: Message) -> HandlerResult {
        let Err(error) = self.transport.send(mail).await else { return Ok(()) };
        let server = &self.server;
        let says = format!(
            "cannot send a mail by {server}: {error}: see that it runs and takes mails from here"
        );
        // An answer to this one mail, where the server answers at all; else nobody's mail goes out.
        let is_answer = error.is_permanent() || error.is_transient();
        Err(if is_answer { says.into() } else { Verdict::outage(says) })
    }
}

fn without_credentials(url: &str) -> String {
    let scheme = url.find("://").map_or(0, |at| at + "://".len());
    let server = url.rfind('@').map_or(scheme, |at| (at + 1).max(scheme));
    format!("{}{}", &url[..scheme], &url[server..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_error_tells_a_password() {
        for url in ["smtp://me:secret@mail.example", "x://me:secret@mail.example", "me:secret@mail"]
        {
            let error = Smtp::open(url).err().expect(url).to_string();
            assert!(!error.contains("secret"), "{error}");
            assert!(error.contains("smtps://"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_password_is_sent_encrypted_or_not_at_all() {
        let open = |url| Smtp::open(url).map(|smtp| smtp.server);
        assert_eq!(open("smtp://127.0.0.1:2525").unwrap(), "smtp://127.0.0.1:2525");
        assert_eq!(open("smtps://me:secret@mail.example").unwrap(), "smtps://mail.example");
        assert!(open("smtp://me:p@ss@mail.example?tls=required").is_ok());
        for readable in
            ["smtp://me:secret@mail.example", "smtp://me:s@mail.example?tls=opportunistic"]
        {
            assert!(open(readable).is_err(), "{readable}");
        }
    }
}
