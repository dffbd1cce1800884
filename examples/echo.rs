//! An echo device, and its caller.
//!
//! With `devstream hub` running as the same user, or once both machines have joined a hub:
//!
//! ```text
//! cargo run --example echo serve pi-42
//! cargo run --example echo call pi-42 'hello there'
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use devstream::{Connector, Device, Incoming, Refusal, RefusalKind, Shutdown, local_identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The stream that the device offers.
const ECHO: &str = "echo";

/// Time that a caller waits for an offline device, and for its stream's close.
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["serve", device] => serve(device).await,
        ["call", device, text] => call(device, text).await.map(|answer| println!("{answer}")),
        _ => Err("usage: echo serve DEVICE | echo call DEVICE TEXT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            // The command's own exit codes, where there is one.
            error.downcast_ref::<Refusal>().map_or(ExitCode::FAILURE, |refusal| refusal.exit_code().into())
        }
    }
}

/// Serves until Ctrl-C.
async fn serve(id: &str) -> Result<(), Box<dyn Error>> {
    let device = Device::new(&local_identity::device(Some(id.parse()?))?)?.handle(ECHO.parse()?, echo);
    let shutdown = Shutdown::default();
    let mut running = Box::pin(device.run(shutdown.clone()));
    tokio::select! {
        done = &mut running => done?,
        _ = tokio::signal::ctrl_c() => {
            shutdown.request();
            running.await?;
        }
    }
    Ok(())
}

/// Echoes one stream.
async fn echo(incoming: Incoming) {
    if incoming.service().as_str() == "mallory" {
        return incoming.reject(Refusal::new(RefusalKind::RejectedByDevice, "no echo for mallory"));
    }
    let (mut reader, mut writer) = tokio::io::split(incoming.accept());
    // A stream that is dropped without `shutdown` is reset: a copy that failed does not look like a short one.
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}

/// Sends the text, and returns the echo.
async fn call(device: &str, text: &str) -> Result<String, Box<dyn Error>> {
    let connector = Connector::new(&local_identity::service()?)?.with_connect_timeout(TIMEOUT);
    let mut stream = connector.open(&device.parse()?, Some(&ECHO.parse()?)).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    drop(stream);
    connector.close(TIMEOUT).await;
    Ok(answer)
}
