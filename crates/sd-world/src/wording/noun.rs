//! Words for objects.

use crate::Group;

use super::{Chooser, Slot, be, phrases};

/// Words for a group, such as `three small red circles`.
pub(super) fn noun(chooser: &mut Chooser<'_>, group: &Group) -> String {
    fill(chooser, phrases::NOUN, group)
}

/// Words for the only group of a caption: they have more freedom.
pub(super) fn only(chooser: &mut Chooser<'_>, group: &Group) -> String {
    let template = if group.count > 1 {
        chooser.choose(Slot::Noun, phrases::NOUNS_OF_MANY)
    } else {
        chooser.common(phrases::NOUNS_OF_ONE)
    };
    fill(chooser, template, group)
}

fn fill(chooser: &mut Chooser<'_>, template: &str, group: &Group) -> String {
    let number = chooser.common(phrases::numbers(group.count));
    let size = group.size.map_or_else(String::new, |size| {
        let size = chooser.common(phrases::sizes(size));
        format!("{size} ")
    });
    let shape = if group.count > 1 { group.shape.plural() } else { group.shape.name() };
    template
        .replace("{number}", number)
        .replace("{size} ", &size)
        .replace("{colour}", group.colour.name())
        .replace("{shape}", shape)
        .replace("{be}", be(group.count > 1))
}

/// Writes `an` for `a` before vowels.
pub(super) fn with_articles(text: &str) -> String {
    let mut words = text.split(' ').peekable();
    let mut result = String::with_capacity(text.len());
    while let Some(word) = words.next() {
        result.push_str(word);
        if let Some(next) = words.peek() {
            if word == "a" && next.starts_with(['a', 'e', 'i', 'o', 'u']) {
                result.push('n');
            }
            result.push(' ');
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles() {
        assert_eq!(with_articles("a orange ring on a blue one"), "an orange ring on a blue one");
        assert_eq!(with_articles("a"), "a");
    }
}
