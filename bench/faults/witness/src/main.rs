//! A replica for experiments: it serves every path, writes down what it was asked and what it did,
//! and misbehaves on command. It shares no code with what is tested by it.
//!
//! `SERVER_ID` is its name, `PORT` where it listens. Written down is one line per fact, each by one
//! write: `B id METHOD` when a request is there, `D id METHOD` when it was executed, before it is
//! answered. So an id with two `D` was executed twice, whatever the client saw.

mod http;
mod record;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use record::Record;
use serve::Replica;

const USAGE: &str = "usage: witness --record FOLDER|udp://HOST:PORT [--boot 300ms] [--listen ADDRESS]
               [--control ADDRESS] [--never-ready FILE] [--exit-at-once FILE]

--boot          time before it listens
--listen        where requests are served (default: 127.0.0.1:$PORT)
--control       where POST /control/MODE is served (default: 127.0.0.1:0)
--never-ready   while this file exists, it does not listen
--exit-at-once  while this file exists, it exits with 3

MODE: normal slow error garbage truncate deaf refuse-all reset no-heartbeat eat-memory";

/// The exit code of a start that shall fail.
const EXIT_AT_ONCE: i32 = 3;
const WRONG_USAGE: i32 = 2;

struct Options {
    record: String,
    boot: Duration,
    listen: SocketAddr,
    control: SocketAddr,
    never_ready: Option<PathBuf>,
    exit_at_once: Option<PathBuf>,
}

impl Options {
    fn read() -> Option<Self> {
        let port = std::env::var("PORT").unwrap_or_else(|_| "5000".into());
        let mut options = Self {
            record: String::new(),
            boot: Duration::ZERO,
            listen: format!("127.0.0.1:{port}").parse().ok()?,
            control: "127.0.0.1:0".parse().ok()?,
            never_ready: None,
            exit_at_once: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--record" => options.record = value,
                "--boot" => options.boot = Duration::from_millis(value.strip_suffix("ms")?.parse().ok()?),
                "--listen" => options.listen = value.parse().ok()?,
                "--control" => options.control = value.parse().ok()?,
                "--never-ready" => options.never_ready = Some(value.into()),
                "--exit-at-once" => options.exit_at_once = Some(value.into()),
                _ => return None,
            }
        }
        (!options.record.is_empty()).then_some(options)
    }
}

fn exists(file: Option<&PathBuf>) -> bool {
    file.is_some_and(|file| file.exists())
}

fn main() {
    let Some(options) = Options::read() else {
        eprintln!("{USAGE}");
        exit(WRONG_USAGE);
    };
    if exists(options.exit_at_once.as_ref()) {
        eprintln!("told to exit at once");
        exit(EXIT_AT_ONCE);
    }
    let name = std::env::var("SERVER_ID").unwrap_or_else(|_| "nobody".into());
    let control = serve::bind(options.control).expect("the control address is free");
    let places = (options.listen, control.local_addr().expect("it is bound"));
    let record = Record::open(&options.record, &name, places).expect("it can be written down");
    record.write("BORN");
    let replica = Replica::new(name, options.listen, record);
    // From now on TERM is obeyed: as the first process of a container, nobody else would.
    let ending = serve::end_on_term(&replica);
    serve::obey(&replica, control);
    if exists(options.never_ready.as_ref()) {
        eprintln!("told never to be ready");
    } else {
        std::thread::sleep(options.boot);
        replica.listen().expect("the address is free");
    }
    ending.join().expect("the thread that waits for TERM does not panic");
}
