//! The private monitoring listener: plain HTTP with `/metrics`, `/healthz` and `/readyz`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::admission::Admission;
use super::cluster::view::placement::MemberState;
use super::metrics::{MEDIA_TYPE, Measure};
use super::responses;
use super::shared::Shared;
use super::streams::Streams;
use crate::net::os::usage;
use crate::net::tasks::{self, Tasks};
use crate::net::transport::accept::accept_loop;
use crate::net::transport::http_server::{HttpOutcome, HttpRequest, serve};

/// The limit on concurrent scrapers: usually one or two, and a person.
const MAX_SCRAPERS: usize = 16;

/// The limit on a scraper's connection. One that keeps its connection alive connects again.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(60);

/// The broker's response time beyond which the hub is unhealthy.
const BROKER_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves scrapers until dropped.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener, tasks: Tasks) {
    let permits = Arc::new(Semaphore::new(MAX_SCRAPERS));
    let handle = |(tcp, _)| {
        let permit = permits.clone().try_acquire_owned().ok()?;
        let shared = shared.clone();
        Some(async move {
            let served = timeout(SCRAPE_TIMEOUT, serve_scraper(&shared, tcp)).await;
            drop((permit, served));
        })
    };
    let on_error = |error: &io::Error| shared.admission.accept_failed(error);
    match accept_loop(|| listener.accept(), &tasks, on_error, handle).await {}
}

async fn serve_scraper(shared: &Shared, tcp: TcpStream) {
    let served =
        serve(
            tcp,
            shared.config.limits.http,
            |request| async move { HttpOutcome::Reply(respond(shared, &request).await) },
        );
    let _: Result<((), _), _> = served.await;
}

async fn respond(shared: &Shared, request: &HttpRequest) -> Response<Bytes> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/metrics") => metrics(shared).await,
        ("GET", "/healthz") => health(&shared.streams).await,
        ("GET", "/readyz") => ready(&shared.streams, &shared.admission),
        _ => responses::not_found(),
    }
}

/// Reports whether the broker responds.
pub(super) async fn health(streams: &Streams) -> Response<Bytes> {
    match timeout(BROKER_TIMEOUT, streams.broker.ping()).await {
        Ok(true) => responses::text(StatusCode::OK, "ok\n"),
        Ok(false) | Err(_) => responses::text(StatusCode::SERVICE_UNAVAILABLE, "unresponsive\n"),
    }
}

/// Reports whether the hub takes new streams.
pub(super) fn ready(streams: &Streams, admission: &Admission) -> Response<Bytes> {
    let full = admission.pressure.check_stream_capacity().is_err();
    if streams.is_draining() {
        responses::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if full {
        responses::text(StatusCode::SERVICE_UNAVAILABLE, "at capacity\n")
    } else {
        responses::text(StatusCode::OK, "ready\n")
    }
}

async fn metrics(shared: &Shared) -> Response<Bytes> {
    let (devices, services) = shared.registry.with(|registry| registry.count()).await.unwrap_or_default();
    let open = shared.streams.broker.bytes_carried();
    let members = shared.cluster.as_ref().map(|node| node.members());
    let others = members.iter().flat_map(|members| &members.others).filter(|hub| hub.state != MemberState::Dead);
    let measured = [
        (Measure::Start, shared.started_at.0 as f64),
        (Measure::Draining, f64::from(u8::from(shared.streams.is_draining()))),
        (Measure::DevicesOnline, shared.streams.broker.devices_online() as f64),
        (Measure::Devices, devices as f64),
        (Measure::Services, services as f64),
        (Measure::Streams, shared.streams.broker.streams() as f64),
        (Measure::Standbys, shared.streams.standbys.total() as f64),
        (Measure::Unauthenticated, shared.admission.limiter.count() as f64),
        (Measure::Penalised, shared.admission.limiter.penalised() as f64),
        (Measure::Memory, usage::resident_memory() as f64),
        (Measure::Descriptors, usage::descriptors().0 as f64),
        (Measure::ClusterHubs, 1.0 + others.count() as f64),
        (Measure::ClusterIsolated, f64::from(u8::from(members.as_ref().is_some_and(|members| members.isolated)))),
        (Measure::CertificateEnd, shared.endpoints.certificate.status().not_after.0 as f64),
    ];
    let text = shared.metrics.text(&measured, open, shared.activity.lost(), tasks::panics());
    let mut response = Response::new(Bytes::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}
