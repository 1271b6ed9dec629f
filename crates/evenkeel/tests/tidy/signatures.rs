//! What functions take, and what the words of the house name: no tuple hides how many parameters there
//! are, and the core words name one type each.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use syn::visit::{self, Visit};

use crate::house::sources;

/// Words that name one type in all rooms.
const CORE_NAMES: [&str; 7] = ["Seat", "Event", "Claim", "Verdict", "Failure", "Replica", "Service"];

#[test]
fn no_tuple_hides_how_many_parameters_there_are() {
    let mut found = String::new();
    for source in sources() {
        let mut tuples = Tuples { path: &source.path, function: String::new(), found: &mut found };
        tuples.visit_file(&source.syntax());
    }
    assert!(found.is_empty(), "tuples as parameters; make them a struct with names:\n{found}");
}

struct Tuples<'a> {
    path: &'a Path,
    function: String,
    found: &'a mut String,
}

impl<'ast> Visit<'ast> for Tuples<'_> {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.function = signature.ident.to_string();
        visit::visit_signature(self, signature);
    }

    fn visit_fn_arg(&mut self, argument: &'ast syn::FnArg) {
        if let syn::FnArg::Typed(one) = argument
            && (matches!(*one.pat, syn::Pat::Tuple(_)) || is_tuple(&one.ty))
        {
            let _ = writeln!(self.found, "{}: {}", self.path.display(), self.function);
        }
    }

    // Under another name it is a tuple still.
    fn visit_item_type(&mut self, alias: &'ast syn::ItemType) {
        let is_row_of_cases = self.path.iter().any(|part| part == "tests");
        if is_tuple(&alias.ty) && !is_row_of_cases {
            let _ = writeln!(self.found, "{}: type {}", self.path.display(), alias.ident);
        }
    }
}

/// Whether values of a type are tuples, or references to some. The empty one holds nothing back.
fn is_tuple(of: &syn::Type) -> bool {
    match of {
        syn::Type::Tuple(tuple) => !tuple.elems.is_empty(),
        syn::Type::Reference(reference) => is_tuple(&reference.elem),
        syn::Type::Paren(inner) => is_tuple(&inner.elem),
        _ => false,
    }
}

#[test]
fn a_core_word_names_one_type() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources().iter().filter(|source| source.module().is_some()) {
        for item in &source.syntax().items {
            let name = match item {
                syn::Item::Struct(one) => &one.ident,
                syn::Item::Enum(one) => &one.ident,
                syn::Item::Trait(one) => &one.ident,
                syn::Item::Type(one) => &one.ident,
                _ => continue,
            };
            places.entry(name.to_string()).or_default().push(source.path.display().to_string());
        }
    }
    for name in CORE_NAMES {
        let places = places.get(name).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(places.len(), 1, "{name} is to name one type: {places:?}");
    }
}

#[test]
fn tuples_are_seen_through_references_and_aliases() {
    let cases = [
        ("fn f(a: u8, b: Option<(u8, u8)>, c: &[(u8, u8)], d: ()) {}", 0),
        ("fn f((a, b): (u8, u8)) {}", 1),
        ("fn f(a: (u8, u8)) {}", 1),
        ("impl X { fn f(&self, a: &mut (u8, u8), (b, c): Pair) {} }", 2),
        ("trait X { fn f(&self, a: &(u8, u8)); }", 1),
        ("type Pair = (u8, u8);", 1),
    ];
    for (code, count) in cases {
        let mut found = String::new();
        let mut tuples = Tuples { path: Path::new("x.rs"), function: String::new(), found: &mut found };
        tuples.visit_file(&syn::parse_file(code).unwrap());
        assert_eq!(found.lines().count(), count, "{code}: {found}");
    }
}
