//! What files say about clients: listeners, limits, timeouts, the access log.

use proxy::{AccessLogDestination, AccessLogFormat, TlsVersion};

use super::full::FULL;
use super::*;

/// The settings of a file with these lines and a service.
fn with_service(lines: &str) -> Settings {
    accept(&format!("{lines}\n[[service]]\nname = \"web\""))
}

#[test]
fn relative_paths_begin_at_the_folder_of_the_file() {
    let settings =
        accept(&FULL.replace("\"/var/lib/evenkeel\"", "\"state\"")).in_folder(Path::new("/etc/lb"));
    let files = &settings.listeners[0].tls.as_ref().unwrap();
    assert_eq!(settings.state_dir, Some("/etc/lb/state".into()));
    assert_eq!(files.certificates[0].certificate, Path::new("/etc/lb/shop.pem"));
    assert_eq!(files.certificates[0].key, Path::new("/etc/shop.key"));
    assert_eq!(files.client_authority, Some("/etc/lb/clients.pem".into()));
    let expected = AccessLogDestination::File("/etc/lb/access.log".into());
    assert_eq!(settings.access_log.unwrap().destination, expected);
}

#[test]
fn the_plain_listener_may_be_left_out_where_there_is_another() {
    let other = "[[listener]]\naddress = \"127.0.0.1:5000\"\n";
    let settings = with_service(other);
    assert_eq!(settings.listen, None);
    assert_eq!(settings.all_listeners(), settings.listeners);
    let both = with_service(&format!("listen = \"127.0.0.1:5002\"\n{other}"));
    let ports: Vec<u16> = both.all_listeners().iter().map(|listener| listener.address.port()).collect();
    assert_eq!(ports, [5002, 5000]);
    assert!(settings.listeners[0].tls.is_none() && !settings.listeners[0].proxy_protocol);
}

#[test]
fn defaults_of_tls_and_of_the_access_log() {
    let tls = |lines: &str| {
        let listener = "[[listener]]\naddress = \"127.0.0.1:443\"\n[listener.tls]\ncertificates = [{ certificate = \"a\", key = \"b\" }]\n";
        with_service(&format!("{listener}{lines}")).listeners.remove(0).tls.unwrap()
    };
    let plain = tls("");
    assert_eq!((plain.client_authority, plain.is_client_certificate_required), (None, false));
    assert_eq!(plain.oldest_version, TlsVersion::Tls12);
    assert!(tls("client_authority = \"c\"").is_client_certificate_required);
    assert_eq!(with_service("").access_log, None);
    let log = with_service("[access_log]").access_log.unwrap();
    assert_eq!((log.format, log.destination), (AccessLogFormat::Json, AccessLogDestination::Stdout));
    let stderr = with_service("[access_log]\nto = \"stderr\"").access_log.unwrap();
    assert_eq!(stderr.destination, AccessLogDestination::Stderr);
    let named_so = with_service("[access_log]\nto = \"./stdout\"").access_log.unwrap();
    assert_eq!(named_so.destination, AccessLogDestination::File("./stdout".into()));
}

#[test]
fn a_small_head_makes_the_request_line_small_too() {
    let head = with_service("[limits]\nhead = \"8KiB\"").clients.head;
    assert_eq!((head.request_line_max, head.head_max), (8 << 10, 8 << 10));
}

#[test]
fn trusted_proxies_are_compared_by_the_plain_form_of_their_address() {
    let forms =
        "trusted_proxies = [\"10.1.2.3\", \"::ffff:10.1.2.4\", \"::ffff:10.2.0.0/112\", \"0.0.0.0/0\"]";
    let expected = ["10.1.2.3/32", "10.1.2.4/32", "10.2.0.0/16", "0.0.0.0/0"];
    let expected = expected.map(|range| range.parse().unwrap());
    assert_eq!(with_service(forms).clients.trusted_proxies, expected);
}

/// The rows of the documentation that give a default which a file could hold.
#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let documentation = include_str!("../../../../docs/configuration.md");
    let mut text = String::new();
    let mut count = 0;
    for section in [
        "## The top of the file",
        "## `[limits]`",
        "## `[timeouts]`",
        "## `[[service]]`",
        "### `[service.timeouts]`",
        "### `[service.heartbeat]`",
        "### `[service.responses]`",
        "### `[service.deploy]`",
        "### `[service.drain]`",
    ] {
        let (_, after) = documentation.split_once(&format!("\n{section}\n")).expect(section);
        let header = section.trim_matches(['#', ' ', '`']);
        if header.starts_with('[') {
            text += &format!("{header}\n");
        }
        if section == "## `[[service]]`" {
            text += "name = \"web\"\n";
        }
        let rows =
            after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        for row in rows.skip(2) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let (key, default) =
                (cells[1].trim_matches('`'), cells[3].split(';').next().unwrap().trim_matches('`'));
            if format!("{key} = {default}").parse::<toml::Table>().is_ok() {
                text += &format!("{key} = {default}\n");
                count += 1;
            }
        }
    }
    let mut expected = Settings::demo();
    expected.contract = false;
    assert_eq!(accept(&text), expected, "{text}");
    assert!(count > 30, "only {count} defaults were found:\n{text}");
}
