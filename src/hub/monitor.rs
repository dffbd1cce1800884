//! The private listener for monitoring: plain HTTP, `/metrics`, `/healthz` and `/readyz`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::accept::accept_backoff;
use super::metrics::{MEDIA_TYPE, Measure};
use super::{Shared, responses};
use crate::net::os::usage;
use crate::net::tasks::{self, Tasks};
use crate::net::transport::http_server::{HttpOutcome, HttpRequest, serve};

/// Scrapers at once; there are one or two, and a person.
const MAX_SCRAPERS: usize = 16;

/// A scraper asks and goes, or keeps its connection for the next time, which need not be this one.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the broker may take to answer before the hub is not healthy.
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers scrapers, for ever.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener, tasks: Tasks) {
    let permits = Arc::new(Semaphore::new(MAX_SCRAPERS));
    let mut failures = 0;
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                failures = 0;
                let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
                let shared = shared.clone();
                tasks.spawn(async move {
                    let served = timeout(SCRAPE_TIMEOUT, serve_scraper(&shared, tcp)).await;
                    drop((permit, served));
                });
            }
            Err(error) => accept_backoff(&shared, &error, &mut failures).await,
        }
    }
}

async fn serve_scraper(shared: &Shared, tcp: TcpStream) {
    let served =
        serve(
            tcp,
            shared.config.limits.http,
            |request| async move { HttpOutcome::Reply(respond(shared, &request).await) },
        );
    let _: Option<((), _)> = served.await;
}

async fn respond(shared: &Shared, request: &HttpRequest) -> Response<Bytes> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/metrics") => metrics(shared).await,
        ("GET", "/healthz") => health(shared).await,
        ("GET", "/readyz") => ready(shared),
        _ => responses::not_found(),
    }
}

/// Whether the hub does its work: the broker answers.
pub(super) async fn health(shared: &Shared) -> Response<Bytes> {
    match timeout(BROKER_TIMEOUT, shared.broker.ping()).await {
        Ok(true) => responses::text(StatusCode::OK, "ok\n"),
        Ok(false) | Err(_) => responses::text(StatusCode::SERVICE_UNAVAILABLE, "stuck\n"),
    }
}

/// Whether it takes new streams.
pub(super) fn ready(shared: &Shared) -> Response<Bytes> {
    let full = shared.pressure.check_stream_capacity().is_err();
    if shared.is_draining() {
        responses::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if full {
        responses::text(StatusCode::SERVICE_UNAVAILABLE, "at its limits\n")
    } else {
        responses::text(StatusCode::OK, "ready\n")
    }
}

async fn metrics(shared: &Shared) -> Response<Bytes> {
    let (devices, services) = shared.registry.with(|registry| registry.count()).await.unwrap_or_default();
    let open = shared.broker.bytes_carried();
    let measured = [
        (Measure::Start, shared.started_at.0 as f64),
        (Measure::Draining, f64::from(u8::from(shared.is_draining()))),
        (Measure::DevicesOnline, shared.broker.devices_online() as f64),
        (Measure::Devices, devices as f64),
        (Measure::Services, services as f64),
        (Measure::Streams, shared.broker.streams() as f64),
        (Measure::Unauthenticated, shared.limiter.count() as f64),
        (Measure::Penalised, shared.limiter.penalised() as f64),
        (Measure::Memory, usage::resident_memory() as f64),
        (Measure::Descriptors, usage::descriptors().0 as f64),
        (Measure::CertificateEnd, shared.certificate.status().not_after.0 as f64),
    ];
    let text = shared.metrics.text(&measured, open, shared.activity.lost(), tasks::panics());
    let mut response = Response::new(Bytes::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}
