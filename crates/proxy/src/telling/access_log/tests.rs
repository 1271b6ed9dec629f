//! The log against files that move, disks that are full and pipes that nobody reads.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::line::{Ending, HttpVersion};
use super::settings::AccessLogDestination;
use super::*;

/// How long any wait of these tests may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn start(path: &Path) -> AccessLog {
    let destination = AccessLogDestination::File(path.to_path_buf());
    AccessLog::start(&AccessLogSettings { format: AccessLogFormat::Common, destination }).unwrap()
}

fn record(recorder: &Recorder, target: &str) {
    recorder.record(&Entry {
        time: SystemTime::now(),
        client: "192.0.2.7".parse().unwrap(),
        peer: "192.0.2.7:12345".parse().unwrap(),
        is_tls: false,
        certificate: None,
        user: None,
        method: b"GET",
        target: target.as_bytes(),
        version: HttpVersion::Http11,
        host: None,
        referer: None,
        user_agent: None,
        request_id: None,
        service: Some("web"),
        replica: None,
        attempts: 1,
        waited: Duration::ZERO,
        limit: None,
        policy: None,
        failure: None,
        status: 200,
        bytes_sent: 7,
        duration: Duration::from_millis(1),
        ending: Ending::Complete,
    });
}

/// Waits until it is so.
#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to be");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The targets in a file, in the order in which they are there.
fn targets(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(target).collect()
}

fn target(line: &str) -> String {
    line.split(' ').nth(6).unwrap_or(line).to_string()
}

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

fn read_all(mut pipe: File) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

#[test]
fn lines_of_several_workers_are_all_written_by_the_end() {
    let folder = folder();
    let path = folder.path().join("access.log");
    let log = start(&path);
    let work = |worker: usize| {
        let recorder = log.recorder();
        move || (0..1000).for_each(|index| record(&recorder, &format!("/{worker}/{index}")))
    };
    let workers: Vec<_> = (0..3).map(|worker| thread::spawn(work(worker))).collect();
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(log.finish(PATIENCE));
    let targets = targets(&path);
    for worker in 0..3 {
        let prefix = format!("/{worker}/");
        let own: Vec<_> = targets.iter().filter(|target| target.starts_with(&prefix)).collect();
        assert!(own.iter().enumerate().all(|(index, target)| **target == format!("{prefix}{index}")));
        assert_eq!(own.len(), 1000);
    }
    assert_eq!((log.written(), log.dropped()), (3000, 0));
    let late = log.recorder();
    record(&late, "/late");
    drop(late);
    assert_eq!((log.written(), log.dropped()), (3000, 1), "what comes too late is counted");
}

#[tokio::test]
async fn a_line_is_written_within_a_second() {
    let folder = folder();
    let path = folder.path().join("access.log");
    let log = start(&path);
    let recorder = log.recorder();
    record(&recorder, "/only");
    let began = Instant::now();
    let written = async {
        while log.written() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = recorder.flush_regularly() => (),
        () = written => (),
        () = tokio::time::sleep(PATIENCE) => (),
    }
    assert_eq!(targets(&path), ["/only"]);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_nobody_and_every_line_is_accounted_for() {
    let folder = folder();
    let path = folder.path().join("pipe");
    make_pipe(&path);
    let holding = thread::spawn({
        let path = path.clone();
        move || File::open(path).unwrap()
    });
    let log = start(&path);
    let pipe = holding.join().unwrap();
    let recorder = log.recorder();
    let recorded = 200_000;
    let mut slowest = Duration::ZERO;
    for _ in 0..recorded {
        let began = Instant::now();
        record(&recorder, "/x");
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "a request waited {slowest:?} for the log");
    assert!(log.dropped() > 0);
    drop(recorder);
    assert!(!log.finish(Duration::from_millis(20)), "the writer is stuck, and that is said in time");

    let reading = read_all(pipe);
    assert!(log.finish(PATIENCE));
    let text = reading.join().unwrap();
    assert!(text.lines().all(|line| target(line) == "/x"), "a line is torn");
    assert_eq!(text.lines().count() as u64, log.written());
    assert_eq!(log.written() + log.dropped(), recorded);
}

#[test]
fn a_pipe_without_a_reader_is_opened_when_one_comes() {
    let folder = folder();
    let path = folder.path().join("pipe");
    make_pipe(&path);
    let log = start(&path);
    let recorder = log.recorder();
    record(&recorder, "/early");
    drop(recorder);
    let mut pipe = File::open(&path).unwrap();
    assert!(log.finish(PATIENCE));
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    assert_eq!(target(&text), "/early");
}

#[test]
fn a_broken_pipe_is_counted_and_heals() {
    let folder = folder();
    let path = folder.path().join("pipe");
    make_pipe(&path);
    let reader = thread::spawn({
        let path = path.clone();
        move || drop(File::open(path).unwrap())
    });
    let log = start(&path);
    reader.join().unwrap();
    let recorder = log.recorder();
    record(&recorder, "/lost");
    recorder.flush();
    wait_until(|| log.dropped() == 1);
    let mut pipe = File::open(&path).unwrap();
    record(&recorder, "/found");
    drop(recorder);
    assert!(log.finish(PATIENCE));
    let mut text = String::new();
    pipe.read_to_string(&mut text).unwrap();
    assert_eq!(target(&text), "/found");
    assert_eq!((log.written(), log.dropped()), (1, 1));
}

#[test]
fn a_line_that_was_torn_does_not_spoil_the_next() {
    let folder = folder();
    let path = folder.path().join("pipe");
    make_pipe(&path);
    let holding = thread::spawn({
        let path = path.clone();
        move || File::open(path).unwrap()
    });
    let log = start(&path);
    let pipe = holding.join().unwrap();
    let recorder = log.recorder();
    let torn = format!("/{}", "x".repeat(1000));
    for _ in 0..100 {
        record(&recorder, &torn);
    }
    recorder.flush();
    // A pipe takes 64 KiB; then the writer waits in the middle of a batch.
    wait_until(|| rustix::io::ioctl_fionread(&pipe).unwrap() > 60_000);
    drop(pipe);
    wait_until(|| log.written() + log.dropped() == 100);
    let reading = read_all(File::open(&path).unwrap());
    record(&recorder, "/next");
    drop(recorder);
    assert!(log.finish(PATIENCE));
    let text = reading.join().unwrap();
    let whole = |line: &&str| line.ends_with("\"-\" \"-\"") && line.contains("] \"GET /");
    assert_eq!(text.lines().last().map(target).as_deref(), Some("/next"));
    assert_eq!(text.lines().filter(whole).count() as u64, log.written(), "what counts as written is whole");
    assert!(text.lines().filter(|line| !whole(line)).count() <= 1);
    assert_eq!(log.written() + log.dropped(), 101);
}

#[test]
fn a_full_disk_is_counted_and_heals() {
    let folder = folder();
    let path = folder.path().join("access.log");
    symlink("/dev/full", &path).unwrap();
    let log = start(&path);
    let recorder = log.recorder();
    for _ in 0..10 {
        record(&recorder, "/lost");
    }
    recorder.flush();
    wait_until(|| log.dropped() == 10);
    fs::remove_file(&path).unwrap();
    let mut recorded = 10;
    wait_until(|| {
        record(&recorder, "/found");
        recorder.flush();
        recorded += 1;
        log.written() > 0
    });
    drop(recorder);
    assert!(log.finish(PATIENCE));
    assert_eq!(log.written() + log.dropped(), recorded);
    assert_eq!(targets(&path).len() as u64, log.written());
}

#[test]
fn a_file_that_was_moved_or_removed_is_opened_anew() {
    let folder = folder();
    let path = folder.path().join("access.log");
    let log = start(&path);
    let recorder = log.recorder();
    record(&recorder, "/old");
    recorder.flush();
    wait_until(|| log.written() == 1);
    fs::rename(&path, folder.path().join("access.log.1")).unwrap();
    wait_until(|| path.exists());
    record(&recorder, "/new");
    recorder.flush();
    wait_until(|| targets(&path) == ["/new"]);
    fs::remove_file(&path).unwrap();
    log.reopen();
    wait_until(|| path.exists());
    record(&recorder, "/newest");
    drop(recorder);
    assert!(log.finish(PATIENCE));
    assert_eq!(targets(&path), ["/newest"]);
    assert_eq!(targets(&folder.path().join("access.log.1")), ["/old"]);
    assert_eq!((log.written(), log.dropped()), (3, 0));
}

#[test]
fn while_a_file_cannot_be_opened_anew_the_old_one_is_used() {
    let folder = folder();
    let (inner, moved) = (folder.path().join("logs"), folder.path().join("moved"));
    fs::create_dir(&inner).unwrap();
    let log = start(&inner.join("access.log"));
    fs::rename(&inner, &moved).unwrap();
    log.reopen();
    let recorder = log.recorder();
    wait_until(|| !log.state.is_reopening.load(Ordering::Relaxed));
    record(&recorder, "/old");
    recorder.flush();
    wait_until(|| targets(&moved.join("access.log")) == ["/old"]);
    fs::create_dir(&inner).unwrap();
    wait_until(|| inner.join("access.log").exists());
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_the_start() {
    let folder = folder();
    let destination = AccessLogDestination::File(folder.path().join("missing/access.log"));
    let settings = AccessLogSettings { format: AccessLogFormat::Json, destination };
    assert_eq!(AccessLog::start(&settings).unwrap_err().kind(), io::ErrorKind::NotFound);
}
