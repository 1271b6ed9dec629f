//! Statuses of answers: single ones, ranges, and arrays of both.

use crate::entry::{Entry, Kind, whole};
use crate::form::Form;
use crate::problem::Wrong;

const STATUSES_MAX: usize = 32;
const EXAMPLE: &str = "for example 200, \"200-399\" or [200, \"300-399\", 401]";

/// The statuses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// From 200.
    pub first: u16,
    /// Up to 599, and not below the first.
    pub last: u16,
}

/// One, a range, or several.
#[derive(Clone, Copy)]
pub(crate) struct Statuses;

impl Form<Vec<StatusRange>> for Statuses {
    fn kind(&self) -> &'static str {
        "status, range or array of both"
    }

    fn limits(&self) -> String {
        format!("each 200–599, at most {STATUSES_MAX}")
    }

    fn show(&self, value: &Vec<StatusRange>) -> String {
        format!("{value:?}")
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Vec<StatusRange>> {
        if !entry.value.get_ref().is_array() {
            return read_one(entry).map(|range| vec![range]);
        }
        let elements = entry.elements("statuses", EXAMPLE)?;
        if elements.is_empty() || elements.len() > STATUSES_MAX {
            entry.note(Wrong::new(format!("must list from 1 to {STATUSES_MAX}")).help(EXAMPLE));
        }
        let mut ranges = Vec::new();
        for element in elements {
            let mut element = entry.element(element);
            ranges.extend(read_one(&mut element));
        }
        Some(ranges)
    }
}

fn read_one(entry: &mut Entry<'_, '_, '_>) -> Option<StatusRange> {
    let wrong = || Wrong::new("must be a status from 200 to 599, or a range of them").help(EXAMPLE);
    let status = |number: u16| Some(number).filter(|number| (200..=599).contains(number));
    if entry.value.get_ref().is_str() {
        return entry.value(Kind::Text, |value| {
            let text = value.as_str().unwrap_or_default();
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let number = |text: &str| text.parse().ok().and_then(status);
            let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
            range.map(|(first, last)| StatusRange { first, last }).ok_or_else(wrong)
        });
    }
    entry.value(Kind::Whole, |value| {
        let number = whole(value).and_then(|number| u16::try_from(number).ok()).and_then(status);
        number.map(|number| StatusRange { first: number, last: number }).ok_or_else(wrong)
    })
}
