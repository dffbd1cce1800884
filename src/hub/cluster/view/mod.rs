//! PURE. What one hub of a cluster knows of the others, and what follows from it.
//!
//! In: what others say, with the present time. Out: which hubs are alive (`members`), where devices are (`presence`), and at
//! which hub a stream is opened or resumed (`placement`).

pub mod members;
pub mod placement;
pub mod presence;
pub mod stamp;
