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
    let (origin, path) = (origin(url), path(url));
    if has_scheme(location) {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{}//{rest}", &url[..url.find("//").unwrap_or(0)])
    } else if location.starts_with('/') {
        format!("{origin}{location}")
    } else if location.starts_with(['?', '#']) {
        format!("{origin}{path}{location}")
    } else {
        let directory = path.rfind('/').map_or("", |slash| &path[..slash]);
        format!("{origin}{directory}/{location}")
    }
}

/// Whether what goes from one address to the other would be read by anybody on the way.
pub(super) fn is_laid_open(from: &str, to: &str) -> bool {
    let is_https =
        |url: &str| url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    is_https(from) && !is_https(to)
}

/// An address for messages and logs: signatures and passwords are in the parts that are left out.
pub(super) fn shown(url: &str) -> String {
    let (origin, path) = (origin(url), path(url));
    let host = origin.find("://").map_or(0, |at| at + 3);
    let user = origin.rfind('@').map_or(host, |at| at + 1);
    format!("{}{}{path}", &origin[..host], &origin[user..])
}

/// Whether an address says what it is spoken to in, and is none within a server.
fn has_scheme(location: &str) -> bool {
    let before = &location[..location.find(['/', '?', '#']).unwrap_or(location.len())];
    let Some((scheme, _)) = before.split_once(':') else { return false };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(allowed)
}

/// The path within a server, without a query.
fn path(url: &str) -> &str {
    let rest = &url[origin(url).len()..];
    &rest[..rest.find(['?', '#']).unwrap_or(rest.len())]
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
        assert_eq!(from("/x?next=https://other.co"), "https://hub.co/x?next=https://other.co");
        assert_eq!(from("c?next=https://other.co"), "https://hub.co/a/c?next=https://other.co");
        assert_eq!(from("?d"), "https://hub.co/a/b?d");
        assert_eq!(joined("https://hub.co/a/b?c=/d/e", "f"), "https://hub.co/a/f");
        assert_eq!(joined("https://hub.co", "f"), "https://hub.co/f");
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("https://ada:word@hub.co:1/a/b?Signature=x#y"), "https://hub.co:1/a/b");
        assert_eq!(shown("https://hub.co"), "https://hub.co");
        assert_eq!(shown("https://hub.co/@a"), "https://hub.co/@a");
        assert_eq!(shown("nonsense?x"), "nonsense");
    }

    #[test]
    fn what_is_secret_stays_so() {
        assert!(is_laid_open("https://hub.co", "http://hub.co") && is_laid_open("HTTPS://a", "x"));
        assert!(!is_laid_open("https://a", "HTTPS://b") && !is_laid_open("http://a", "http://b"));
    }
}
