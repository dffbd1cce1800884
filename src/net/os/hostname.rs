//! The machine's host name.

/// Returns the host name, or `None` if it is unknown or cannot stand in a certificate: letters, digits, `.` and `-` can.
pub fn machine_name() -> Option<String> {
    let name = hostname::get().ok()?.into_string().ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    (!name.is_empty() && name.chars().all(fits)).then_some(name)
}
