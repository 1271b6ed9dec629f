//! The sources of every room, and where in a room a path leads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Where a file stands in its room: `["plan", "rollout"]`; nothing for the root.
pub(crate) type Module = Vec<String>;

/// One file.
pub(crate) struct Source {
    pub(crate) room: String,
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Whether it only tests.
    pub(crate) is_test: bool,
}

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file of Rust in every room.
pub(crate) fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join("crates"), &mut files);
    assert!(files.len() > 50, "the sources are not where this test looks for them");
    files.sort();
    files.into_iter().map(|path| read(&path)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let path = path.strip_prefix(root().join("crates")).unwrap().to_owned();
    let room = path.iter().next().unwrap().to_str().unwrap().to_owned();
    let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
    Source { room, path, text, is_test }
}

impl Source {
    /// Its code.
    pub(crate) fn syntax(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    /// Its place in its room; nothing if it belongs to no room's own code.
    pub(crate) fn module(&self) -> Option<Module> {
        let within = self.path.strip_prefix(&self.room).unwrap().strip_prefix("src").ok()?;
        let mut module: Module =
            within.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        (!self.is_test).then_some(module)
    }
}

/// The files of one room, by their places.
pub(crate) struct Room {
    pub(crate) files: BTreeMap<Module, syn::File>,
    /// By file: names that it hands on, and where they come from.
    handed_on: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Room {
    pub(crate) fn new(name: &str, sources: &[Source]) -> Self {
        let of_room = sources.iter().filter(|source| source.room == name);
        let files: BTreeMap<_, _> =
            of_room.filter_map(|source| Some((source.module()?, source.syntax()))).collect();
        let handed_on = files.iter().map(|(module, file)| (module.clone(), handed_on(file))).collect();
        Self { files, handed_on }
    }

    /// The files whose items a file uses, each with the path that leads there.
    pub(crate) fn imports(&self, module: &Module) -> BTreeMap<Module, String> {
        let mut paths = Paths::default();
        paths.visit_file(&self.files[module]);
        let mut imports = BTreeMap::new();
        for path in paths.used {
            let Some(whole) = self.within_room(module, &path) else { continue };
            let target = self.target(whole);
            if target != *module {
                imports.insert(target, path.join("::"));
            }
        }
        imports
    }

    /// A path as it is from the root of the room; nothing if it leads out of it.
    fn within_room(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut base = module.clone();
        match path[0].as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([&base[..], &path[1..]].concat()),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                base.truncate(base.len().saturating_sub(ups));
                Some([&base[..], &path[ups..]].concat())
            }
            _ => {
                base.push(path[0].clone());
                self.files.contains_key(&base).then(|| [&module[..], path].concat())
            }
        }
    }

    /// The file that defines what a path names: names that are handed on are followed to where they
    /// come from.
    fn target(&self, mut path: Module) -> Module {
        for _ in 0..path.len() + self.files.len() {
            let depth = (0..=path.len()).rev().find(|depth| self.files.contains_key(&path[..*depth]));
            let module = path[..depth.unwrap_or(0)].to_vec();
            let Some(name) = path.get(module.len()) else { return module };
            let origin = self.handed_on.get(&module).and_then(|names| names.get(name));
            match origin.and_then(|origin| self.within_room(&module, origin)) {
                Some(origin) => path = [&origin[..], &path[module.len() + 1..]].concat(),
                None => return module,
            }
        }
        panic!("{path:?} is handed on in a ring");
    }
}

fn handed_on(file: &syn::File) -> BTreeMap<String, Module> {
    let uses = file.items.iter().filter_map(|item| match item {
        syn::Item::Use(one) if !matches!(one.vis, syn::Visibility::Inherited) => Some(&one.tree),
        _ => None,
    });
    let mut names = BTreeMap::new();
    for tree in uses {
        leaves(tree, &mut Vec::new(), &mut |name, path| {
            names.insert(name.to_owned(), path.to_vec());
        });
    }
    names
}

/// Calls `found` for each name of a use tree, and the path that it stands for.
fn leaves(tree: &syn::UseTree, path: &mut Module, found: &mut dyn FnMut(&str, &[String])) {
    match tree {
        syn::UseTree::Path(one) => {
            path.push(one.ident.to_string());
            leaves(&one.tree, path, found);
            path.pop();
        }
        syn::UseTree::Name(one) if one.ident == "self" => {
            found(&path.last().cloned().unwrap_or_default(), path);
        }
        syn::UseTree::Name(one) => {
            path.push(one.ident.to_string());
            found(&one.ident.to_string(), path);
            path.pop();
        }
        syn::UseTree::Rename(one) => {
            path.push(one.ident.to_string());
            found(&one.rename.to_string(), path);
            path.pop();
        }
        syn::UseTree::Glob(_) => found("*", path),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| leaves(item, path, found)),
    }
}

/// Every path that a file's own code names, tests aside. What it only hands on it does not use.
#[derive(Default)]
struct Paths {
    used: Vec<Module>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if matches!(item.vis, syn::Visibility::Inherited) {
            leaves(&item.tree, &mut Vec::new(), &mut |_, path| self.used.push(path.to_vec()));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.used.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }
}

/// Whether something stands under `#[cfg(test)]`.
pub(crate) fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}
