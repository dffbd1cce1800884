//! The TLS configuration of both ends: TLS 1.3 alone, both ends present a leaf, and the ALPN protocol binds the stream.
//!
//! What a verifier has accepted holds for one handshake; a session that is resumed skips it. `SessionEnd::authorise` is
//! therefore asked for every session, and applies the same rule to the same certificate.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::{Resumption, TicketRequest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::TLS13;
use rustls::{
    CertificateError, CipherSuite, ClientConfig, ClientConnection, Connection, Error, NamedGroup, ServerConfig,
    ServerConnection,
};

pub use super::expected::Expected;
use super::expected::other;
use super::facts::SessionFacts;
use super::failure::{Failure, FleetCause};
use super::fleet::Passed;
use super::leaf::{self, Leaf};
use super::peers::{Anchors, KeepError, PeerKeys};
use super::tickets::{ConnectionTickets, DeviceTickets, ServiceTickets};
use super::verified::VerifiedChains;
use super::verifier::Verifier;
use crate::net::os::clock;
use crate::net::tls::provider;
use crate::proto::bounded_map::BoundedMap;
use crate::proto::fleet::FleetKeys;
use crate::proto::id::Principal;
use crate::proto::limits::MAX_EARLY_DATA_SIZE;
use crate::proto::refusal::Refusal;

/// A name that TLS wants and nobody looks at: leaves name their owners otherwise, and the stream is bound by ALPN. It does
/// not go out.
const SERVER_NAME: &str = "device.invalid";

/// Tickets asked for with a full handshake, so that as many streams may be opened at the same time with one.
const NEW_TICKETS: u8 = 8;

/// Tickets asked for with a resumed session while there are too few for a burst of streams, or for those that are opened while
/// the network stands still.
const REFILLING_TICKETS: u8 = 4;

/// Streams whose configuration is kept, at each end: one for each pair of peer and stream name. Beyond it the oldest is made
/// again when it is needed, and its tickets are lost.
const KEPT_CONFIGS: usize = 256;

/// One end of a session, before its handshake.
pub struct SessionEnd {
    pub(in crate::net) tls: Box<Connection>,
    expected: Expected,
    peer_keys: Arc<dyn PeerKeys>,
    /// Where the device looks tickets up.
    tickets: Option<Arc<ConnectionTickets>>,
    verified: Arc<VerifiedChains>,
    passed: Arc<Passed>,
    trusted: Arc<TrustedFleet>,
}

/// The fleet that the machine trusts, if it trusts one; nothing where sessions alone are used.
type TrustedFleet = Mutex<Option<Option<FleetKeys>>>;

impl SessionEnd {
    /// Decides whether the peer is the one that the stream is for, and the stream the one meant; keeps the key of a peer that
    /// is met for the first time.
    pub(in crate::net) fn authorise(&self) -> Result<(), Error> {
        let protocols = self.expected.alpn_protocols();
        if self.tls.alpn_protocol().is_none_or(|agreed| !protocols.iter().any(|protocol| protocol == agreed)) {
            return Err(Error::NoApplicationProtocol);
        }
        let keys = self.expected.fleet.map(|fleet| fleet.keys);
        if self.trusted.lock().is_some_and(|trusted| trusted != keys) {
            // The session was begun before.
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        let chain = self.tls.peer_certificates().unwrap_or_default();
        let verify = || self.expected.verify(chain, UnixTime::now(), &self.passed);
        if self.expected.fleet.is_some() {
            // A fleet's certificate expires: it is verified each time.
            self.peer_keys.keep_signed(&self.expected.peer, &verify()?);
            return Ok(());
        }
        let key = self.verified.key(&self.expected, chain, verify)?;
        let kept = self.peer_keys.keep(&self.expected.peer, &key, &self.expected.anchors);
        kept.map_err(|error| {
            other(match error {
                KeepError::Another(known) => Failure::AnotherKey { known: known.key, shown: key },
                KeepError::NoRoom(why) => Failure::NotKept(why),
            })
        })
    }

    /// What was agreed on with the authorised peer.
    pub(in crate::net) fn facts(&self) -> Option<SessionFacts> {
        let chain = self.tls.peer_certificates().unwrap_or_default();
        let key = leaf::presented_key(chain.first()?, &self.expected.peer).ok()?;
        let clock = self.passed.clock(clock::now_utc());
        let verified = |fleet| self.expected.certified(chain, fleet, clock).ok();
        let validity = self.expected.fleet.as_ref().and_then(verified).map(|certified| certified.validity);
        let key_exchange = self.tls.negotiated_key_exchange_group()?.name();
        Some(SessionFacts {
            key,
            known: self.peer_keys.known(&self.expected.peer),
            not_stored: self.peer_keys.not_stored(&self.expected.peer),
            certificate: validity,
            signed_here: self.expected.is_certified_here(),
            cipher: format!("{:?}", self.tls.negotiated_cipher_suite()?.suite()),
            key_exchange: format!("{key_exchange:?}"),
            is_post_quantum: key_exchange == NamedGroup::X25519MLKEM768,
        })
    }

    /// The peer, and the keys that may vouch for it.
    pub(in crate::net) fn expected(&self) -> (Principal, Anchors) {
        (self.expected.peer.clone(), self.expected.anchors.clone())
    }

    /// Fails if the peer presented a ticket that was used before: somebody repeats what it sent.
    pub(in crate::net) fn ensure_not_replayed(&self) -> Result<(), Error> {
        match &self.tickets {
            Some(tickets) if tickets.is_replayed() => {
                Err(other(Failure::Altered("somebody repeats the start of an earlier session".into())))
            }
            _ => Ok(()),
        }
    }

    /// The age of this device's memory of tickets, if the service has presented one.
    pub(in crate::net) fn memory_age(&self) -> Option<Duration> {
        self.tickets.as_ref().and_then(|tickets| tickets.memory_age())
    }

    /// Classifies the error of the session, which may have been open.
    pub(in crate::net) fn failure(&self, error: &Error, was_open: bool) -> Failure {
        // A device refuses a service's key after its own part of the handshake, which protects what it says.
        if matches!((error, &*self.tls), (Error::AlertReceived(_), Connection::Client(client)) if client.is_handshaking())
        {
            return Failure::Altered(format!("{error}, which anybody in between can have sent"));
        }
        let not_signed = Error::from(CertificateError::ApplicationVerificationFailure);
        let expired = Error::from(CertificateError::Expired);
        let causes = [(not_signed, FleetCause::NotSigned), (expired, FleetCause::Expired)];
        let cause = causes.into_iter().find(|(of, _)| self.expected.fleet.is_some() && of == error);
        cause.map_or_else(|| Failure::of(error, was_open), |(_, cause)| Failure::NotInFleet(cause))
    }

    /// The refusal for a failure, with what is known of the peer.
    pub(in crate::net) fn refusal(&self, failure: &Failure) -> Refusal {
        let known = self.peer_keys.known(&self.expected.peer);
        failure.refusal(&self.expected.peer, known.as_ref(), self.peer_keys.trust_flag())
    }
}

/// Configurations by the certificates that this end has, and by what it expects of the other.
type Configs<C> = Mutex<BoundedMap<(Vec<CertificateDer<'static>>, Expected), Arc<C>>>;

/// The configurations of a service for one stream of one device, which differ in the tickets that they ask for.
#[derive(Debug)]
struct ServiceConfigs {
    /// While there are enough: one in the place of the one that is used.
    usual: Arc<ClientConfig>,
    refilling: Arc<ClientConfig>,
    tickets: Arc<ServiceTickets>,
}

impl ServiceConfigs {
    fn for_next(&self) -> Arc<ClientConfig> {
        if self.tickets.are_enough() { self.usual.clone() } else { self.refilling.clone() }
    }
}

/// The configurations and tickets of one client's sessions, for as long as it runs.
#[derive(Debug)]
pub struct Sessions {
    services: Configs<ServiceConfigs>,
    devices: Configs<ServerConfig>,
    tickets: Arc<DeviceTickets>,
    verified: Arc<VerifiedChains>,
    passed: Arc<Passed>,
    trusted: Arc<TrustedFleet>,
    /// The wall clock, by which the age of a ticket is measured.
    clock: Arc<dyn TimeProvider>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::with_clock(Arc::new(DefaultTimeProvider))
    }
}

impl Sessions {
    /// Creates them with this wall clock.
    pub(in crate::net) fn with_clock(clock: Arc<dyn TimeProvider>) -> Self {
        let (services, devices) = (BoundedMap::new(KEPT_CONFIGS), BoundedMap::new(KEPT_CONFIGS));
        let (services, devices) = (Mutex::new(services), Mutex::new(devices));
        let (tickets, verified, passed, trusted) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        Self { services, devices, tickets, verified, passed, trusted, clock }
    }

    /// The machine trusts this fleet from now on: no session that was begun under another one opens.
    pub fn trust(&self, fleet: Option<FleetKeys>) {
        *self.trusted.lock() = Some(fleet);
    }

    /// Creates the service's end of a session. Sessions are resumed only with a device of which the same is known.
    pub fn service_end(
        &self,
        own: &Leaf,
        expected: Expected,
        peer_keys: Arc<dyn PeerKeys>,
    ) -> Result<SessionEnd, Error> {
        let make = |own: &Leaf, expected: &Expected| service_configs(own, self.verifier(expected), self.clock.clone());
        let configs = cached(&self.services, own, &expected, make)?;
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| Error::General(error.to_string()))?;
        let tls = Box::new(ClientConnection::new(configs.for_next(), name)?.into());
        Ok(SessionEnd {
            tls,
            expected,
            peer_keys,
            tickets: None,
            passed: self.passed.clone(),
            verified: self.verified.clone(),
            trusted: self.trusted.clone(),
        })
    }

    fn verifier(&self, expected: &Expected) -> Arc<Verifier> {
        Arc::new(Verifier::new(expected.clone(), self.passed.clone()))
    }

    /// Creates the device's end of a session.
    pub fn device_end(
        &self,
        own: &Leaf,
        expected: Expected,
        peer_keys: Arc<dyn PeerKeys>,
    ) -> Result<SessionEnd, Error> {
        let make = |own: &Leaf, expected: &Expected| device_config(own, self.verifier(expected), self.clock.clone());
        let config = cached(&self.devices, own, &expected, make)?;
        let tickets = Arc::new(ConnectionTickets::new(self.tickets.clone(), expected.anchors.clone()));
        let mut config = (*config).clone();
        config.session_storage = tickets.clone();
        let tls = Box::new(ServerConnection::new(Arc::new(config))?.into());
        Ok(SessionEnd {
            tls,
            expected,
            peer_keys,
            tickets: Some(tickets),
            passed: self.passed.clone(),
            verified: self.verified.clone(),
            trusted: self.trusted.clone(),
        })
    }
}

/// Returns the configuration, made anew if there is none.
fn cached<C>(
    configs: &Configs<C>,
    own: &Leaf,
    expected: &Expected,
    make: impl FnOnce(&Leaf, &Expected) -> Result<C, Error>,
) -> Result<Arc<C>, Error> {
    let key = (own.chain().to_vec(), expected.clone());
    if let Some(config) = configs.lock().get(&key) {
        return Ok(config.clone());
    }
    let config = Arc::new(make(own, expected)?);
    configs.lock().insert(key, config.clone());
    Ok(config)
}

fn service_configs(own: &Leaf, verifier: Arc<Verifier>, clock: Arc<dyn TimeProvider>) -> Result<ServiceConfigs, Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let protocols = verifier.expected.alpn_protocols();
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified())));
    config.alpn_protocols = protocols;
    config.time_provider = clock;
    config.enable_sni = false;
    config.enable_early_data = true;
    let tickets = Arc::new(ServiceTickets::default());
    config.resumption = Resumption::store(tickets.clone());
    let asking = |resumption_count| {
        let mut config = config.clone();
        config.send_ticket_request = Some(TicketRequest { new_session_count: NEW_TICKETS, resumption_count });
        Arc::new(config)
    };
    Ok(ServiceConfigs { usual: asking(1), refilling: asking(REFILLING_TICKETS), tickets })
}

fn device_config(own: &Leaf, verifier: Arc<Verifier>, clock: Arc<dyn TimeProvider>) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(device_provider()).with_protocol_versions(&[&TLS13])?;
    let protocols = verifier.expected.alpn_protocols();
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified())));
    config.alpn_protocols = protocols;
    config.time_provider = clock;
    config.ignore_client_order = true;
    config.max_early_data_size = MAX_EARLY_DATA_SIZE;
    config.send_half_rtt_data = true;
    config.max_tls13_tickets = NEW_TICKETS.into();
    Ok(config)
}

/// The cryptography of the device, which chooses the cipher: ChaCha20-Poly1305 where its processor has no AES.
fn device_provider() -> Arc<CryptoProvider> {
    if has_aes() {
        return provider();
    }
    let mut provider = (*provider()).clone();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    Arc::new(provider)
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}
