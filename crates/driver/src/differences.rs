//! Which keys of two recipes differ, and nothing of their values.

use std::collections::BTreeMap;

/// The keys whose values differ, by their names in the configuration.
#[derive(Default)]
pub(crate) struct Differences(Vec<String>);

impl Differences {
    /// Notes a key whose two values are not the same.
    pub(crate) fn note<T: PartialEq>(mut self, key: &str, one: &T, other: &T) -> Self {
        if one != other {
            self.0.push(key.to_owned());
        }
        self
    }

    /// Notes each variable that differs, and nothing of its value.
    pub(crate) fn note_variables(
        mut self,
        one: &BTreeMap<String, String>,
        other: &BTreeMap<String, String>,
    ) -> Self {
        let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
        let differing = names.filter(|name| one.get(*name) != other.get(*name));
        self.0.extend(differing.map(|name| format!("env.{name}")));
        self
    }

    /// Their names.
    pub(crate) fn keys(self) -> Vec<String> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_differ_by_name_and_nothing_of_their_values_is_shown() {
        let variables = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let one = variables(&[("A", "1"), ("B", "2"), ("C", "3")]);
        let other = variables(&[("B", "2"), ("C", "s3cret"), ("D", "4")]);
        let keys = Differences::default().note_variables(&one, &other).note("image", &1, &2).keys();
        assert_eq!(keys, ["env.A", "env.C", "env.D", "image"]);
        assert!(Differences::default().note_variables(&one, &one).note("port", &1, &1).keys().is_empty());
    }
}
