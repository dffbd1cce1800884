//! The authorities that a client trusts.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::proto::join::Pin;

/// The authorities whose certificates a client accepts as the hub's.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The private authority with this key.
    Pin(Pin),
    /// The public authorities: the system's list, and Mozilla's for machines that have none.
    Public,
    /// The authorities of a PEM file.
    File(Vec<CertificateDer<'static>>),
}

impl Trust {
    /// Reads a PEM file with at least one authority.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
        anyhow::ensure!(!certificates.is_empty(), "it contains no certificate");
        Ok(Self::File(certificates))
    }
}
