//! The operating system: clocks, randomness, private files, local sockets, the service manager, limits and usage.

pub mod allocator;
pub mod clock;
pub mod core_dump;
pub mod hostname;
pub mod local_socket;
pub mod network_monitor;
pub mod private_files;
pub mod random;
pub mod rlimit;
pub mod sd_notify;
pub mod socket_activation;
pub mod usage;
