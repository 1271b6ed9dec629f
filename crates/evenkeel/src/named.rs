//! What the configuration names by its file: variables of replicas, and secrets. They are read when a service begins
//! and at each deployment, and what is wrong with them is told without what stands in them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use config::{DriverChoice, ServiceSettings, Settings};
use driver::DriverError;
use rustix::fs::{Mode, OFlags};

/// A larger file holds no variables.
const ENV_FILE_BYTES_MAX: u64 = 1 << 20;
/// What the engine's own secrets may have.
const SECRET_BYTES_MAX: u64 = 500 << 10;

/// Whether all that it names is there and can be understood.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    for service in &settings.services {
        let secrets = match &service.driver {
            DriverChoice::Docker { secrets: named, .. } => secrets(named).map(drop),
            DriverChoice::Process { .. } | DriverChoice::Static { .. } | DriverChoice::Files { .. } => Ok(()),
        };
        let all = environment(service).and(secrets);
        all.map_err(|error| format!("error: service '{}': {}", service.name, error.in_full()))?;
    }
    Ok(())
}

/// The variables of a service: those of its files, the later one before the earlier one, and before them all those
/// that the configuration has itself.
pub(crate) fn environment(service: &ServiceSettings) -> Result<BTreeMap<String, String>, DriverError> {
    let mut variables = BTreeMap::new();
    for path in &service.env_files {
        let bytes = read(path, ENV_FILE_BYTES_MAX);
        let bytes =
            bytes.map_err(|error| DriverError::caused(format!("env_file {}", path.display()), error))?;
        let wrong = |line: usize, why: &str| {
            let place = if line == 0 { String::new() } else { format!(":{line}") };
            DriverError::new(format!("env_file {}{place}: {why}", path.display()))
        };
        let text = String::from_utf8(bytes).map_err(|_| wrong(0, "it is not UTF-8 text"))?;
        for (index, line) in text.lines().enumerate() {
            let variable = variable(line).map_err(|why| wrong(index + 1, &why))?;
            variables.extend(variable.map(|Variable { name, value }| (name, value)));
        }
    }
    if let Some(name) = service.reserved_variables().find(|name| variables.contains_key(*name)) {
        return Err(DriverError::new(format!(
            "env_file: `{name}` is not yours to set, the balancer sets it"
        )));
    }
    variables.extend(service.env.clone());
    Ok(variables)
}

/// What secrets hold, by their names.
pub(crate) fn secrets(paths: &BTreeMap<String, String>) -> Result<BTreeMap<String, Vec<u8>>, DriverError> {
    let secret = |(name, path): (&String, &String)| {
        let bytes = read(Path::new(path), SECRET_BYTES_MAX);
        let bytes = bytes.map_err(|error| DriverError::caused(format!("secrets.{name}: {path}"), error))?;
        Ok((name.clone(), bytes))
    };
    paths.iter().map(secret).collect()
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // A pipe would be waited for without end, and here is not.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

#[derive(Debug, PartialEq, Eq)]
struct Variable {
    name: String,
    value: String,
}

/// A line of a file of variables, as Compose reads it, but that nothing is put in place of `$NAME`.
fn variable(line: &str) -> Result<Option<Variable>, String> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line
        .split_once('=')
        .ok_or("it is no NAME=VALUE; a variable of the balancer itself is named in `env` or `inherit`")?;
    let name = name.trim();
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("there is no name of a variable before the `=`".to_owned());
    }
    let value = value_of(value.trim()).map_err(|why| format!("`{name}`: {why}"))?;
    if value.contains('\0') {
        return Err(format!("`{name}` must be without NUL characters"));
    }
    Ok(Some(Variable { name: name.to_owned(), value }))
}

fn value_of(text: &str) -> Result<String, &'static str> {
    if let Some(rest) = text.strip_prefix('\'') {
        let (inner, behind) = rest.split_once('\'').ok_or("a quote is not closed on its line")?;
        return only_a_comment(behind).map(|()| inner.to_owned());
    }
    if let Some(rest) = text.strip_prefix('"') {
        return quoted(rest);
    }
    let end = text.find(" #").unwrap_or(text.len());
    let value = text[..end].trim_end();
    refuse_names(value)?;
    Ok(value.to_owned())
}

/// What stands between double quotes, with what a backslash means there.
fn quoted(text: &str) -> Result<String, &'static str> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                refuse_names(&text[..at])?;
                return only_a_comment(&text[at + 1..]).map(|()| value);
            }
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, escaped @ ('"' | '\\' | '$'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => {}
            },
            other => value.push(other),
        }
    }
    Err("a quote is not closed on its line")
}

fn only_a_comment(behind: &str) -> Result<(), &'static str> {
    let behind = behind.trim();
    let is_one = behind.is_empty() || behind.starts_with('#');
    is_one.then_some(()).ok_or("something stands behind the quote")
}

/// Compose would put another value in its place, and nobody wants to find out by a password.
fn refuse_names(value: &str) -> Result<(), &'static str> {
    let mut before = ' ';
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let is_name =
            characters.peek().is_some_and(|next| next.is_ascii_alphabetic() || "_{".contains(*next));
        if character == '$' && before != '\\' && is_name {
            return Err(
                "nothing is put in place of `$NAME` here; for the characters themselves write the value in single quotes",
            );
        }
        before = character;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_compose_reads_it() {
        for (line, expected) in [
            ("", Ok("")),
            ("  # A=b", Ok("")),
            ("A=b", Ok("A=b")),
            ("export A = b # why", Ok("A=b")),
            ("A=b#c", Ok("A=b#c")),
            ("A=", Ok("A=")),
            ("A=x=y", Ok("A=x=y")),
            ("A='b $C \\n' # why", Ok("A=b $C \\n")),
            ("A=\"b\\n\\\"c\\\" \\$D\"", Ok("A=b\n\"c\" $D")),
            ("A=p$5", Ok("A=p$5")),
            ("A", Err("no NAME=VALUE")),
            ("=b", Err("no name of a variable")),
            ("A B=c", Err("no name of a variable")),
            ("A=$B", Err("`A`: nothing is put in place of `$NAME`")),
            ("A=\"${B}\"", Err("in single quotes")),
            ("A='b", Err("not closed")),
            ("A=\"b", Err("not closed")),
            ("A='b'c", Err("behind the quote")),
        ] {
            let told = variable(line).map(|variable| {
                variable.map(|Variable { name, value }| format!("{name}={value}")).unwrap_or_default()
            });
            match (told, expected) {
                (Ok(told), Ok(expected)) => assert_eq!(told, expected, "{line}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{line}: {why}"),
                (told, expected) => panic!("{line}: {told:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn files_are_named_with_their_line_and_their_values_are_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.env");
        let text = format!(
            "[[service]]\nname = \"web\"\nenv = {{ B = \"file\" }}\nenv_file = [{:?}]",
            path.display().to_string()
        );
        let service = config::parse(&text, "evenkeel.toml").unwrap().services.remove(0);
        let told = |text: &str| {
            fs::write(&path, text).unwrap();
            environment(&service).map_err(|error| error.in_full())
        };
        let variables = told("A=1\nB=2\n").unwrap();
        assert_eq!((variables["A"].as_str(), variables["B"].as_str()), ("1", "file"));
        let error = told("A=1\nTOKEN=\"s3cret").unwrap_err();
        assert!(error.contains("app.env:2: `TOKEN`") && !error.contains("s3cret"), "{error}");
        assert!(told("PORT=1").unwrap_err().contains("`PORT` is not yours to set"));
        fs::remove_file(&path).unwrap();
        assert!(environment(&service).unwrap_err().in_full().contains("app.env: No such file"));
        let many = BTreeMap::from([("x".to_owned(), folder.path().display().to_string())]);
        assert!(secrets(&many).unwrap_err().in_full().contains("it is not a file"));
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(
            environment(&service).unwrap_err().in_full().contains("app.env: it is not a file"),
            "it is a pipe"
        );
    }
}
