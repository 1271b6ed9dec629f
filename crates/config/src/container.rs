//! The forms of what containers have beside: what is legal in a volume, a limit of the kernel or a label, and how
//! it is written. Where things are on this machine is not looked at.

use std::collections::BTreeMap;
use std::net::IpAddr;

use driver::{Device, Gpus, Source, Tmpfs, Ulimit, Volume};

use crate::entry::{Entry, Kind, whole};
use crate::form::Form;
use crate::problem::Wrong;
use crate::suggest;
use crate::value::{Parsed, must_be};

/// What the labels begin with that say which containers are ours.
const OWN_LABELS: &str = "evenkeel.";
const NAME_CHARS_MAX: usize = 256;
const TABLE_MAX: usize = 256;
const GPUS_MAX: usize = 256;
const TMPFS_OPTIONS: [&str; 10] =
    ["exec", "gid=", "mode=", "nodev", "noexec", "nosuid", "ro", "rw", "size=", "uid="];
/// What the kernel limits, as the engine calls it.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME:PATH` or `FOLDER:PATH`, read-only with `:ro`.
pub(crate) fn volume(text: &str) -> Parsed<Volume> {
    let help = "for example \"data:/var/lib/app\" for a volume that has a name, \"./app.conf:/etc/app.conf:ro\" for a file beside \
                this one";
    let mut parts = text.split(':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next());
    let Some(target) = target else {
        let wrong = must_be("what is mounted, a colon and the path inside", text);
        return Err(wrong.help(if source.starts_with('/') {
            "a volume without a name would go with its container: give it one, as in \"data:/var/lib/app\"; for what may be lost \
             there is `tmpfs`"
        } else {
            help
        }));
    };
    let read_only = match parts.next() {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(option @ ("z" | "Z" | "ro,z" | "ro,Z")) => {
            let wrong = Wrong::new(format!(
                "has no option `{option}`: nothing on the host is given another SELinux label"
            ));
            return Err(
                wrong.help("label it by hand (chcon -Rt container_file_t), or use a volume that has a name")
            );
        }
        Some(option) => {
            let wrong = Wrong::new(format!("has no option `{option}`"));
            return Err(wrong.help("\"ro\" and \"rw\" are those that there are"));
        }
    };
    if parts.next().is_some() {
        return Err(must_be("SOURCE:TARGET or SOURCE:TARGET:ro", text).help(help));
    }
    Ok(Volume { source: volume_source(source)?, target: path_inside(target)?, read_only })
}

fn volume_source(text: &str) -> Parsed<Source> {
    if text.starts_with('~') {
        let wrong = Wrong::new(format!("cannot begin with `~`: {text:?}"));
        return Err(wrong.help("nothing goes through a shell: write the whole path"));
    }
    if text.starts_with('/')
        || text == "."
        || text == ".."
        || text.starts_with("./")
        || text.starts_with("../")
    {
        return host_path(text).map(Source::Host);
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let begins_right = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_right && (2..=NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(is_legal) {
        return Ok(Source::Named(text.to_owned()));
    }
    let help = "a path begins with \"/\", \"./\" or \"../\"; names are of A-Z, a-z, 0-9 and \"_.-\"";
    Err(Wrong::new(format!("mounts {text:?}, which is neither the name of a volume nor a path")).help(help))
}

fn host_path(text: &str) -> Parsed<String> {
    let is_path = !text.contains('\0') && text.len() < 4096;
    is_path.then(|| text.to_owned()).ok_or_else(|| must_be("a path", text))
}

/// A volume as it is written.
pub(crate) fn shown_volume(volume: &Volume) -> String {
    let (Source::Named(source) | Source::Host(source)) = &volume.source;
    let rights = if volume.read_only { ":ro" } else { "" };
    format!("{source}:{}{rights}", volume.target)
}

/// A path in a container: from its root, and in one form only, so that two can be told apart.
pub(crate) fn path_inside(text: &str) -> Parsed<String> {
    let form = "a path inside, from the root on, without \".\", \"..\" and \"//\"";
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_path = trimmed.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_plain));
    if is_path && trimmed.len() < 4096 && !trimmed.contains(|c: char| c.is_control() || ":,".contains(c)) {
        return Ok(trimmed.to_owned());
    }
    Err(must_be(form, text))
}

/// `PATH`, or `PATH:` and options as the kernel takes them.
pub(crate) fn tmpfs(text: &str) -> Parsed<Tmpfs> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    for option in options.split(',').filter(|_| !options.is_empty()) {
        let (name, value) =
            option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let name = if value.is_some() { format!("{name}=") } else { name.to_owned() };
        if !TMPFS_OPTIONS.contains(&name.as_str()) {
            let wrong = Wrong::new(format!("has no option `{option}`"));
            return Err(wrong.help(suggest::help(&name, &TMPFS_OPTIONS, '`')));
        }
        let value = value.unwrap_or("0");
        let digits = value
            .strip_suffix(['k', 'm', 'g', 'K', 'M', 'G', '%'])
            .filter(|_| name == "size=")
            .unwrap_or(value);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Wrong::new(format!("has a wrong value in `{option}`"))
                .help("for example \"/tmp:size=64m,mode=1777\""));
        }
    }
    Ok(Tmpfs { target: path_inside(target)?, options: options.to_owned() })
}

/// A folder in memory as it is written.
pub(crate) fn shown_tmpfs(tmpfs: &Tmpfs) -> String {
    let Tmpfs { target, options } = tmpfs;
    if options.is_empty() { target.clone() } else { format!("{target}:{options}") }
}

/// `NAME:ADDRESS`, also with `=`; the address may be `host-gateway`.
pub(crate) fn extra_host(text: &str) -> Parsed<String> {
    let wrong = || {
        must_be("NAME:ADDRESS", text)
            .help("for example \"db.internal:10.0.0.5\" or \"host.docker.internal:host-gateway\"")
    };
    let (name, address) = text.split_once(['=', ':']).ok_or_else(wrong)?;
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let is_address = bare == "host-gateway" || bare.parse::<IpAddr>().is_ok();
    let is_name = !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(is_legal);
    if is_name && is_address { Ok(format!("{name}:{bare}")) } else { Err(wrong()) }
}

/// `PATH`, `PATH:INSIDE` or `PATH:INSIDE:RIGHTS`.
pub(crate) fn device(text: &str) -> Parsed<Device> {
    let help = "for example \"/dev/ttyUSB0\", \"/dev/video1:/dev/video0\" or \"/dev/fuse:/dev/fuse:rw\"";
    let parts: Vec<&str> = text.split(':').collect();
    let (host, target, rights) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, target] => (host, target, "rwm"),
        [host, target, rights] => (host, target, rights),
        _ => return Err(must_be("a device, and maybe its path inside and its rights", text).help(help)),
    };
    let are_rights = !rights.is_empty() && rights.len() <= 3 && rights.chars().all(|c| "rwm".contains(c));
    if !are_rights || !host.starts_with('/') {
        return Err(must_be("a device by its path, with rights out of \"rwm\"", text).help(help));
    }
    let target = path_inside(target).map_err(|wrong| wrong.help(help))?;
    Ok(Device { host: host_path(host)?, target, rights: rights.to_owned() })
}

/// A device as it is written.
pub(crate) fn shown_device(device: &Device) -> String {
    format!("{}:{}:{}", device.host, device.target, device.rights)
}

/// The name of what keeps logs.
pub(crate) fn log_driver(text: &str) -> Parsed<String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "_.-/:".contains(c);
    let fits = (1..=NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(is_legal);
    fits.then(|| text.to_owned()).ok_or_else(|| {
        must_be("the name of a logging driver of the engine", text)
            .help("for example \"local\" or \"journald\"")
    })
}

/// The name of what a logging driver is told.
pub(crate) fn log_option(text: &str) -> Parsed<()> {
    is_plain_name(text).then_some(()).ok_or_else(|| must_be("the name of an option", text))
}

/// The name of a label that an operator gives.
pub(crate) fn label(text: &str) -> Parsed<()> {
    if text.to_ascii_lowercase().starts_with(OWN_LABELS) {
        let wrong = Wrong::new(format!(
            "cannot have `{text}`: by `{OWN_LABELS}*` the balancer knows its own containers"
        ));
        return Err(wrong.help("give it another name"));
    }
    is_plain_name(text).then_some(()).ok_or_else(|| must_be("the name of a label", text))
}

fn is_plain_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=')
}

/// A table of strings whose names are judged. Its values may be secrets.
#[derive(Clone, Copy)]
pub(crate) struct StringTable {
    pub(crate) name: fn(&str) -> Parsed<()>,
}

impl Form<BTreeMap<String, String>> for StringTable {
    fn kind(&self) -> &'static str {
        "table of strings"
    }

    fn limits(&self) -> String {
        format!("at most {TABLE_MAX}")
    }

    fn show(&self, value: &BTreeMap<String, String>) -> String {
        if value.is_empty() { "empty".to_owned() } else { format!("{value:?}") }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<BTreeMap<String, String>> {
        let table = entry.inner()?;
        refuse_more(entry, table.len(), TABLE_MAX);
        let mut pairs = BTreeMap::new();
        for (name, given) in table {
            // Who reads of a mistake beside it must not read a password.
            entry.problems.hide(given.span());
            if let Err(wrong) = (self.name)(name.get_ref()) {
                let what = format!("`{}` {}", entry.key, wrong.what);
                entry.problems.add(Some(&name.span()), Wrong { what, ..wrong });
                continue;
            }
            let read = |text: &str| match text.contains('\0') {
                true => Err(Wrong::new("must have no NUL characters")),
                false => Ok(text.to_owned()),
            };
            let mut inner = entry.named(name, given);
            let text = inner.value(Kind::Text, |value| read(value.as_str().unwrap_or_default()));
            pairs.extend(text.map(|text| (name.get_ref().clone().into_owned(), text)));
        }
        Some(pairs)
    }
}

fn refuse_more(entry: &mut Entry<'_, '_, '_>, length: usize, most: usize) {
    if length > most {
        entry.note(Wrong::new(format!("must have at most {most} entries, not {length}")));
    }
}

/// A table of limits of the kernel: each a number, or a string with the soft and the hard one.
#[derive(Clone, Copy)]
pub(crate) struct Ulimits;

impl Form<BTreeMap<String, Ulimit>> for Ulimits {
    fn kind(&self) -> &'static str {
        "table of integers and strings"
    }

    fn limits(&self) -> String {
        "each from -1 (none)".to_owned()
    }

    fn show(&self, value: &BTreeMap<String, Ulimit>) -> String {
        if value.is_empty() { "empty".to_owned() } else { format!("{value:?}") }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<BTreeMap<String, Ulimit>> {
        let table = entry.inner()?;
        let mut limits = BTreeMap::new();
        for (name, given) in table {
            let word = name.get_ref().as_ref();
            if !ULIMITS.contains(&word) {
                let wrong = Wrong::new(format!("`{}` has no `{word}`", entry.key))
                    .help(suggest::help(word, &ULIMITS, '`'));
                entry.problems.add(Some(&name.span()), wrong);
                continue;
            }
            let is_text = given.get_ref().is_str();
            let mut inner = entry.named(name, given);
            let limit = match is_text {
                true => inner.value(Kind::Text, |value| ulimit(value.as_str().unwrap_or_default())),
                false => inner.value(Kind::Whole, |value| {
                    let both = whole(value).and_then(|one| i64::try_from(one).ok()).filter(|one| *one >= -1);
                    both.map(|both| Ulimit { soft: both, hard: both }).ok_or_else(wrong_ulimit)
                }),
            };
            limits.extend(limit.map(|limit| (word.to_owned(), limit)));
        }
        Some(limits)
    }
}

fn wrong_ulimit() -> Wrong {
    let wrong =
        Wrong::new("must be a number from -1, which is none, or two of them, the first not above the second");
    wrong.help("for example nofile = 65536 or nofile = \"1024:65536\"")
}

fn ulimit(text: &str) -> Parsed<Ulimit> {
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let number =
        |text: &str| text.trim().parse().ok().filter(|number| *number >= -1_i64).ok_or_else(wrong_ulimit);
    let limit = Ulimit { soft: number(soft)?, hard: number(hard)? };
    let is_in_order = limit.hard == -1 || (limit.soft != -1 && limit.soft <= limit.hard);
    if is_in_order { Ok(limit) } else { Err(wrong_ulimit()) }
}

/// Processors for graphics: `"all"`, a number, or an array of their names.
#[derive(Clone, Copy)]
pub(crate) struct Graphics;

impl Form<Option<Gpus>> for Graphics {
    fn kind(&self) -> &'static str {
        "`\"all\"`, integer or array of strings"
    }

    fn limits(&self) -> String {
        String::new()
    }

    fn show(&self, value: &Option<Gpus>) -> String {
        match value {
            None => "none".to_owned(),
            Some(Gpus::All) => "\"all\"".to_owned(),
            Some(Gpus::Count(count)) => count.to_string(),
            Some(Gpus::Named(names)) => format!("{names:?}"),
        }
    }

    fn read(&self, entry: &mut Entry<'_, '_, '_>) -> Option<Option<Gpus>> {
        let wrong = || {
            let help = "for example gpus = \"all\", gpus = 1 or gpus = [\"GPU-3a23c669\"]";
            Wrong::new(format!("must be \"all\", a number from 1 to {GPUS_MAX}, or the names of processors"))
                .help(help)
        };
        let value = entry.value.get_ref();
        if value.is_str() {
            let all = |text: &str| if text == "all" { Ok(Gpus::All) } else { Err(wrong()) };
            return entry.value(Kind::Text, |value| all(value.as_str().unwrap_or_default())).map(Some);
        }
        if value.is_integer() {
            let fits = |count: &u32| (1..=GPUS_MAX).contains(&(*count as usize));
            let count = |given: Option<i128>| given.and_then(|it| u32::try_from(it).ok()).filter(fits);
            return entry
                .value(Kind::Whole, |value| count(whole(value)).map(Gpus::Count).ok_or_else(wrong))
                .map(Some);
        }
        let elements = entry.elements("strings", "gpus = [\"GPU-3a23c669\"]")?;
        let mut names = Vec::new();
        for element in elements {
            let name = |text: &str| if is_plain_name(text) { Ok(text.to_owned()) } else { Err(wrong()) };
            let mut element = entry.element(element);
            names.extend(element.value(Kind::Text, |value| name(value.as_str().unwrap_or_default())));
        }
        if elements.is_empty() || elements.len() > GPUS_MAX {
            entry.note(wrong());
        }
        Some(Some(Gpus::Named(names)))
    }
}

#[cfg(test)]
mod tests;
