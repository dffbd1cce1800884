//! Where a hub's certificate comes from, as typed.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueHint};

use super::args::ViaArgs;
use crate::hub::certificate::Source;
use crate::hub::certificate::acme::{Acme, ProxyResolver};
use crate::hub::certificate::pem::PemPair;
use crate::net::tls::Trust;

#[derive(Debug, Clone, Args)]
pub(super) struct CertificateArgs {
    /// Show this certificate (PEM, with those that lead to its authority) for the names it covers
    ///
    /// Taken up again when the files change, and at once on SIGHUP; a bad new one leaves the old one in place. Clients
    /// that have a pin go on being shown the hub's own. Join links carry no pin where the certificate is publicly
    /// trusted.
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "DEVSTREAM_TLS_CERT", value_hint = ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM, unencrypted), which nobody else may read
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "DEVSTREAM_TLS_KEY", value_hint = ValueHint::FilePath)]
    tls_key: Option<PathBuf>,
    /// Get a certificate for every --hostname by ACME, and agree to the authority's terms
    ///
    /// The authority must reach this hub under each of the names on port 443 (TLS-ALPN-01). Until there is a
    /// certificate, the hub shows its own.
    #[arg(long, conflicts_with = "tls_cert", env = "DEVSTREAM_ACME")]
    acme: bool,
    /// The authority's directory
    #[arg(
        long,
        value_name = "URL",
        requires = "acme",
        default_value = "https://acme-v02.api.letsencrypt.org/directory",
        env = "DEVSTREAM_ACME_DIRECTORY",
        value_hint = ValueHint::Url
    )]
    acme_directory: String,
    /// Where the authority can write to, as mailto:NAME@HOST
    #[arg(long, value_name = "MAILTO", requires = "acme", env = "DEVSTREAM_ACME_CONTACT")]
    acme_contact: Option<String>,
    /// Trust the directory's own certificate if an authority in this PEM file signed it, instead of the public ones
    #[arg(long, value_name = "FILE", requires = "acme", env = "DEVSTREAM_ACME_CA", value_hint = ValueHint::FilePath)]
    acme_ca: Option<PathBuf>,
    #[command(flatten)]
    pub(super) via: ViaArgs,
}

impl CertificateArgs {
    /// What was asked for, with the names that the hub was given.
    pub(super) fn source(self, hostnames: &[String]) -> anyhow::Result<Source> {
        if let Some((certificate, key)) = self.tls_cert.zip(self.tls_key) {
            return Ok(Source::Pem(PemPair { certificate, key }));
        }
        if !self.acme {
            return Ok(Source::Own);
        }
        let is_name = |name: &&String| name.parse::<IpAddr>().is_err();
        let names: Vec<_> = hostnames.iter().filter(is_name).cloned().collect();
        ensure!(!names.is_empty(), "--acme needs a name that the authority can reach this hub by: --hostname NAME");
        let trust = match self.acme_ca {
            Some(file) => {
                Trust::from_file(&file).with_context(|| format!("cannot use --acme-ca {}", file.display()))?
            }
            None => Trust::Public,
        };
        let proxy = ProxyResolver::new(move || self.via.resolve());
        Ok(Source::Acme(Acme { directory: self.acme_directory, trust, contact: self.acme_contact, names, proxy }))
    }
}
