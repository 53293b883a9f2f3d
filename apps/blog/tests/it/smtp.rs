//! A mail server that remembers what it was given.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Takes mails, once it has turned away as many as it was told to.
pub(crate) struct MailServer {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<String>>>,
    refusals: Arc<AtomicU32>,
}

impl MailServer {
    pub(crate) async fn start(refusals: u32) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (taken, refusals) = (Arc::default(), Arc::new(AtomicU32::new(refusals)));
        let (all, left) = (Arc::clone(&taken), Arc::clone(&refusals));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&all), Arc::clone(&left)));
            }
        });
        Self { address, taken, refusals }
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The mails that it said it has, each as it was sent.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("nobody fails with it").clone()
    }

    pub(crate) fn refuses(&self) -> bool {
        self.refusals.load(Ordering::Relaxed) > 0
    }
}

async fn converse(
    stream: TcpStream,
    taken: Arc<Mutex<Vec<String>>>,
    refusals: Arc<AtomicU32>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 localhost\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let verb = line.split_whitespace().next().unwrap_or_default().to_uppercase();
        let answer = match &*verb {
            "EHLO" => "250-localhost\r\n250 8BITMIME\r\n",
            "MAIL" if refuse(&refusals) => "451 come back later\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mail = read_mail(&mut stream).await?;
                taken.lock().expect("nobody fails with it").push(mail);
                "250 taken\r\n"
            }
            _ => "250 fine\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

fn refuse(refusals: &AtomicU32) -> bool {
    let less = |left: u32| left.checked_sub(1);
    refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
}

/// Up to a line with a lone dot.
async fn read_mail(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut mail = String::new();
    while !mail.ends_with("\r\n.\r\n") {
        if stream.read_line(&mut mail).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(mail)
}
