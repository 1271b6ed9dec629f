//! How a key of the file is declared: once, with all that is to be known of it. Whoever walks over the
//! keys (to read a file, to describe it, to compare two) is a [`Keys`]. Nothing is read here.

use std::fmt::Debug;

use crate::form::Form;
use crate::only::Only;

/// When a key that was changed in the file has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// When a service begins for the first time; what runs is not concerned.
    Beginning,
    /// With `evenkeel deploy`, which replaces the replicas.
    Deploy,
    /// When the balancer is started anew.
    Restart,
}

/// One key: a value of the form `F`.
#[derive(Clone, Debug)]
pub(crate) struct Key<F> {
    pub(crate) name: &'static str,
    pub(crate) form: F,
    pub(crate) about: About,
}

/// A key that is a table with keys of its own, or an array of such tables.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// As the documents write it, for example `[service.drain]`.
    pub(crate) title: &'static str,
    pub(crate) about: About,
}

/// What is to be known of a key beside its name and form.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// What it means, for the documentation.
    pub(crate) says: &'static str,
    pub(crate) effect: Effect,
    /// What the documentation says of its type, its default and its limits, where that is not (only)
    /// what follows from its form and its field.
    pub(crate) kind: Option<&'static str>,
    pub(crate) default: Told,
    pub(crate) limits: Told,
    /// Who has this key, if not every service.
    pub(crate) only: Option<Only>,
    /// Whether its value means something even where it does not belong.
    pub(crate) is_always_judged: bool,
    /// Its name in earlier versions, which is refused with a hint.
    pub(crate) formerly: Option<&'static str>,
}

/// What the documentation says in a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    /// What the code says.
    AsIs,
    /// What the code says, and more.
    And(&'static str),
    /// Something that the code has no value for.
    Instead(&'static str),
}

/// Who walks over the keys of a table, in the order of the documentation. What is walked over comes
/// with the field that it fills.
pub(crate) trait Keys: Sized {
    /// A value.
    fn key<T: Debug, F: Form<T>>(&mut self, key: Key<F>, it: &mut T);

    /// A table within this one, whose keys `walk` names.
    fn table(&mut self, table: Table, walk: impl FnOnce(&mut Self));

    /// A table that makes a difference by being there.
    fn optional<L: Level>(&mut self, table: Table, it: &mut Option<L>);

    /// An array of tables; `example` helps those who have written something else.
    fn tables<L: Level>(&mut self, table: Table, example: &'static str, it: &mut Vec<L>);

    /// Whether a key that has been walked over is absent or right.
    fn is_sound(&self, _name: &str) -> bool {
        true
    }
}

/// What a table fills that is there any number of times.
pub(crate) trait Level {
    /// What it is without any key.
    fn blank() -> Self;

    /// Names its keys.
    fn walk(&mut self, keys: &mut impl Keys);
}

impl About {
    fn new(says: &'static str) -> Self {
        Self {
            says,
            effect: Effect::Restart,
            kind: None,
            default: Told::AsIs,
            limits: Told::AsIs,
            only: None,
            is_always_judged: true,
            formerly: None,
        }
    }
}

impl<F> Key<F> {
    /// A key that has an effect when the balancer starts.
    pub(crate) fn new(name: &'static str, form: F, says: &'static str) -> Self {
        Self { name, form, about: About::new(says) }
    }

    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        self.about.effect = effect;
        self
    }

    pub(crate) fn kind(mut self, kind: &'static str) -> Self {
        self.about.kind = Some(kind);
        self
    }

    pub(crate) fn default(mut self, default: Told) -> Self {
        self.about.default = default;
        self
    }

    pub(crate) fn limits(mut self, limits: Told) -> Self {
        self.about.limits = limits;
        self
    }

    /// Elsewhere it is refused, and a wrong value of it as well, so that one run finds both.
    pub(crate) fn only(mut self, only: Only) -> Self {
        self.about.only = Some(only);
        self
    }

    /// Elsewhere it is refused, and of its value no more is checked than the type: what is right for an
    /// algorithm is nothing that another could say.
    pub(crate) fn only_judged_by(mut self, only: Only) -> Self {
        self.about.is_always_judged = false;
        self.only(only)
    }
}

impl Table {
    pub(crate) fn new(name: &'static str, title: &'static str, says: &'static str) -> Self {
        let about = About { kind: Some("table"), default: Told::Instead(""), ..About::new(says) };
        Self { name, title, about }
    }

    pub(crate) fn kind(mut self, kind: &'static str) -> Self {
        self.about.kind = Some(kind);
        self
    }

    pub(crate) fn default(mut self, default: &'static str) -> Self {
        self.about.default = Told::Instead(default);
        self
    }

    pub(crate) fn limits(mut self, limits: &'static str) -> Self {
        self.about.limits = Told::Instead(limits);
        self
    }

    pub(crate) fn formerly(mut self, name: &'static str) -> Self {
        self.about.formerly = Some(name);
        self
    }
}
