//! The table of the admin API in the documentation is the one that the routes tell.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use api::Route;

const BEGIN: &str = "<!-- routes: begin -->\n";
const END: &str = "<!-- routes: end -->\n";

fn table() -> String {
    let mut table = String::from("| request | role | body | what it does |\n|---|---|---|---|\n");
    for endpoint in Route::ALL.map(Route::endpoint) {
        let (method, path) = (endpoint.method.as_str(), endpoint.path);
        let role = endpoint.role.as_str();
        let body = if endpoint.example.is_empty() { "–".into() } else { format!("`{}`", endpoint.example) };
        table += &format!("| `{method} {path}` | {role} | {body} | {} |\n", endpoint.says);
    }
    table
}

#[test]
fn the_documentation_has_the_routes_that_there_are() {
    let documentation = include_str!("../../../docs/operation.md");
    let (_, rest) = documentation.split_once(BEGIN).expect("docs/operation.md has a mark where they begin");
    let (written, _) = rest.split_once(END).expect("docs/operation.md has a mark where they end");
    assert!(written == table(), "docs/operation.md should have, between its marks:\n\n{}", table());
}
