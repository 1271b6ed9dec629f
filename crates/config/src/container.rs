//! The forms of what containers have beside: what is legal in a volume, a limit of the kernel or a label, and how
//! it is written. Where things are on this machine is not looked at.

pub(crate) mod tables;

use std::net::IpAddr;

use driver::{Device, Source, Tmpfs, Volume};

use crate::problem::Wrong;
use crate::suggest;
use crate::value::{Parsed, must_be};

/// What the labels begin with that say which containers are ours.
const OWN_LABELS: &str = "evenkeel.";
const NAME_CHARS_MAX: usize = 256;
const TMPFS_OPTIONS: [&str; 10] =
    ["exec", "gid=", "mode=", "nodev", "noexec", "nosuid", "ro", "rw", "size=", "uid="];

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

/// The value of a label, or what a logging driver is told.
pub(crate) fn table_value(text: &str) -> Parsed<()> {
    let is_fine = !text.contains('\0');
    is_fine.then_some(()).ok_or_else(|| Wrong::new("must have no NUL characters"))
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

#[cfg(test)]
mod tests;
