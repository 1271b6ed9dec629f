//! The text forms of single values: what the file says in a string, and what it means. Each
//! function is pure; what it finds wrong is worded to follow the name of the key.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use driver::PortRange;
use fleet::Address;
use http::HeaderName;
use ipnet::{IpNet, Ipv4Net};
use proxy::{AccessLogDestination, KeyRule, Protocol, RateKey};

use crate::entry::{DURATION_HELP, SIZE_HELP};
use crate::problem::Wrong;
use crate::source::ContractSource;
use crate::suggest;

/// Those below are for who has more rights than replicas.
const PORT_MIN: u16 = 1024;
/// What every container engine on Linux knows, real-time signals left out.
const SIGNALS: [&str; 11] = [
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGABRT",
    "SIGPWR", "SIGCONT",
];
const REALM_MAX: usize = 64;
const COOKIE_NAME_CHARS_MAX: usize = 64;

pub(crate) type Parsed<T> = Result<T, Wrong>;

/// What is said of a value that has not the right form.
pub(crate) fn must_be(form: &str, text: &str) -> Wrong {
    Wrong::new(format!("must be {form}; {text:?} is not"))
}

/// What replicas speak.
pub(crate) fn protocol(text: &str) -> Parsed<Protocol> {
    let protocols = [Protocol::Http1, Protocol::H2c];
    let names = protocols.map(|protocol| shown_protocol(&protocol));
    let chosen = protocols.into_iter().find(|protocol| shown_protocol(protocol) == text);
    chosen.ok_or_else(|| {
        let help = if text.contains('2') {
            // The nearest word to "http2" would be the wrong one.
            "\"h2c\" is HTTP/2 without TLS".to_owned()
        } else {
            suggest::help(text, &names.each_ref().map(String::as_str), '"')
        };
        Wrong::new(format!("cannot be {text:?}")).help(help)
    })
}

/// A protocol as it is written.
pub(crate) fn shown_protocol(protocol: &Protocol) -> String {
    match protocol {
        Protocol::Http1 => "http1".to_owned(),
        Protocol::H2c => "h2c".to_owned(),
    }
}

/// An IP address and a port.
pub(crate) fn socket_address(text: &str) -> Parsed<SocketAddr> {
    let help = "for example \"127.0.0.1:5000\", or \"0.0.0.0:5000\" for every interface";
    text.parse().map_err(|_| must_be("an IP address and a port", text).help(help))
}

/// A socket address, or `unix:` and a path.
pub(crate) fn admin_address(text: &str) -> Parsed<Address> {
    let help = "for example \"127.0.0.1:5001\" or \"unix:/run/evenkeel/admin.sock\"";
    let Some(path) = text.strip_prefix("unix:") else {
        let wrong = || must_be("an IP address and a port, or \"unix:\" and a path", text).help(help);
        return text.parse().map(Address::Tcp).map_err(|_| wrong());
    };
    Address::unix(Path::new(path)).map_err(|_| {
        let without = if path.contains(char::is_control) { " without control characters" } else { "" };
        let form = format!("\"unix:\" and a path of 1 to {} bytes{without}", Address::UNIX_PATH_BYTES_MAX);
        must_be(&form, text).help(help)
    })
}

/// Where a replica listens that somebody else runs.
pub(crate) fn replica_address(text: &str) -> Parsed<Address> {
    let help = "for example \"127.0.0.1:9001\" or \"unix:/run/app.sock\"";
    let form = if text.starts_with("unix:") {
        let longest = Address::UNIX_PATH_BYTES_MAX;
        format!("\"unix:\" and a path of 1 to {longest} bytes without control characters")
    } else {
        "an IP address and a port, or \"unix:\" and a path".to_owned()
    };
    text.parse().map_err(|_| must_be(&form, text).help(help))
}

/// A directory on this machine.
pub(crate) fn directory(text: &str) -> Parsed<PathBuf> {
    path(text, "the path of a directory")
}

/// A file on this machine.
pub(crate) fn file(text: &str) -> Parsed<PathBuf> {
    path(text, "the path of a file")
}

/// What passwords are for, in words for browsers, which stand between quotes in a header.
pub(crate) fn realm(text: &str) -> Parsed<String> {
    let is_harmless = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    let is_realm = (1..=REALM_MAX).contains(&text.len()) && text.bytes().all(is_harmless);
    let form = "1 to 64 printable ASCII characters without \" and \\";
    is_realm.then(|| text.to_owned()).ok_or_else(|| must_be(form, text))
}

fn path(text: &str, form: &str) -> Parsed<PathBuf> {
    let is_path = !text.is_empty() && !text.contains('\0');
    is_path.then(|| PathBuf::from(text)).ok_or_else(|| must_be(form, text))
}

/// Where the access log goes.
pub(crate) fn log_destination(text: &str) -> Parsed<AccessLogDestination> {
    match text {
        "stdout" => return Ok(AccessLogDestination::Stdout),
        "stderr" => return Ok(AccessLogDestination::Stderr),
        _ => {}
    }
    if let Some(near) = suggest::nearest(text, &["stdout", "stderr"]).filter(|_| !text.contains('/')) {
        let help = format!("did you mean \"{near}\"? A file of this name is \"./{text}\"");
        return Err(Wrong::new(format!("cannot be {text:?}")).help(help));
    }
    path(text, "\"stdout\", \"stderr\" or the path of a file").map(AccessLogDestination::File)
}

/// A destination as it is written.
pub(crate) fn shown_log_destination(destination: &AccessLogDestination) -> String {
    match destination {
        AccessLogDestination::Stdout => "stdout".to_owned(),
        AccessLogDestination::Stderr => "stderr".to_owned(),
        AccessLogDestination::File(path) => path.display().to_string(),
    }
}

/// An IP address, or a range of them.
pub(crate) fn address_range(text: &str) -> Parsed<IpNet> {
    let help = "for example \"10.0.0.0/8\", \"192.0.2.7\" or \"::1\"";
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    let range = address.ok().or_else(|| text.parse().ok());
    let range = range.ok_or_else(|| must_be("an IP address, or a range of them", text).help(help))?;
    // Whoever is trusted by mistake may claim to be anybody.
    if range.addr() != range.network() {
        let help = format!("perhaps \"{}\"", range.trunc());
        return Err(must_be("a range that begins with its own first address", text).help(help));
    }
    Ok(as_ipv4(range).unwrap_or(range))
}

/// Where clients of the contract's endpoints are.
pub(crate) fn contract_source(text: &str) -> Parsed<ContractSource> {
    if text == ContractSource::GATEWAY {
        return Ok(ContractSource::Gateway);
    }
    address_range(text).map(ContractSource::Network)
}

/// Clients of both kinds are compared by the plain form of their address.
fn as_ipv4(range: IpNet) -> Option<IpNet> {
    let IpNet::V6(range) = range else { return None };
    let length = range.prefix_len().checked_sub(96)?;
    Some(IpNet::V4(Ipv4Net::new(range.addr().to_ipv4_mapped()?, length).ok()?))
}

/// Who owns containers on a shared host.
pub(crate) fn owner(text: &str) -> Parsed<String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    let form = "1 to 63 characters of A-Z, a-z, 0-9 and \"_.:-\", the first a letter or digit";
    let owner = named(text, 1..=63, is_legal, form)?;
    // It is the name of a folder, too.
    owner.starts_with(|c: char| c.is_ascii_alphanumeric()).then_some(owner).ok_or_else(|| must_be(form, text))
}

/// The name of a service.
pub(crate) fn service_name(text: &str) -> Parsed<String> {
    let form = "1 to 32 characters of a-z, 0-9 and \"-\", the first no \"-\"";
    let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.starts_with('-') { Err(must_be(form, text)) } else { named(text, 1..=32, is_legal, form) }
}

/// The name of an account or of a group, or its number.
pub(crate) fn account(text: &str) -> Parsed<String> {
    let form = "1 to 256 characters without spaces, colons and control characters";
    named(text, 1..=256, |c| !c.is_control() && !c.is_whitespace() && c != ':', form)
}

/// The same, and maybe a group behind a colon.
pub(crate) fn account_and_group(text: &str) -> Parsed<String> {
    let form = "an account, or an account and a group as in \"app:staff\"";
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let is_right = account(user).is_ok() && group.is_none_or(|group| account(group).is_ok());
    is_right.then(|| text.to_owned()).ok_or_else(|| must_be(form, text))
}

/// The name of an environment variable.
pub(crate) fn variable(text: &str) -> Parsed<String> {
    let form = "1 to 256 characters without \"=\" and control characters";
    named(text, 1..=256, |c| !c.is_control() && c != '=', form)
}

/// What a seat is hashed by.
pub(crate) fn seat_name(text: &str) -> Parsed<String> {
    named(text, 1..=256, |c| !c.is_control(), "1 to 256 characters without control characters")
}

/// The name of a container network.
pub(crate) fn network(text: &str) -> Parsed<String> {
    let form = "1 to 128 characters of A-Z, a-z, 0-9 and \"_.-\", a letter or digit first";
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.starts_with(['_', '.', '-']) {
        return Err(must_be(form, text));
    }
    named(text, 1..=128, is_legal, form)
}

/// The name of an image.
pub(crate) fn image(text: &str) -> Parsed<String> {
    let is_legal = |c: char| c.is_ascii_graphic();
    named(text, 1..=512, is_legal, "the name of an image")
        .map_err(|wrong| wrong.help("for example \"evenkeel-replica\" or \"example.org/shop:1.4\""))
}

fn named(
    text: &str,
    lengths: RangeInclusive<usize>,
    is_legal: impl Fn(char) -> bool,
    form: &str,
) -> Parsed<String> {
    let length = text.chars().count();
    let fits = lengths.contains(&length) && text.chars().all(is_legal);
    fits.then(|| text.to_owned()).ok_or_else(|| must_be(form, text))
}

/// What requests are counted by.
pub(crate) fn rate_key(text: &str) -> Parsed<RateKey> {
    match (text, text.strip_prefix("header:")) {
        ("client", _) => Ok(RateKey::Client),
        ("key", _) => Ok(RateKey::Key),
        ("service", _) => Ok(RateKey::Service),
        (_, Some(name)) => {
            let name = name.parse::<HeaderName>().map(RateKey::Header);
            name.map_err(|_| must_be("\"header:\" and the name of a header", text))
        }
        (_, None) => {
            let known = ["client", "header:NAME", "key", "service"];
            Err(Wrong::new(format!("cannot be {text:?}")).help(suggest::help(text, &known, '"')))
        }
    }
}

/// What requests are counted by, as it is written.
pub(crate) fn shown_rate_key(key: &RateKey) -> String {
    match key {
        RateKey::Client => "client".to_owned(),
        RateKey::Header(name) => format!("header:{name}"),
        RateKey::Key => "key".to_owned(),
        RateKey::Service => "service".to_owned(),
    }
}

/// What requests are placed by.
pub(crate) fn key_rule(text: &str) -> Parsed<KeyRule> {
    let (kind, name) = match text.split_once(':') {
        Some((kind, name)) => (kind, Some(name)),
        None => (text, None),
    };
    match (kind, name) {
        ("random", None) => Ok(KeyRule::Random),
        ("path", None) => Ok(KeyRule::Path),
        ("client-ip", None) => Ok(KeyRule::ClientIp),
        ("header", Some(name)) => match name.parse::<HeaderName>() {
            Ok(name) => Ok(KeyRule::Header(name)),
            Err(_) => Err(must_be("\"header:\" and the name of a header", text)),
        },
        ("cookie", Some(name)) if is_token(name) => Ok(KeyRule::Cookie(name.to_owned())),
        ("cookie", Some(_)) => Err(must_be("\"cookie:\" and the name of a cookie", text)),
        ("query", Some("")) => Err(must_be("\"query:\" and the name of a parameter", text)),
        ("query", Some(name)) => Ok(KeyRule::Query(name.to_owned())),
        (_, name) => {
            let name = name.filter(|name| !name.is_empty()).unwrap_or("NAME");
            let named = ["header", "cookie", "query"].map(|kind| format!("{kind}:{name}"));
            let known = ["random", "path", "client-ip", &named[0], &named[1], &named[2]];
            Err(Wrong::new(format!("cannot be {text:?}")).help(suggest::help(text, &known, '"')))
        }
    }
}

/// A key rule as it is written.
pub(crate) fn shown_key_rule(rule: &KeyRule) -> String {
    match rule {
        KeyRule::Random => "random".to_owned(),
        KeyRule::Path => "path".to_owned(),
        KeyRule::ClientIp => "client-ip".to_owned(),
        KeyRule::Header(name) => format!("header:{name}"),
        KeyRule::Cookie(name) => format!("cookie:{name}"),
        KeyRule::Query(name) => format!("query:{name}"),
    }
}

/// The name of a cookie of ours.
pub(crate) fn cookie_name(text: &str) -> Parsed<String> {
    if is_token(text) && text.len() <= COOKIE_NAME_CHARS_MAX {
        return Ok(text.to_owned());
    }
    Err(must_be("the name of a cookie", text).help("for example \"seat\": letters, digits, `-` and `_`"))
}

/// A token as RFC 9110 defines it, which is what a cookie's name is.
fn is_token(text: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_legal)
}

/// A duration with its unit.
pub(crate) fn duration(text: &str) -> Parsed<Duration> {
    humantime::parse_duration(text).map_err(|_| must_be("a duration", text).help(DURATION_HELP))
}

/// A size with its unit, in bytes.
pub(crate) fn size(text: &str) -> Parsed<u64> {
    let wrong = || must_be("a size", text).help(SIZE_HELP);
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (count, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1000 * 1000,
        "MiB" => 1 << 20,
        "GB" => 1000 * 1000 * 1000,
        "GiB" => 1 << 30,
        _ => return Err(wrong().help("the units are B, kB, KiB, MB, MiB, GB and GiB; the number is whole")),
    };
    // What does not fit is above every limit there is.
    count.parse::<u64>().map(|count| count.saturating_mul(unit)).map_err(|_| wrong())
}

/// A size in the largest unit that it is a whole number of.
pub(crate) fn shown_size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fitting = units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    let (unit, bytes_each) = fitting.unwrap_or(("B", 1));
    format!("{}{unit}", bytes / bytes_each)
}

/// A duration in the largest unit that it is a whole number of.
pub(crate) fn shown_duration(duration: Duration) -> String {
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let millis = duration.as_millis();
    let fitting = units.into_iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
    match fitting {
        Some((unit, millis_each)) => format!("{}{unit}", millis / millis_each),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

/// `FIRST-LAST`.
pub(crate) fn port_range(text: &str) -> Parsed<PortRange> {
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port >= PORT_MIN);
    let range = text.split_once('-').and_then(|(first, last)| number(first).zip(number(last)));
    let range = range.filter(|(first, last)| first <= last).map(|(first, last)| PortRange { first, last });
    let form =
        format!("two ports from {PORT_MIN} on with a \"-\" between them, the first not above the second");
    range.ok_or_else(|| must_be(&form, text).help("for example \"20000-29999\""))
}

/// A signal by its name.
pub(crate) fn signal(text: &str) -> Parsed<String> {
    if SIGNALS.contains(&text) {
        return Ok(text.to_owned());
    }
    let spelled = text.to_ascii_uppercase();
    let spelled = if spelled.starts_with("SIG") { spelled } else { format!("SIG{spelled}") };
    Err(must_be("the name of a signal", text).help(suggest::help(&spelled, &SIGNALS, '"')))
}
