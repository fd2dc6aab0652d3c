//! Names that come from elsewhere and become paths here.

/// Whether this is a relative path of plain parts with `/` between them, inside of whatever it is joined to, on any
/// operating system.
pub(super) fn is_plain_path(name: &str) -> bool {
    name.split('/').all(is_plain)
}

/// Whether this can be the name of one file.
pub(super) fn is_plain(name: &str) -> bool {
    let inside = !name.is_empty() && name != "." && name != "..";
    inside && !name.contains(['/', '\\', ':']) && !name.contains(char::is_control)
}

/// Whether this is the hash of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_plain() {
        for name in ["a", "unet/config.json", ".gitattributes", "a..b/c d", "ü"] {
            assert!(is_plain_path(name), "{name}");
        }
        for name in [
            "", "..", "a/../b", "/a", "a/", "a//b", ".", "./a", "a\\b", "C:/a", "a:b", "a\0", "a\n",
        ] {
            assert!(!is_plain_path(name), "{name:?}");
        }
        assert!(!is_plain("a/b"));
        assert!(is_commit(&"0a".repeat(20)) && !is_commit(&"0a".repeat(19)));
        assert!(!is_commit(&"0g".repeat(20)));
    }
}
