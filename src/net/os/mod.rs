//! The operating system: whatever differs between systems, and whatever tests replace.
//!
//! The clocks and random numbers that pure code gets as arguments; files that only their owner may read, and
//! whose others are; sockets
//! between programs of one user; PID 1's orphans; the service manager's sockets and notifications; the process's limits and usage;
//! what the kernel holds for peers; changes of the network; which ports have a listener.

pub mod allocator;
pub mod clock;
pub mod core_dump;
pub mod hostname;
pub mod listeners;
pub mod local_socket;
pub mod network_monitor;
pub mod orphans;
pub mod owner;
pub mod private_files;
pub mod random;
pub mod rlimit;
pub mod sd_notify;
pub mod send_queues;
pub mod socket_activation;
pub mod usage;
