//! The keeper: the parent of one replica that may outlive its balancer. It starts the replica, takes
//! what it writes, and writes down how it ended, whether a balancer is there or not.
//!
//! A balancer may be killed at any moment, also between starting a keeper and knowing of it. So a
//! keeper first writes its record, says so, and starts the replica only when it is told to go on. If
//! the balancer is gone by then, the line on which it would say so has ended; the keeper removes the
//! record and leaves. Thus no replica ever runs without a record that the next balancer finds, and
//! none is started for a balancer that is not there.

use std::ffi::CStr;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use fleet::Exit;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, setsid};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::account::Ids;
use super::identity::{Hold, Identity};
use super::log::BoundedLog;
use super::record::{Described, Files, Record};
use super::settings::{Tether, tethered};
use crate::DriverError;
use crate::lines::Allowance;

/// What a keeper says when its record is there, and what it is then told.
pub(super) const RECORDED: &str = "recorded";
pub(super) const GO: &str = "go";

/// What a keeper is called in the list of processes.
const KEEPER_NAME: &CStr = c"evenkeel-keep";

/// How long the last output may take to arrive after an exit; a grandchild that holds the pipe
/// must not delay the news.
const LAST_OUTPUT_WAIT: Duration = Duration::from_millis(20);

/// How much of the output is taken at once.
const PIECE_BYTES: usize = 16 << 10;

/// How long one that writes too much waits to be read again: it has some 1.6 MB a second then.
const PACE: Duration = Duration::from_millis(10);

/// Codes from 129 on stand for an end by a signal, as in a shell.
const SIGNAL_CODE_BASE: i32 = 128;
const FAILED: u8 = 1;

/// What a keeper is told, in one line of its standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeepOrder {
    pub(super) life: Described,
    pub(super) files: Files,
    pub(super) command: Vec<String>,
    /// Whom the command is run as, if not as the keeper itself.
    #[serde(default)]
    pub(super) ids: Option<Ids>,
    #[serde(default)]
    pub(super) new_privileges: bool,
    /// Where the command begins, if not where the keeper does.
    #[serde(default)]
    pub(super) directory: Option<PathBuf>,
}

/// Keeps one replica: takes its order from standard input, runs it, and returns when it is over and
/// written down. `tether` are the words that, in front of a command, end it when this process ends;
/// its process id is put behind them. Returns the exit code that the replica would have had in a
/// shell.
pub fn keep(tether: &[String]) -> Result<u8, DriverError> {
    // Whoever signals all that are called as the balancer does not mean us.
    let _ = rustix::thread::set_name(KEEPER_NAME);
    let unready = |error| DriverError::caused("a keeper cannot begin", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unready)?;
    // A hangup means the balancer, which renews its files; it is heard and forgotten.
    let _hangup = {
        let _inside = runtime.enter();
        signal(SignalKind::hangup()).map_err(unready)?
    };
    let mut input = BufReader::new(std::io::stdin());
    let mut line = String::new();
    let failed = |error: std::io::Error| DriverError::caused("a keeper got no order", error);
    input.read_line(&mut line).map_err(failed)?;
    let order: KeepOrder = serde_json::from_str(&line).map_err(|error| failed(error.into()))?;
    let begun = begin(&order);
    let words = begun.as_ref().map_or_else(|error| error.to_string(), |()| RECORDED.to_owned());
    let told = writeln!(std::io::stdout(), "{words}").and_then(|()| {
        line.clear();
        input.read_line(&mut line)
    });
    if begun.is_err() || told.is_err() || line.trim_end() != GO {
        order.files.remove_record();
        return Ok(FAILED);
    }
    let exit = runtime.block_on(run(&order, tether));
    // On a full disk this is lost, and all that is known later is that it ended.
    let _ = order.files.write_exit(&exit);
    let by_signal = exit.signal.map(|signal| i64::from(SIGNAL_CODE_BASE + signal));
    Ok(exit.code.or(by_signal).and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED))
}

/// Leaves the balancer's session, so that no terminal ends us with it, and writes the record.
fn begin(order: &KeepOrder) -> std::io::Result<()> {
    setsid()?;
    let record = Record { life: order.life.clone(), keeper: Identity::own()? };
    order.files.write_record(&record)
}

async fn run(order: &KeepOrder, tether: &[String]) -> Exit {
    let mut log = BoundedLog::create(&order.files.log());
    match start(order, tether) {
        Ok(started) => watch_over(started, log).await,
        Err(error) => {
            log.write(format!("cannot be started: {error}\n").as_bytes());
            Exit { code: Some(i64::from(FAILED)), ..Exit::default() }
        }
    }
}

/// A replica that has begun, with what its keeper listens to.
struct Started {
    child: Child,
    /// Requests to stop.
    terminate: Signals,
    output: pipe::Receiver,
}

fn start(order: &KeepOrder, tether: &[String]) -> std::io::Result<Started> {
    // Before the replica is there: a request to stop that comes now is passed on when it is.
    let terminate = signal(SignalKind::terminate())?;
    let (output, input) = std::io::pipe()?;
    let (ids, new_privileges, parent) = (order.ids, order.new_privileges, std::process::id());
    let tether = Tether { words: tether, parent, new_privileges, ids };
    let mut command = tethered(&tether, order.command.iter().cloned());
    if let Some(directory) = &order.directory {
        command.current_dir(directory);
    }
    command.stdin(Stdio::null());
    command.stdout(input.try_clone()?).stderr(input);
    let child = command.spawn()?;
    Ok(Started { child, terminate, output: pipe::Receiver::from_owned_fd(output.into())? })
}

async fn watch_over(started: Started, log: BoundedLog) -> Exit {
    let Started { mut child, mut terminate, output } = started;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let signal_group = |signal| pid.map(|pid| signal_all(pid, signal));
    let hold = pid.and_then(Hold::of);
    let mut taking = tokio::spawn(take_output(output, log));
    loop {
        tokio::select! {
            () = ended(hold.as_ref(), &mut child) => break,
            _ = terminate.recv() => signal_group(Signal::TERM),
        };
    }
    // What it left behind in its group goes with it.
    signal_group(Signal::KILL);
    let _ = tokio::time::timeout(LAST_OUTPUT_WAIT, &mut taking).await;
    exit_of(&child.wait().await)
}

/// Signals a replica that is a child of ours, and its group: there is none before its tether has made one.
pub(super) fn signal_all(pid: Pid, signal: Signal) {
    // Nobody may be left, and then there is nobody to signal.
    if kill_process_group(pid, signal).is_err() {
        let _ = kill_process(pid, signal);
    }
}

/// Its end is seen before it is waited for, so that until then its number, which is its group's too,
/// is nobody else's. Without a hold there is only the wait.
async fn ended(hold: Option<&Hold>, child: &mut Child) {
    match hold {
        Some(hold) => hold.ended().await,
        None => drop(child.wait().await),
    }
}

async fn take_output(mut output: pipe::Receiver, mut log: BoundedLog) {
    let mut piece = vec![0; PIECE_BYTES];
    let mut allowance = Allowance::new(Instant::now());
    let (mut left_out, mut latest) = (0, Vec::new());
    loop {
        // Whether more comes or not, what was left out is told in the next second.
        let read = output.read(&mut piece);
        let read = match left_out {
            0 => Ok(read.await),
            _ => tokio::time::timeout_at(allowance.renewed_at().into(), read).await,
        };
        if allowance.renew(Instant::now()) && left_out > 0 {
            match read {
                Ok(_) => log.write(format!("\n… {left_out} bytes left out\n").as_bytes()),
                Err(_) => tell_left_out(&mut log, left_out, &latest),
            }
            left_out = 0;
        }
        let Ok(read) = read else { continue };
        match read.unwrap_or(0) {
            0 => break,
            length if allowance.take(0, length) => log.write(&piece[..length]),
            length => {
                left_out += length;
                // What comes last is told in any case: it explains an end.
                latest.clear();
                latest.extend_from_slice(&piece[..length]);
                tokio::time::sleep(PACE).await;
            }
        }
    }
    if left_out > 0 {
        tell_left_out(&mut log, left_out, &latest);
    }
}

fn tell_left_out(log: &mut BoundedLog, bytes: usize, latest: &[u8]) {
    log.write(format!("\n… {bytes} bytes left out, but for the last of them\n").as_bytes());
    log.write(latest);
}

/// What an exit status says.
pub(super) fn exit_of(status: &std::io::Result<ExitStatus>) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => Exit { code: status.code().map(i64::from), signal: status.signal(), ..Exit::default() },
        Err(_) => Exit::default(),
    }
}
