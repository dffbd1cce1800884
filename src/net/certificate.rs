//! The certificate that a hub shows: a leaf of its own authority, renewed before it runs out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::authority::{Authority, LEAF_RENEWAL};
use super::clock;
use super::tls::{Acceptor, CurrentCertificate, server_config};
use crate::proto::moment::Moment;

/// How often the wall clock is looked at; it may have jumped, and the machine may have slept.
const CHECK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// What new connections are shown, and where the next one comes from.
pub struct HubCertificate {
    authority: Authority,
    names: Vec<String>,
    current: Arc<CurrentCertificate>,
    renew_at: Moment,
}

impl HubCertificate {
    /// Issues the first leaf.
    pub fn issue(authority: Authority, names: Vec<String>) -> anyhow::Result<Self> {
        let current = Arc::new(CurrentCertificate::new(authority.leaf(&names)?));
        Ok(Self { authority, names, current, renew_at: clock::moment().after(LEAF_RENEWAL) })
    }

    /// For listeners.
    pub fn acceptor(&self) -> Result<Acceptor, rustls::Error> {
        Ok(Acceptor::new(server_config(self.current.clone())?))
    }

    /// Renews the leaf whenever it is due, for ever.
    pub async fn renew(mut self) {
        loop {
            sleep(CHECK_INTERVAL).await;
            if clock::moment() < self.renew_at {
                continue;
            }
            match self.authority.leaf(&self.names) {
                Ok(leaf) => {
                    self.current.replace(leaf);
                    self.renew_at = clock::moment().after(LEAF_RENEWAL);
                    tracing::info!(target: "hub", "renewed the hub's certificate");
                }
                Err(error) => tracing::error!(target: "hub", %error, "could not renew the hub's certificate"),
            }
        }
    }
}

/// The names and addresses a leaf is good for: those given, this machine's own, and those that are listened on.
pub fn names(given: impl IntoIterator<Item = String>, listening: &[SocketAddr]) -> Vec<String> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let bound = listening.iter().map(|address| address.ip()).filter(|ip| !ip.is_unspecified());
    let all = given.into_iter().chain(machine_name()).chain(own).chain(bound.map(|ip| ip.to_string()));
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What this machine calls itself, if that can stand in a certificate.
pub fn machine_name() -> Option<String> {
    let name = hostname::get().ok()?.into_string().ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    (!name.is_empty() && name.chars().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::proto::join::Pin;

    #[tokio::test(start_paused = true)]
    async fn a_leaf_that_is_due_is_renewed_under_the_same_pin() {
        let authority = Authority::create().unwrap();
        let pin: Pin = authority.pin().unwrap();
        let mut certificate = HubCertificate::issue(authority, vec!["hub.example.com".into()]).unwrap();
        certificate.renew_at = clock::moment();
        let (current, first) = (certificate.current.clone(), certificate.current.current());
        assert!(timeout(CHECK_INTERVAL * 2, certificate.renew()).await.is_err(), "it never ends");
        let second = current.current();
        assert_ne!(first.cert[0], second.cert[0], "another leaf");
        assert_eq!(super::super::authority::pin_of(&second.cert[1]), Some(pin), "the same authority");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leaf_that_is_not_due_is_kept() {
        let certificate = HubCertificate::issue(Authority::create().unwrap(), names([], &[])).unwrap();
        let (current, first) = (certificate.current.clone(), certificate.current.current());
        assert!(timeout(CHECK_INTERVAL * 30, certificate.renew()).await.is_err());
        assert_eq!(first.cert[0], current.current().cert[0]);
    }
}
