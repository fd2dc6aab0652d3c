//! How things are said.

mod noun;
mod phrases;

use crate::{Backdrop, Colour, Description, Position, Relation, dice::Dice};

use phrases::Phrase;
pub(crate) use phrases::texts;

/// A caption and the phrases that it is made of.
#[derive(Debug, Clone)]
pub(crate) struct Caption {
    pub(crate) text: String,
    pub(crate) phrases: Vec<&'static str>,
}

/// The choices that have phrases that are held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// How the objects and the background are put together.
    Frame,
    /// How a relation or a position is put together with the objects.
    Statement,
    /// The name of a relation.
    Relation,
    /// How a list is joined.
    List,
    /// The order of the words for an object.
    Noun,
}

/// Chooses phrases and notes them.
#[derive(Debug)]
struct Chooser<'a> {
    dice: &'a mut Dice,
    held_out: Option<Slot>,
    phrases: Vec<&'static str>,
}

impl Chooser<'_> {
    /// A phrase of the table: one that is held out of training if this slot is to have one.
    fn choose(&mut self, slot: Slot, table: &[Phrase]) -> &'static str {
        self.choose_if(self.held_out == Some(slot), table)
    }

    /// A phrase that is not held out.
    fn common(&mut self, table: &[Phrase]) -> &'static str {
        self.choose_if(false, table)
    }

    fn choose_if(&mut self, held_out: bool, table: &[Phrase]) -> &'static str {
        let fitting: Vec<(usize, &'static str)> = table
            .iter()
            .filter(|phrase| phrase.held_out == held_out)
            .map(|phrase| (phrase.weight, phrase.text))
            .collect();
        let text = self.dice.weighted(&fitting);
        self.phrases.push(text);
        text
    }
}

/// A caption for the description. `held_out`: one of its phrases is one that training never sees; the background has to
/// be named then.
pub(crate) fn caption(dice: &mut Dice, description: &Description, held_out: bool) -> Caption {
    let held_out = held_out.then(|| dice.pick(&slots(description)));
    let mut chooser = Chooser { dice, held_out, phrases: Vec::new() };
    let statement = statement(&mut chooser, description);
    let frame = match description.background {
        Some(backdrop) => framed(&mut chooser, backdrop),
        None => chooser.common(phrases::BARE_FRAMES).to_owned(),
    };
    let text = frame.replace("{statement}", &statement.text).replace("{be}", be(statement.many));
    Caption { text: noun::with_articles(&text), phrases: chooser.phrases }
}

/// The slots that the description has, of which one can be held out.
fn slots(description: &Description) -> Vec<Slot> {
    let mut slots = vec![Slot::Frame];
    match (description.relation, description.position, &description.groups[..]) {
        (Some(relation), ..) => {
            slots.push(Slot::Statement);
            if matches!(relation, Relation::LeftOf | Relation::RightOf | Relation::Inside) {
                slots.push(Slot::Relation);
            }
        }
        (None, Some(_), _) => slots.push(Slot::Statement),
        (None, None, [_, _, _, ..]) => slots.push(Slot::List),
        (None, None, [group]) if group.count > 1 => slots.push(Slot::Noun),
        _ => {}
    }
    slots
}

/// A frame with its background filled in.
fn framed(chooser: &mut Chooser<'_>, backdrop: Backdrop) -> String {
    let mut frame = chooser.choose(Slot::Frame, phrases::FRAMES).to_owned();
    for (gap, table) in [
        ("{background}", phrases::backgrounds(backdrop.texture)),
        ("{complement}", phrases::complements(backdrop.texture)),
    ] {
        if frame.contains(gap) {
            let colour = match backdrop.colour {
                Colour::Gray => chooser.common(phrases::GRAY),
                colour => colour.name(),
            };
            let background = chooser.common(table).replace("{colour}", colour);
            frame = frame.replace(gap, &background);
        }
    }
    frame
}

/// What is said of the objects, and whether its verb is in the plural.
#[derive(Debug)]
struct Statement {
    text: String,
    many: bool,
}

fn statement(chooser: &mut Chooser<'_>, description: &Description) -> Statement {
    let groups = &description.groups[..];
    let many = groups.first().is_some_and(|group| group.count > 1);
    match (description.relation, description.position, groups) {
        (Some(relation), _, [first, second, ..]) => {
            let many_second = second.count > 1;
            let table = if chooser.held_out == Some(Slot::Relation) {
                // One that has a gap for it.
                phrases::RELATED
            } else {
                phrases::related(relation, many_second)
            };
            let template = chooser.choose(Slot::Statement, table);
            let is_about_second = template.starts_with("{second}");
            let text = template.replace("{be}", be(many));
            let text = text.replace("{first}", &noun::noun(chooser, first));
            let text = text.replace("{second}", &noun::noun(chooser, second));
            let text = if text.contains("{relation}") {
                let relation = chooser.choose(Slot::Relation, phrases::relations(relation));
                text.replace("{relation}", relation)
            } else {
                text
            };
            Statement { text, many: if is_about_second { many_second } else { many } }
        }
        (None, Some(position), [group, ..]) => {
            let template = chooser.choose(Slot::Statement, phrases::PLACED);
            let text = template
                .replace("{be}", be(many))
                .replace("{first}", &noun::noun(chooser, group))
                .replace("{position}", &place(chooser, position));
            Statement { text, many }
        }
        (_, _, [group]) => Statement { text: noun::only(chooser, group), many },
        _ => {
            let mut text = chooser.choose(Slot::List, phrases::lists(groups.len())).to_owned();
            for (gap, group) in ["{1}", "{2}", "{3}", "{4}"].iter().zip(groups) {
                text = text.replace(gap, &noun::noun(chooser, group));
            }
            Statement { text, many }
        }
    }
}

/// A position, with its preposition.
fn place(chooser: &mut Chooser<'_>, position: Position) -> String {
    chooser.common(phrases::places(position)).replace("{position}", position.name())
}

fn be(many: bool) -> &'static str {
    if many { "are" } else { "is" }
}
