//! Files that a rule about a path leads to and does not cover: what is asked at `/admin` is not asked at `/admin.html`,
//! which a folder may have for the one as for the other. Said at the start and by `evenkeel validate`.

use config::{DriverChoice, ServiceSettings, Settings};
use proxy::{Folder, PathPattern, Protection};

/// How many paths are named in a warning.
const NAMED_MAX: usize = 4;

/// What is to be said of all services.
pub(crate) fn warnings(settings: &Settings) -> Vec<String> {
    settings.services.iter().filter_map(of_service).collect()
}

fn of_service(service: &ServiceSettings) -> Option<String> {
    let DriverChoice::Files { folder } = &service.driver else { return None };
    let locations = &service.policies.locations;
    let guarded = locations.iter().filter(|location| keeps_out(&location.protection));
    let mut open: Vec<String> = Vec::new();
    for location in guarded {
        let others = others(folder, &location.path);
        open.extend(others.into_iter().filter(|path| !locations.iter().any(|one| one.path.path() == path)));
    }
    if open.is_empty() {
        return None;
    }
    let more = open.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = open[..open.len().min(NAMED_MAX)].join(", ");
    Some(format!(
        "service '{}': what its locations ask is not asked at {named}{more}, where their files are as well (suffixes, \
         precompressed): give these a location, too, or keep such files in a folder whose path has one",
        service.name
    ))
}

/// Whether somebody may not come there.
fn keeps_out(protection: &Protection) -> bool {
    let Protection { networks, needs_certificate, basic_auth, forward_auth, .. } = protection;
    networks.is_some() || *needs_certificate || basic_auth.is_some() || forward_auth.is_some()
}

/// The other paths of the file that a location may be about.
fn others(folder: &Folder, pattern: &PathPattern) -> Vec<String> {
    let path = match pattern {
        PathPattern::Prefix(path) => path.trim_end_matches('/'),
        PathPattern::Exact(path) => path,
    };
    if path.is_empty() || path.ends_with('/') {
        return Vec::new();
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    // What has an ending is the file itself, and what has none is a folder or means one with a suffix.
    let is_file = name.contains('.');
    let longer = folder.suffixes.iter().filter(|_| !is_file).map(|suffix| format!("{path}{suffix}"));
    let mut others: Vec<String> = longer.collect();
    let files = if is_file { vec![path.to_owned()] } else { others.clone() };
    for coding in &folder.precompressed {
        others.extend(files.iter().map(|file| format!("{file}{}", coding.ending())));
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_had_past_a_location_are_told() {
        let told = |keys: &str, locations: &[&str]| {
            let locations = locations.iter().map(|location| format!("[[service.location]]\n{location}\n"));
            let locations: String = locations.collect();
            let text = format!(
                "[[service]]\nname = \"site\"\ndriver = \"files\"\nroot = \"/srv\"\n{keys}\n{locations}"
            );
            warnings(&config::parse(&text, "evenkeel.toml").unwrap()).join("\n")
        };
        let (suffixes, gzip) = ("suffixes = [\".html\"]", "precompressed = [\"gzip\"]");
        let both = format!("{suffixes}\n{gzip}");
        let admin = "path = \"/admin\"\nbasic_auth = \"x\"";
        for (keys, locations, expected) in [
            (suffixes, &[admin][..], "at /admin.html, where"),
            (&both, &[admin], "at /admin.html, /admin.html.gz, where"),
            (gzip, &["path = \"=/a/b.pdf\"\nallow = [\"10.0.0.0/8\"]"], "at /a/b.pdf.gz, where"),
            (suffixes, &["path = \"/admin/\"\ndeny = [\"192.0.2.1\"]"], "at /admin.html, where"),
            (suffixes, &[admin, "path = \"=/admin.html\"\nbasic_auth = \"x\""], ""),
            (gzip, &[admin], ""),
            ("", &[admin], ""),
            (suffixes, &["path = \"/admin\"\nmax_body = \"1B\""], ""),
            (suffixes, &["path = \"/\"\nbasic_auth = \"x\""], ""),
            (suffixes, &["path = \"=/a/\"\nbasic_auth = \"x\""], ""),
        ] {
            let told = told(keys, locations);
            assert!(
                told.contains(expected) && told.is_empty() == expected.is_empty(),
                "{locations:?}: {told}"
            );
        }
    }
}
