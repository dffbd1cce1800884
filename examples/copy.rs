//! Copies files to a device: each is a stream that has the file's name.
//!
//! ```text
//! cargo run --example copy receive pi-42 /srv/incoming
//! cargo run --example copy send pi-42 report.pdf
//! ```
//!
//! A file appears once it is complete. An existing file is not replaced.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use devstream::{Connector, Device, Incoming, Refusal, RefusalKind, Shutdown, Stream, StreamName, local_identity};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Time that a sender waits for an offline device, and for its stream's close.
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["receive", device, directory] => receive(device, directory.into()).await,
        ["send", device, file] => send(device, file.as_ref()).await.map(|bytes| println!("{bytes} bytes")),
        _ => Err("usage: copy receive DEVICE DIRECTORY | copy send DEVICE FILE".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("copy: {error}");
            error.downcast_ref::<Refusal>().map_or(ExitCode::FAILURE, |refusal| refusal.exit_code().into())
        }
    }
}

/// The device: one handler for every stream name. Names have no slash, and are neither `.` nor `..`.
async fn receive(id: &str, directory: PathBuf) -> Result<(), Box<dyn Error>> {
    let device = Device::new(&local_identity::device(Some(id.parse()?))?)?;
    let device = device.handle_fallback(move |incoming| take(incoming, directory.clone()));
    Ok(device.run(Shutdown::default()).await?)
}

/// Receives one file, under a temporary name until it is complete.
async fn take(incoming: Incoming, directory: PathBuf) {
    let name = incoming.stream_name().to_string();
    let (whole, part) = (directory.join(&name), directory.join(format!("{name}~")));
    if whole.exists() {
        return incoming.reject(Refusal::new(RefusalKind::RejectedByDevice, format!("{name} already exists")));
    }
    let file = match File::create_new(&part).await {
        Ok(file) => file,
        Err(error) => return incoming.reject(Refusal::new(RefusalKind::RejectedByDevice, format!("{name}: {error}"))),
    };
    let kept = match keep(incoming.accept(), file).await {
        Ok(stream) => fs::rename(&part, &whole).await.map(|()| stream),
        Err(error) => Err(error),
    };
    match kept {
        // The sender has the number of bytes; the clean end confirms the rename.
        Ok(mut stream) => drop(stream.shutdown().await),
        // The stream was dropped, and the sender has an error.
        Err(_) => drop(fs::remove_file(&part).await),
    }
}

/// Writes the stream to the file. A broken stream is an error, so that an end of file means a complete file.
async fn keep(mut stream: Stream, mut file: File) -> io::Result<Stream> {
    let bytes = tokio::io::copy(&mut stream, &mut file).await?;
    file.sync_all().await?;
    stream.write_u64(bytes).await?;
    Ok(stream)
}

/// The service.
async fn send(device: &str, path: &Path) -> Result<u64, Box<dyn Error>> {
    let name: StreamName = path.file_name().and_then(|name| name.to_str()).ok_or("a file has a name")?.parse()?;
    let mut file = File::open(path).await?;
    let connector = Connector::new(&local_identity::service()?)?.with_connect_timeout(TIMEOUT);
    let mut stream = connector.open(&device.parse()?, Some(&name)).await?;
    let sent = tokio::io::copy(&mut file, &mut stream).await?;
    stream.shutdown().await?;
    let kept = stream.read_u64().await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    drop(stream);
    connector.close(TIMEOUT).await;
    if kept == sent && rest.is_empty() { Ok(sent) } else { Err(format!("{kept} of {sent} bytes arrived").into()) }
}
