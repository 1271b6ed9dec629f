//! Bodies of the admin API and of the contract, whatever they hold.

use std::fmt::Debug;
use std::time::Duration;

use admin::Verb;
use api::{DeployShape, EditShape, ExplainShape, PauseShape, Problem, ScaleShape};
use fleet::{Edit, ReplicaName};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest pause that anybody gets, as the documentation has it.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// A refusal goes to a terminal or into a log: it does not repeat whole bodies.
const WORDS_MAX: usize = 1024;

/// Every body of the admin API is what an endpoint takes, and the same when it is written and read again, or
/// refused with 400 in a few words; what is taken keeps the promises of an edit.
pub fn admin_json(data: &[u8]) {
    if let Some(shape) = read::<EditShape>(data) {
        check_edit(admin::addition(&shape));
        check_edit(admin::removal(&shape));
    }
    read::<ScaleShape>(data);
    read::<DeployShape>(data);
    if let Some(shape) = read::<PauseShape>(data) {
        match admin::pause_length(&shape) {
            Ok(length) => assert!(!length.is_zero() && length <= PAUSE_MAX, "{length:?}"),
            Err(problem) => check_problem(&problem),
        }
    }
    read::<ExplainShape>(data);
}

/// A body of the contract is an edit that keeps its promises, or refused in words; and both verbs agree.
pub fn contract_body(data: &[u8]) {
    let read = [Verb::Add, Verb::Remove].map(|verb| admin::contract_edit(verb, data));
    match &read {
        [Ok(add @ Edit::Add { count, names }), Ok(remove @ Edit::Remove { count: fewer, names: gone })] => {
            assert_eq!((count, names), (fewer, gone));
            assert!(names.len() <= *count as usize);
            check_names(add);
            check_names(remove);
        }
        [Err(add), Err(remove)] => {
            assert!(!add.is_empty() && !remove.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

fn read<T: DeserializeOwned + Serialize + Debug>(data: &[u8]) -> Option<T> {
    match admin::parse_json::<T>(data) {
        Ok(shape) => {
            let text = serde_json::to_vec(&shape).expect("a shape is JSON");
            let again = admin::parse_json::<T>(&text).expect("what was written is read");
            assert_eq!(serde_json::to_vec(&again).expect("a shape is JSON"), text, "{shape:?}");
            Some(shape)
        }
        Err(problem) => {
            check_problem(&problem);
            None
        }
    }
}

fn check_problem(problem: &Problem) {
    assert_eq!(problem.status, 400);
    assert!(!problem.detail.is_empty());
    assert!(problem.detail.len() <= WORDS_MAX, "{} bytes", problem.detail.len());
}

fn check_edit(edit: Result<Edit, Problem>) {
    match edit {
        Ok(edit) => check_names(&edit),
        Err(problem) => check_problem(&problem),
    }
}

fn check_names(edit: &Edit) {
    let (Edit::Add { count, names } | Edit::Remove { count, names }) = edit else { panic!("{edit:?}") };
    assert!(*count >= 1);
    for name in names {
        assert_eq!(ReplicaName::parse(name.as_str()).as_ref(), Ok(name));
    }
}
