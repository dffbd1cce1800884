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
//! Features: `cli` (default) is the command line and `local_identity`, `hub` is the hub. Without either, a program
//! compiles no argument parser and no SQLite.
//!
//! # The map
//!
//! Dependencies point one way, `cli → {hub, agent, proxy} → net → proto`, and a byte travels
//! [`proxy`] → [`hub`] → [`agent`] → target; the pump at each of them is [`net::tunnel::pump`] or [`net::tunnel::relay`].
//! `tests/layering.rs` enforces the direction.

pub mod agent;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "hub")]
pub mod hub;
pub mod net;
pub mod proto;
pub mod proxy;

#[doc(inline)]
pub use agent::{Device, Incoming};
#[cfg(feature = "cli")]
#[doc(inline)]
pub use cli::local_identity;
#[doc(inline)]
pub use net::identity::Identity;
#[doc(inline)]
pub use net::shutdown::Shutdown;
#[doc(inline)]
pub use net::tls::Trust;
#[doc(inline)]
pub use net::tunnel::stream::{Stream, refusal_of};
#[doc(inline)]
pub use proto::admin::{DeviceStatus, Presence};
#[doc(inline)]
pub use proto::forward::Forward;
#[doc(inline)]
pub use proto::id::{DeviceId, Principal, PrincipalId, Role, ServiceName, StreamName};
#[doc(inline)]
pub use proto::join::{HubAddress, Pin};
#[doc(inline)]
pub use proto::key::{PrivateKey, PublicKey};
#[doc(inline)]
pub use proto::refusal::{Refusal, RefusalKind};
#[doc(inline)]
pub use proto::secret::KeySeed;
#[doc(inline)]
pub use proto::timestamp::Timestamp;
#[doc(inline)]
pub use proxy::Connector;
