//! Addresses.

/// What becomes of slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slashes {
    Keep,
    Escape,
}

/// A text as a part of an address.
pub(super) fn escaped(text: &str, slashes: Slashes) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' if slashes == Slashes::Keep => escaped.push('/'),
            b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Whether two addresses are of one server.
pub(super) fn is_same_origin(one: &str, other: &str) -> bool {
    origin(one).eq_ignore_ascii_case(origin(other))
}

/// Where an answer from `url` sends to.
pub(super) fn joined(url: &str, location: &str) -> String {
    if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}//{rest}", &url[..url.find("//").unwrap_or(0)])
    } else if location.starts_with('/') {
        format!("{}{location}", origin(url))
    } else {
        let directory = url.rfind('/').map_or(url, |slash| &url[..slash]);
        format!("{directory}/{location}")
    }
}

/// `https://host:port`.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parts_of_addresses() {
        assert_eq!(escaped("refs/pr/1", Slashes::Escape), "refs%2Fpr%2F1");
        assert_eq!(escaped("a b/ü#?%.bin", Slashes::Keep), "a%20b/%C3%BC%23%3F%25.bin");
    }

    #[test]
    fn a_token_is_for_one_server() {
        let same = |one, other| is_same_origin(one, other);
        assert!(same("https://hub.co/a/b", "https://hub.co"));
        assert!(same("https://hub.co/a", "https://HUB.co/x?y"));
        for other in
            ["https://hub.com", "http://hub.co", "https://hub.co:444", "https://hub.co@x.y"]
        {
            assert!(!same(other, "https://hub.co"), "{other}");
        }
    }

    #[test]
    fn locations_are_joined() {
        let from = |location| joined("https://hub.co/a/b", location);
        assert_eq!(from("https://other.co/x"), "https://other.co/x");
        assert_eq!(from("//other.co/x"), "https://other.co/x");
        assert_eq!(from("/x/y"), "https://hub.co/x/y");
        assert_eq!(from("c"), "https://hub.co/a/c");
    }
}
