//! The banner of a target: the first bytes that it sends, and the verdict on them.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::finding::Finding;
use super::hop::Hop;
use crate::proto::id::StreamName;
use crate::proto::refusal::{Detail, Refusal, RefusalKind};

/// The wait for a banner where none is expected: after it, the server is taken for one that waits for its client.
const BANNER_TIMEOUT: Duration = Duration::from_secs(1);

/// The wait for a banner where the protocol has one; enough for a slow machine on a slow link.
const EXPECTED_BANNER_TIMEOUT: Duration = Duration::from_secs(5);

/// The characters of a banner that are shown, on one line.
const BANNER_CHARS: usize = 80;

/// The banner is binary if more than one in this many characters cannot be shown.
const TEXT_SHARE: usize = 4;

/// The bytes of a binary banner that are shown; protocols are recognised by fewer.
const BANNER_HEX_BYTES: usize = 16;

/// The stream names of servers that send a banner; a forward without a known service is named by its port.
const BANNER_SERVICES: [&str; 13] =
    ["ssh", "vnc", "ftp", "smtp", "imap", "pop3", "mysql", "21", "25", "110", "143", "587", "3306"];

/// The bytes of a banner that are read.
const BANNER_BYTES: usize = 512;

/// Reads a target's banner, for as long as one of its name may take.
pub(super) async fn read_banner(target: &mut (impl AsyncRead + Unpin), name: Option<&StreamName>) -> Banner {
    let mut bytes = vec![0; BANNER_BYTES];
    match timeout(banner_timeout(name), target.read(&mut bytes)).await {
        Err(_) => Banner::Silent,
        Ok(Ok(count)) if count > 0 => {
            bytes.truncate(count);
            Banner::Received(bytes)
        }
        Ok(Ok(_) | Err(_)) => Banner::Closed,
    }
}

/// The behaviour of a target after the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Banner {
    /// The target sent these bytes.
    Received(Vec<u8>),
    /// The target sent nothing in time.
    Silent,
    /// The target closed the connection without sending a byte.
    Closed,
}

/// Returns the wait for the banner of a target of this name.
fn banner_timeout(name: Option<&StreamName>) -> Duration {
    if sends_banner(name) { EXPECTED_BANNER_TIMEOUT } else { BANNER_TIMEOUT }
}

fn sends_banner(name: Option<&StreamName>) -> bool {
    name.is_some_and(|name| BANNER_SERVICES.contains(&name.as_str()))
}

/// Judges a target by its banner.
pub(super) fn judge_banner(at: &str, name: Option<&StreamName>, banner: &Banner) -> Finding {
    let finding = Finding::good(Hop::Target, at);
    let seconds = banner_timeout(name).as_secs();
    let failed = |kind, what: String| Finding::failed(Hop::Target, at, &Refusal::new(kind, what));
    match banner {
        Banner::Received(bytes) => finding.fact("says", banner_text(bytes)),
        Banner::Silent if sends_banner(name) => failed(
            RefusalKind::TargetTimedOut,
            format!("it accepted the connection and sent nothing in {seconds} s; such servers send a banner"),
        ),
        Banner::Silent => finding.fact("says", format!("nothing in {seconds} s; it may wait for the client")),
        Banner::Closed => failed(RefusalKind::TargetRefused, "it accepted the connection and closed it at once".into()),
    }
}

/// Returns the first line that is not empty, without control characters; of a binary banner the first bytes.
fn banner_text(bytes: &[u8]) -> String {
    let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let line = bytes.split(is_break).find(|line| !line.is_empty()).unwrap_or_default();
    let text: String = String::from_utf8_lossy(line).chars().take(BANNER_CHARS).collect();
    let shown = Detail::from(text.as_str());
    let lost = shown.as_str().chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    if lost * TEXT_SHARE <= text.chars().count() {
        return shown.as_str().to_owned();
    }
    let some: Vec<_> = bytes.iter().take(BANNER_HEX_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("binary: {} ...", some.join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn silence_is_a_failure_only_where_a_banner_is_expected() {
        let (ssh, web) = ("ssh".parse().unwrap(), "web".parse().unwrap());
        let is_good = |name, banner| judge_banner("x", name, &banner).verdict == Verdict::Good;
        assert!(!is_good(Some(&ssh), Banner::Silent) && is_good(Some(&web), Banner::Silent));
        assert!(is_good(None, Banner::Silent) && !is_good(None, Banner::Closed));
        assert!(banner_timeout(Some(&ssh)) > banner_timeout(Some(&web)));
        let finding = judge_banner("x", Some(&ssh), &Banner::Received(b"SSH-2.0-x\x1b[2J\r\nmore".to_vec()));
        assert_eq!(finding.facts["says"], "SSH-2.0-x\u{fffd}[2J");
    }

    #[test]
    fn a_banner_is_shown_as_a_line_of_text_or_a_few_bytes() {
        let says = |bytes: &[u8]| banner_text(bytes);
        assert_eq!(says(b"\r\n\nhello\r\n"), "hello");
        assert_eq!(says(b"\r\n"), "");
        assert_eq!(says(&[b'x'; 512]), "x".repeat(BANNER_CHARS));
        assert_eq!(says("größer".as_bytes()), "größer");
        assert_eq!(says(b"\xff\xfd\x18\xff"), "binary: ff fd 18 ff ...");
        assert_eq!(says(&[0; 512]), format!("binary: {}...", "00 ".repeat(BANNER_HEX_BYTES)));
        assert!(!says(b"\x1b[2J\xc2\x9b31mred").contains(char::is_control));
    }
}
