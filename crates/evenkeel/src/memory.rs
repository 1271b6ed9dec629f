//! How much memory there is, and how much of it clients may make us keep.

use std::fs;
use std::path::Path;

/// Replicas live on the same machine, and so do others: an eighth of it, but no less than what some
/// thousand connections need and no more than any flood is worth.
const SHARE: u64 = 8;
const LEAST: u64 = 128 << 20;
const MOST: u64 = 2 << 30;

/// The most that clients may make us keep, in bytes: what was asked for, or else a share of what there is.
pub(crate) fn max(asked_for: Option<u64>) -> u64 {
    asked_for.unwrap_or_else(|| share(of_machine().into_iter().chain(of_group()).min()))
}

fn share(there_is: Option<u64>) -> u64 {
    there_is.map_or(LEAST, |bytes| (bytes / SHARE).clamp(LEAST, MOST))
}

fn of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the control group and those around it may have.
fn of_group() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folders = Path::new("/sys/fs/cgroup").join(name);
    let limit = |folder: &Path| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok();
    folders.ancestors().take_while(|folder| folder.starts_with("/sys/fs/cgroup")).filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_an_eighth_unless_something_else_is_asked_for() {
        for (there_is, expected) in
            [(Some(256 << 20), LEAST), (Some(4 << 30), 512 << 20), (Some(1 << 40), MOST), (None, LEAST)]
        {
            assert_eq!(share(there_is), expected, "{there_is:?}");
        }
        assert_eq!(max(Some(7)), 7);
        assert!((LEAST..=MOST).contains(&max(None)));
        assert!(of_machine().is_some(), "every Linux says it");
    }
}
