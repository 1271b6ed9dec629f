//! What a replica gets of the balancer's own environment: a short list that programs need to find their
//! way, and what the operator names. Everything else may be a secret of ours, and stays here.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;

use super::account::Account;

/// Passed on without being asked: where programs and files are, and how people write.
const PASSED: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ"];

/// Those of them that speak of the balancer's account.
const OF_ACCOUNT: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];

/// The variables of replicas that run as this account, or as our own, with those that are `named` further.
pub(super) fn variables(account: Option<&Account>, named: &[String]) -> BTreeMap<String, OsString> {
    let is_passed = |name: &&str| account.is_none() || !OF_ACCOUNT.contains(name);
    let passed = PASSED.iter().copied().filter(is_passed).map(str::to_owned);
    let own = passed.chain(named.iter().cloned()).filter_map(|name| Some((name.clone(), env::var_os(name)?)));
    let mut variables: BTreeMap<String, OsString> = own.collect();
    for (name, value) in account.iter().flat_map(|account| account.variables()) {
        variables.entry(name.to_owned()).or_insert_with(|| value.into());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_and_what_is_named_is_passed_on() {
        let usual = variables(None, &[]);
        assert_eq!(usual.get("PATH"), env::var_os("PATH").as_ref());
        assert!(usual.keys().all(|name| PASSED.contains(&name.as_str())), "{usual:?}");
        // Set by Cargo for every test.
        let named = variables(None, &["CARGO_PKG_NAME".to_owned(), "NO_SUCH_VARIABLE".to_owned()]);
        assert_eq!(named.get("CARGO_PKG_NAME").and_then(|value| value.to_str()), Some("driver"));
        assert_eq!(named.len(), usual.len() + 1);
    }
}
