//! The lines of a password file, as `htpasswd` writes them: a name, a colon, a hash. A file with a line that cannot
//! be right is refused as a whole, with the number of that line: who is left out by mistake, or let in by an older
//! line, would be found out late.

use std::collections::HashMap;
use std::sync::Arc;

use super::hash::Hash;

/// More than these are no file for this.
const USERS_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 255;

/// Those whom a password file names.
pub(super) struct Users {
    /// In the order of their lines.
    all: Vec<User>,
    /// Their places in it.
    by_name: HashMap<Arc<str>, usize>,
}

struct User {
    name: Arc<str>,
    /// Where it stands in the file, from 1 on.
    line: usize,
    hash: Hash,
}

/// A line that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    /// From 1 on.
    pub(super) number: usize,
    pub(super) problem: String,
}

impl Users {
    pub(super) fn parse(text: &[u8]) -> Result<Self, BadLine> {
        let mut users = Self { all: Vec::new(), by_name: HashMap::new() };
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() && !line.starts_with(b"#") {
                users.add(line, number).map_err(|problem| BadLine { number, problem })?;
            }
        }
        Ok(users)
    }

    fn add(&mut self, line: &[u8], number: usize) -> Result<(), String> {
        let line = str::from_utf8(line).map_err(|_| "it is not UTF-8 text")?;
        let (name, rest) = line.split_once(':').ok_or("it has no colon between a name and a hash")?;
        check_name(name)?;
        // What stands behind another colon is a remark.
        let hash = rest.split(':').next().unwrap_or_default().trim_ascii_end();
        let hash = Hash::parse(hash).map_err(|what| {
            format!("{name:?} has {what}; a new line for it is written by: htpasswd -nB -C 10 {name:?}")
        })?;
        let name: Arc<str> = name.into();
        if let Some(other) = self.by_name.insert(Arc::clone(&name), self.all.len()) {
            let line = self.all[other].line;
            return Err(format!("{name:?} has a line already, line {line}; remove one of them"));
        }
        self.all.push(User { name, line: number, hash });
        if self.all.len() > USERS_MAX {
            return Err(format!("there are more than {USERS_MAX} names"));
        }
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The name, if the password is that of the name. Who has a name that is not there waits for as long as
    /// somebody who has one: for the one whom `chance` picks, always the same for a name.
    pub(super) fn examine(&self, name: &[u8], password: &[u8], chance: u64) -> Option<Arc<str>> {
        let place = str::from_utf8(name).ok().and_then(|name| self.by_name.get(name)).copied();
        let decoy = (chance % self.all.len().max(1) as u64) as usize;
        let user = self.all.get(place.unwrap_or(decoy))?;
        let is_right = user.hash.is_of(password);
        (is_right && place.is_some()).then(|| Arc::clone(&user.name))
    }

    /// Whose passwords are soon guessed by who has the file, and why, a line each.
    pub(super) fn weak(&self) -> Vec<String> {
        let weak = |user: &User| Some(format!("line {}, {}", user.line, user.hash.weakness()?));
        self.all.iter().filter_map(weak).collect()
    }
}

/// It stands in a header later, and in the log.
fn check_name(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        "there is no name before the colon"
    } else if name.len() > NAME_BYTES_MAX {
        "the name is too long"
    } else if name.chars().any(char::is_control) {
        "the name has a control character in it"
    } else if name.trim() != name {
        "the name begins or ends with a space"
    } else {
        return Ok(());
    };
    Err(problem.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";

    #[test]
    fn names_have_their_passwords_and_nobody_elses() {
        let file = format!(
            "# staff\r\n\nalice:{SECRET}:a remark\r\nb\u{e4}r:$2y$04$tU1okL/m50PUg7hh97tRq.kraixRs4zpcsErJNQOhOrsx90NFNm0.\n"
        );
        let users = Users::parse(file.as_bytes()).unwrap();
        assert_eq!(users.count(), 2);
        for (name, password, expected) in [
            ("alice", "secret", Some("alice")),
            ("b\u{e4}r", "secret", Some("b\u{e4}r")),
            ("alice", "", None),
            ("Alice", "secret", None),
            ("mallory", "secret", None),
            ("", "secret", None),
        ] {
            for chance in 0..4 {
                let found = users.examine(name.as_bytes(), password.as_bytes(), chance);
                assert_eq!(found.as_deref(), expected, "{name} {password}");
            }
        }
        assert_eq!(users.examine(b"\xff", b"secret", 0), None);
        assert_eq!(users.weak(), ["line 3, SHA-1 without salt", "line 4, bcrypt with cost 4"]);
        let nobody = Users::parse(b"# nobody\n").unwrap();
        assert_eq!((nobody.count(), nobody.examine(b"alice", b"secret", 7)), (0, None));
    }

    #[test]
    fn a_line_that_cannot_be_right_is_named() {
        let long = format!("{}:{SECRET}", "a".repeat(256));
        for (text, number, part) in [
            ("alice", 1, "no colon"),
            (
                "\n\nalice:",
                3,
                "\"alice\" has no hash; a new line for it is written by: htpasswd -nB -C 10 \"alice\"",
            ),
            ("alice:secret", 1, "a scheme that is not known"),
            ("alice:$apr1$cYJFAHa1$doH27oSnocq7ChwR9lEI30", 1, "apr1 (MD5), which is not supported"),
            (&format!(":{SECRET}"), 1, "no name"),
            (&format!(" alice:{SECRET}"), 1, "begins or ends with a space"),
            (&format!("al\tice:{SECRET}"), 1, "control character"),
            (&format!("alice:{SECRET}\nalice:{SECRET}"), 2, "has a line already, line 1"),
            (&long, 1, "too long"),
        ] {
            let BadLine { number: told, problem } = Users::parse(text.as_bytes()).err().unwrap();
            assert!(told == number && problem.contains(part), "{text}: {told}, {problem}");
            assert!(!problem.contains("doH27") && !problem.contains("secret"), "{problem}");
        }
        assert_eq!(Users::parse(b"a\xff:x").err().unwrap().problem, "it is not UTF-8 text");
    }
}
