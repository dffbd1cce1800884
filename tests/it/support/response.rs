//! A parser for the hub's HTTP responses.

use std::io::{self, Read as _};

use devstream::proto::channel_binding::CHANNEL_HEADER;
use devstream::proto::http::{ACCEPTED_HEADER, STREAM_TOKEN_HEADER, STREAM_URL_HEADER};
use devstream::proto::refusal::Refusal;

use super::raw::{StreamGrant, Tls};

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    /// Names in lower case. Without the date, here and in the body, the length that depends on it, and the name of
    /// the TLS channel: nothing else may differ between equal answers.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl HttpResponse {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The refusal's label, or `yes`.
    pub(crate) fn refusal_label(&self) -> &'static str {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        match serde_json::from_value::<Refusal>(body["refusal"].clone()) {
            Ok(refusal) => refusal.kind.row().label,
            Err(_) => {
                assert!(self.status < 300, "neither a yes nor a refusal: {self:?}");
                "yes"
            }
        }
    }

    /// The stream granted by an accepted request.
    pub(crate) fn grant(&self) -> StreamGrant {
        assert_eq!((self.status, self.header(ACCEPTED_HEADER)), (200, Some("True")), "{self:?}");
        let header = |name| self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_owned();
        StreamGrant { url: header(STREAM_URL_HEADER), token: header(STREAM_TOKEN_HEADER), protocol: None }
    }
}

/// Reads one answer, as long as its head says.
pub(crate) fn read_response(stream: &mut Tls) -> io::Result<HttpResponse> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    let (dated, headers): (Vec<_>, Vec<_>) =
        headers.partition(|(name, _)| matches!(name.as_str(), "date" | "content-length" | CHANNEL_HEADER));
    let length = dated.iter().find_map(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let body = undated(&String::from_utf8_lossy(&body));
    Ok(HttpResponse { status: status.unwrap_or_else(|| panic!("no status in {head}")), headers, body })
}

fn undated(body: &str) -> String {
    match body.split_once("timestampUtc") {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(|c: char| c != '}')),
        None => body.to_owned(),
    }
}
