//! Request paths, and headers that are parsed by hand.

use std::time::Duration;

use devstream::proto::http::{Bridge, Route, list_contains, parse_timeout};

use super::input::{Input, is_printable};

const LIMIT: Duration = Duration::from_secs(300);

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (method, path, header) = (input.text(), input.text(), input.text());
    if let Some(route) = Route::parse(&method, &path) {
        assert_eq!(route.method(), method);
        round_trip(&route);
    }
    timeout(&header);
    list(&header, path.trim());
}

/// Checks that a formatted route parses to the same route.
fn round_trip(route: &Route) {
    if let Route::Bridge(Bridge { hub, .. }) = route {
        // Only host names are ever formatted into it.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        if hub.is_empty() || !hub.bytes().all(plain) {
            return;
        }
    }
    let written = route.to_string();
    assert!(is_printable(&written) && written.is_ascii());
    for again in [written.clone(), format!("{written}?api-version=1")] {
        assert_eq!(Route::parse(route.method(), &again).as_ref(), Some(route), "{again}");
    }
}

fn timeout(text: &str) {
    if let Some(duration) = parse_timeout(text, LIMIT) {
        assert!(duration <= LIMIT);
        let number: f64 = text.trim().parse().expect("it was taken for a number");
        assert!(number >= 0.0 && (number >= LIMIT.as_secs_f64() || (duration.as_secs_f64() - number).abs() < 1e-6));
    }
}

fn list(header: &str, wanted: &str) {
    if list_contains(header, wanted) {
        assert!(header.contains(wanted));
    }
    if !wanted.contains(',') {
        assert!(
            list_contains(&format!("{header}, {wanted}"), wanted)
                && list_contains(&format!("{wanted} ,{header}"), wanted)
        );
    }
}
