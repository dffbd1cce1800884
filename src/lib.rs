//! devstream: reach SSH, RDP or any TCP port on a device that can only dial out, through a hub that you own.
//!
//! # For programs
//!
//! Programs can do the same as the commands, without local ports. A service opens a stream by the device's id and a
//! stream name; a device has a handler for each name. Both get a [`Stream`], which reads and writes like a TCP
//! connection, and survives interruptions of the network. An error is a [`Refusal`], with the same kinds on both sides.
//!
//! ```no_run
//! use devstream::{Connector, Device, Incoming, Refusal, Shutdown, local_identity};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! /// On the device: sends everything back.
//! async fn echo(incoming: Incoming) {
//!     println!("{} opens {} from {}", incoming.service(), incoming.stream_name(), incoming.source());
//!     let (mut reader, mut writer) = tokio::io::split(incoming.accept());
//!     if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
//!         let _ = writer.shutdown().await;
//!     }
//! }
//!
//! async fn device() -> Result<(), Refusal> {
//!     let device = Device::new(&local_identity::device(None)?)?.handle("echo".parse().expect("a name"), echo);
//!     device.run(Shutdown::default()).await
//! }
//!
//! /// On the operator's machine.
//! async fn service() -> Result<(), Box<dyn std::error::Error>> {
//!     let connector = Connector::new(&local_identity::service()?)?;
//!     let mut stream = connector.open(&"pi-42".parse()?, Some(&"echo".parse()?)).await?;
//!     stream.write_all(b"hello").await?;
//!     stream.shutdown().await?;
//!     let mut response = String::new();
//!     stream.read_to_string(&mut response).await?;
//!     Ok(())
//! }
//! ```
//!
//! [`local_identity`] loads the identity that `devstream join` stored, or enrols with the hub of the same user;
//! [`Identity::new`] takes a key from elsewhere. `examples/echo.rs` and `examples/copy.rs` are complete programs. The
//! re-exports below are for programs; the modules are the command's own, and change without notice.
//!
//! # The map
//!
//! Dependencies point one way, `cli → {hub, agent, proxy} → net → proto`, and a byte travels
//! [`proxy`] → [`hub`] → [`agent`] → target; the pump at each of them is [`net::tunnel::pump`] or [`net::tunnel::relay`].
//! `tests/layering.rs` enforces the direction.

pub mod agent;
pub mod cli;
pub mod hub;
pub mod net;
pub mod proto;
pub mod proxy;

pub use agent::{Device, Incoming};
pub use cli::local_identity;
pub use net::identity::Identity;
pub use net::shutdown::Shutdown;
pub use net::tls::Trust;
pub use net::tunnel::stream::{Stream, refusal_of};
pub use proto::forward::Forward;
pub use proto::id::{DeviceId, Principal, PrincipalId, Role, ServiceName, StreamName};
pub use proto::join::{HubAddress, Pin};
pub use proto::key::PrivateKey;
pub use proto::refusal::{Refusal, RefusalKind};
pub use proto::secret::KeySeed;
pub use proxy::Connector;
