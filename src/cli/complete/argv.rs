//! The command line so far, which follows `--` in this program's own arguments.

use std::env;

/// Returns the first value of a flag.
pub(super) fn value(flag: &str) -> Option<String> {
    values(flag).into_iter().next()
}

/// Returns all values of a flag that may be repeated.
pub(super) fn values(flag: &str) -> Vec<String> {
    let args: Vec<String> =
        env::args_os().skip_while(|word| word != "--").filter_map(|word| word.into_string().ok()).collect();
    values_in(&args, &format!("--{flag}"))
}

/// Returns these flags with their values, each as one word.
pub(super) fn flags(names: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| values(name).into_iter().map(move |value| format!("--{name}={value}"))).collect()
}

fn values_in(args: &[String], flag: &str) -> Vec<String> {
    let of = |(index, word): (usize, &String)| {
        let after = word.strip_prefix(flag)?;
        if after.is_empty() { args.get(index + 1).cloned() } else { after.strip_prefix('=').map(str::to_owned) }
    };
    args.iter().enumerate().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flags_values_are_found_with_and_without_an_equals_sign() {
        let args = ["--", "devstream", "--hub", "a:1", "--hub=b", "--hubris=c", "--hub"].map(str::to_owned);
        assert_eq!(values_in(&args, "--hub"), ["a:1", "b"]);
        assert_eq!(values_in(&args, "--via"), [""; 0]);
    }
}
