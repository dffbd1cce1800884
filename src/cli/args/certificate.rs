//! The flags of the hub's certificate.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueHint};

use super::ViaArgs;
use crate::hub::certificate::Source;
use crate::hub::certificate::acme::{Acme, ProxyResolver};
use crate::hub::certificate::pem::PemPair;
use crate::net::tls::Trust;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct CertificateArgs {
    /// Present this certificate (PEM, with its intermediates) for the names it covers
    ///
    /// Reloaded when the files change, and at once on SIGHUP; a bad one leaves the old one in place. Clients with a pin
    /// still get the hub's own certificate. Join links carry no pin where this certificate is publicly trusted.
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "DEVSTREAM_TLS_CERT", value_hint = ValueHint::FilePath)]
    tls_cert: Option<PathBuf>,
    /// Use this private key for it (PEM, unencrypted); no other user may have access to the file
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "DEVSTREAM_TLS_KEY", value_hint = ValueHint::FilePath)]
    tls_key: Option<PathBuf>,
    /// Obtain a certificate for every --hostname by ACME, and agree to the authority's terms
    ///
    /// The authority must reach this hub under each of the names on port 443 (TLS-ALPN-01). Until there is a
    /// certificate, the hub presents its own.
    #[arg(long, conflicts_with = "tls_cert", env = "DEVSTREAM_ACME")]
    acme: bool,
    /// Use this ACME directory
    #[arg(
        long,
        value_name = "URL",
        requires = "acme",
        default_value = "https://acme-v02.api.letsencrypt.org/directory",
        env = "DEVSTREAM_ACME_DIRECTORY",
        value_hint = ValueHint::Url
    )]
    acme_directory: String,
    /// Give the authority this contact, as mailto:NAME@HOST
    #[arg(long, value_name = "MAILTO", requires = "acme", env = "DEVSTREAM_ACME_CONTACT")]
    acme_contact: Option<String>,
    /// Trust the authorities in this PEM file for the ACME directory, instead of the public ones
    #[arg(long, value_name = "FILE", requires = "acme", env = "DEVSTREAM_ACME_CA", value_hint = ValueHint::FilePath)]
    acme_ca: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) via: ViaArgs,
}

impl CertificateArgs {
    /// Returns the source of the hub's certificate; ACME covers the host names among `hostnames`.
    pub(in crate::cli) fn source(self, hostnames: &[String]) -> anyhow::Result<Source> {
        if let Some((certificate, key)) = self.tls_cert.zip(self.tls_key) {
            return Ok(Source::Pem(PemPair { certificate, key }));
        }
        if !self.acme {
            return Ok(Source::Own);
        }
        let is_name = |name: &&String| name.parse::<IpAddr>().is_err();
        let names: Vec<_> = hostnames.iter().filter(is_name).cloned().collect();
        ensure!(
            !names.is_empty(),
            "--acme needs a name under which the authority reaches this hub: add --hostname NAME"
        );
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
