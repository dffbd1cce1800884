//! PURE. What one hub of a cluster knows of the others, and what follows from it.
//!
//! In: what others say, with the present time. Out: which hubs are alive (`members`), where devices are (`presence`, and `news_count` which of that was lost), at
//! which hub a stream is opened (`placement`), and whose streams may go on here (`other_hubs`).

pub mod members;
pub mod news_count;
pub mod other_hubs;
pub mod placement;
pub mod presence;
pub mod stamp;
