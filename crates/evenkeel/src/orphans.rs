//! Orphans, where we are the first process of a container: whatever loses its parent there becomes a child of
//! ours, and stays in the list of processes for ever unless somebody takes notice of its end.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, getpid, waitpid};

/// How often it is looked for those that have ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes notice of orphans that have ended, again and again, if we are the first process. Whom we have started
/// is looked after by its driver, much sooner than one look comes after the other.
pub(crate) async fn bury() {
    if getpid() != Pid::INIT {
        return;
    }
    let mut seen = BTreeSet::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let ended = ended_children();
        for pid in seen.intersection(&ended).filter_map(|pid| Pid::from_raw(*pid)) {
            // Somebody else may have been faster.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        seen = ended;
    }
}

/// The children of ours that have ended and of which nobody has taken notice.
fn ended_children() -> BTreeSet<i32> {
    let own = getpid().as_raw_nonzero().get();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has_ended = |pid: &i32| {
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = line.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut fields = fields.split_whitespace();
        fields.next() == Some("Z") && fields.next().and_then(|parent| parent.parse().ok()) == Some(own)
    };
    pids.filter(has_ended).collect()
}
