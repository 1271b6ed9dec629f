//! The account that replicas run as, found by its name before anything is started.

use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::DriverError;

/// Another account than the balancer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    ids: Ids,
    name: String,
    home: PathBuf,
}

/// What the kernel knows of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ids {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account of this name, or with this number, and its own group unless another one is named. Only root
    /// may start a process as somebody else.
    pub fn find(user: &str, group: Option<&str>) -> Result<Self, DriverError> {
        if !geteuid().is_root() {
            let what = format!(
                "user = \"{user}\" needs a balancer that runs as root: nobody else can start a process as another account; start it as root, or leave `user` out"
            );
            return Err(DriverError::new(what));
        }
        let account = find_user(user)?;
        let gid = match group {
            Some(group) => find_group(group)?,
            None => account.as_ref().map(|account| account.gid.as_raw()).ok_or_else(|| {
                DriverError::new(format!(
                    "user = \"{user}\" is in no list of accounts, so its group is not known; add group = …"
                ))
            })?,
        };
        let number = || user.parse().map_err(|_| unknown("user", user));
        let uid = account.as_ref().map_or_else(number, |account| Ok(account.uid.as_raw()))?;
        let (name, home) = match account {
            Some(account) => (account.name, account.dir),
            None => (user.to_owned(), PathBuf::from("/")),
        };
        Ok(Self { ids: Ids { uid, gid }, name, home })
    }

    pub(super) fn ids(&self) -> Ids {
        self.ids
    }

    /// Its variables.
    pub(super) fn variables(&self) -> [(&'static str, String); 3] {
        let home = self.home.to_string_lossy().into_owned();
        [("HOME", home), ("USER", self.name.clone()), ("LOGNAME", self.name.clone())]
    }
}

impl Ids {
    /// Has a command run as this account, in its one group and no further ones.
    pub(super) fn apply_to(self, command: &mut Command) {
        command.gid(self.gid).uid(self.uid);
    }
}

/// Nothing if it is a number that no account has.
fn find_user(user: &str) -> Result<Option<User>, DriverError> {
    let named = User::from_name(user).map_err(|error| unreadable("user", user, error))?;
    match (named, user.parse()) {
        (None, Ok(uid)) => {
            User::from_uid(Uid::from_raw(uid)).map_err(|error| unreadable("user", user, error))
        }
        (None, Err(_)) => Err(unknown("user", user)),
        (named, _) => Ok(named),
    }
}

fn find_group(group: &str) -> Result<u32, DriverError> {
    let named = Group::from_name(group).map_err(|error| unreadable("group", group, error))?;
    let number = || group.parse().map(Gid::from_raw).map_err(|_| unknown("group", group));
    named.map_or_else(number, |group| Ok(group.gid)).map(Gid::as_raw)
}

fn unknown(key: &str, name: &str) -> DriverError {
    let made = if key == "user" { "useradd --system" } else { "groupadd --system" };
    DriverError::new(format!(
        "{key} = \"{name}\": this machine has no such {key}; make it ({made} {name}), or name another one"
    ))
}

fn unreadable(key: &str, name: &str, error: nix::Error) -> DriverError {
    DriverError::caused(format!("{key} = \"{name}\" cannot be looked up"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_name_or_number_and_only_for_root() {
        if !geteuid().is_root() {
            let refused = Account::find("root", None).unwrap_err().in_full();
            assert!(refused.contains("needs a balancer that runs as root"), "{refused}");
            return;
        }
        let by_name = Account::find("root", None).unwrap();
        assert_eq!(by_name, Account::find("0", None).unwrap());
        assert_eq!(by_name.ids, Ids { uid: 0, gid: 0 });
        assert_eq!(Account::find("root", Some("4711")).unwrap().ids.gid, 4711);
        let numbered = Account::find("4711", Some("0")).unwrap();
        assert_eq!((numbered.ids, numbered.name.as_str()), (Ids { uid: 4711, gid: 0 }, "4711"));
        for (user, group, word) in [
            ("no-such-user", None, "useradd --system no-such-user"),
            ("root", Some("no-such-group"), "groupadd --system no-such-group"),
            ("4711", None, "add group"),
        ] {
            let refused = Account::find(user, group).unwrap_err().in_full();
            assert!(refused.contains(word), "{refused}");
        }
    }
}
