//! An ACME order: account, order, validation of each name, certificate. Every step has a timeout and is named in its
//! error.

use std::fmt::Display;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, HttpClient,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;
use tokio::time::timeout;

use super::Acme;
use crate::hub::certificate::resolver::CertificateResolver;
use crate::net::client::round_trip;
use crate::net::os::private_files::{AtPath as _, read_private, write_private};
use crate::net::runtime::ClientRuntime;
use crate::net::tls::{client_config, provider};
use crate::net::transport::dial::{DialTrace, dial};
use crate::proto::join::{DEFAULT_PORT, HubAddress};
use crate::proto::limits::RESPONSE_BODY_BYTES;
use crate::proto::refusal::Refusal;
use crate::proto::via::ProxySettings;

/// The limit on one request, after connecting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The limit on a step of a few requests.
const STEP_TIMEOUT: Duration = Duration::from_secs(90);

/// The limit on validation, for which the authority connects from several places, and on issuance.
const WAIT_TIMEOUT: Duration = Duration::from_secs(180);

/// Orders a certificate. Returns the key and the chain in PEM.
pub(super) async fn order(acme: &Acme, credentials: &Path, resolver: &CertificateResolver) -> anyhow::Result<String> {
    let mut order = match new_order(acme, credentials).await {
        Err(error) if is_unknown_account(&error) => {
            std::fs::remove_file(credentials).at_path("cannot remove", credentials)?;
            new_order(acme, credentials).await?
        }
        order => order?,
    };
    step("preparing the challenges", STEP_TIMEOUT, answer_challenges(&mut order, resolver)).await?;
    step(
        "validating the names, for which the authority connects to port 443",
        WAIT_TIMEOUT,
        await_validation(&mut order),
    )
    .await?;
    let key = step("finalizing the order", STEP_TIMEOUT, async { Ok(order.finalize().await?) }).await?;
    let fetched = async { Ok(order.poll_certificate(&retry_policy()).await?) };
    let chain = step("downloading the certificate", WAIT_TIMEOUT, fetched).await?;
    Ok(format!("{key}\n{chain}"))
}

async fn new_order(acme: &Acme, credentials: &Path) -> anyhow::Result<Order> {
    let account = step("opening the account", STEP_TIMEOUT, account(acme, credentials)).await?;
    let names: Vec<_> = acme.names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    let wanted = NewOrder::new(&names);
    step("creating the order", STEP_TIMEOUT, async { Ok(account.new_order(&wanted).await?) }).await
}

async fn step<T>(
    what: &'static str,
    deadline: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let late = |_| Err(anyhow!("timed out after {} s", deadline.as_secs()));
    timeout(deadline, work).await.unwrap_or_else(late).context(what)
}

fn retry_policy() -> RetryPolicy {
    RetryPolicy::new().timeout(WAIT_TIMEOUT)
}

/// Loads the account of an earlier run, else creates one. By `--acme` the operator agrees to the authority's terms.
async fn account(acme: &Acme, credentials: &Path) -> anyhow::Result<Account> {
    let (tls, proxy_config) = (client_config(&acme.trust)?, (acme.proxy.0)()?);
    let builder = Account::builder_with_http(Box::new(AcmeHttp { tls, proxy_config }));
    if credentials.exists() {
        let stored: AccountCredentials = serde_json::from_str(&read_private(credentials)?)
            .with_context(|| format!("{} is damaged; remove it to create a new account", credentials.display()))?;
        return Ok(builder.from_credentials(stored).await?);
    }
    let contact: Vec<&str> = acme.contact.as_deref().into_iter().collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, made) = builder.create(&new, acme.directory.clone(), None).await?;
    write_private(credentials, &serde_json::to_string(&made)?)?;
    Ok(account)
}

/// Reports whether the authority does not know the account, as after its database was reset.
fn is_unknown_account(error: &anyhow::Error) -> bool {
    let problem = match error.downcast_ref() {
        Some(instant_acme::Error::Api(problem)) => problem.r#type.as_deref(),
        _ => None,
    };
    problem.is_some_and(|kind| kind.ends_with(":accountDoesNotExist"))
}

/// Installs the challenge certificate for each name and notifies the authority.
async fn answer_challenges(order: &mut Order, resolver: &CertificateResolver) -> anyhow::Result<()> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            status @ (AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated) => bail!("{name}: the authorization is {status:?}"),
        }
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge =
            challenge.with_context(|| format!("the authority does not offer tls-alpn-01 for {name}"))?;
        resolver.add_challenge(&name, challenge_certificate(&name, challenge.key_authorization().digest().as_ref())?);
        challenge.set_ready().await?;
    }
    Ok(())
}

/// RFC 8737 section 3: a self-signed certificate for the name with the digest in the acmeIdentifier extension.
fn challenge_certificate(name: &str, digest: &[u8]) -> anyhow::Result<CertifiedKey> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    // Key and certificate are not checked against each other: the extension is critical, as required, and no verifier
    // knows it.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], provider().key_provider.load_private_key(key.into())?))
}

/// Waits until the authority has validated every name.
async fn await_validation(order: &mut Order) -> anyhow::Result<()> {
    if order.poll_ready(&retry_policy()).await? == OrderStatus::Ready {
        return Ok(());
    }
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        let found = authorization.refresh().await?;
        if let Some(problem) = found.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            bail!("{name}: {problem}");
        }
    }
    bail!("the authority gave no reason")
}

/// An HTTP client that connects as to a hub, one connection per request.
struct AcmeHttp {
    tls: Arc<ClientConfig>,
    proxy_config: ProxySettings,
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>>;

impl HttpClient for AcmeHttp {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> ResponseFuture {
        let (tls, proxy_config) = (self.tls.clone(), self.proxy_config.clone());
        let failed = |error: anyhow::Error| instant_acme::Error::Other(error.into());
        Box::pin(async move { send(tls, &proxy_config, request).await.map(BytesResponse::from).map_err(failed) })
    }
}

async fn send(
    tls: Arc<ClientConfig>,
    proxy_config: &ProxySettings,
    request: Request<BodyWrapper<Bytes>>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let server = address(&head.uri)?;
    let failed = |why: &dyn Display| anyhow!("{server}: {why}");
    let connected = dial(&server, proxy_config, tls, &ClientRuntime::default(), &mut DialTrace::default()).await;
    let stream = connected.map_err(|refusal| failed(&refusal.detail.as_str()))?;
    head.headers.insert(header::HOST, HeaderValue::try_from(server.to_string())?);
    head.uri = head.uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
    let response =
        round_trip(stream, Request::from_parts(head, Full::new(body)), REQUEST_TIMEOUT, RESPONSE_BODY_BYTES).await;
    let (response, _) = response.map_err(|error| failed(&Refusal::from(error).detail.as_str()))?;
    Ok(response.map(Full::new))
}

fn address(uri: &Uri) -> anyhow::Result<HubAddress> {
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
    let host = host.with_context(|| format!("'{uri}' is not an https:// URL"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(HubAddress { host, port: uri.port_u16().unwrap_or(DEFAULT_PORT) })
}
