//! An open load of GETs and POSTs side by side, with every request accounted for, for harnesses that
//! compare this with what replicas wrote down:
//!
//! `open_load ADDRESS MILLISECONDS GETS_PER_SECOND POSTS_PER_SECOND ANSWER_SECONDS FILE`
//!
//! Answers have to be those of `bench/faults/witness`. The file gets one JSON object: for each of the two
//! methods the run's name, when it began (microseconds since 1970), who answered, and for every request
//! `[number, intended begin, latency, outcome]`, times in microseconds. The id of a request is the run's
//! name with its number. An outcome is the place of who answered among `replicas`, or the failure's name.
//! It says `begun` on standard output when the load begins. A closed standard input ends it.

use std::fmt::Write as _;
use std::io::Read;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use lab::{Keys, Limits, Load, Loss, Outcome, Pace, RequestPlan, Response, Running, Tally, Target};

const CONNECTIONS_MAX: NonZeroU32 = NonZeroU32::new(8000).unwrap();

struct Options {
    address: SocketAddr,
    milliseconds: u64,
    rates: [u32; 2],
    answer_seconds: u64,
    file: String,
}

impl Options {
    fn read() -> Option<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [address, milliseconds, gets, posts, answer_seconds, file] = words.as_slice() else {
            return None;
        };
        Some(Self {
            address: address.parse().ok()?,
            milliseconds: milliseconds.parse().ok()?,
            rates: [gets.parse().ok()?, posts.parse().ok()?],
            answer_seconds: answer_seconds.parse().ok()?,
            file: file.clone(),
        })
    }
}

/// A load under way, and its run's name, which the first response tells.
struct Half {
    method: &'static str,
    running: Running,
    run: Arc<OnceLock<String>>,
}

fn main() -> ExitCode {
    let Some(options) = Options::read() else {
        eprintln!("usage: open_load ADDRESS MILLISECONDS GETS POSTS ANSWER_SECONDS FILE");
        return ExitCode::from(2);
    };
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> std::io::Result<()> {
    let mut halves = Vec::new();
    for (method, rate) in ["GET", "POST"].into_iter().zip(options.rates) {
        if let Some(rate) = NonZeroU32::new(rate) {
            halves.push(start(options, method, rate)?);
        }
    }
    println!("begun");
    // Whoever started this ends it by letting go.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    let parts: Vec<String> = halves.into_iter().map(|half| told(half, options)).collect();
    std::fs::write(&options.file, format!("[{}]\n", parts.join(",\n")))
}

fn start(options: &Options, method: &'static str, rate: NonZeroU32) -> std::io::Result<Half> {
    let run = Arc::new(OnceLock::new());
    let known = Arc::clone(&run);
    let body = if method == "POST" { "{}" } else { "" };
    let load = Load {
        target: Target::new(options.address),
        plan: RequestPlan {
            method: method.into(),
            body: body.into(),
            keys: Keys::None,
            path: "/work".into(),
        },
        pace: Pace::Open { rate, connections_max: CONNECTIONS_MAX },
        limits: Limits {
            requests: u64::MAX,
            duration: Duration::from_millis(options.milliseconds),
            response: Duration::from_secs(options.answer_seconds),
        },
        seed: 1,
        check: Box::new(move |answer| replica_of(answer, &known)),
    };
    Ok(Half { method, running: load.start()?, run })
}

/// Who gave a witness's response.
fn replica_of<'a>(answer: &Response<'a>, run: &OnceLock<String>) -> Result<&'a str, Loss> {
    if answer.status != 200 {
        return Err(Loss::BadStatus);
    }
    let text = std::str::from_utf8(answer.body).map_err(|_| Loss::BadBody)?;
    let rest = text.strip_prefix("{\"replica\":\"").and_then(|rest| rest.strip_suffix("\"}"));
    let (name, id) = rest.and_then(|rest| rest.split_once("\",\"id\":\"")).ok_or(Loss::BadBody)?;
    let (name_of_run, _) = id.rsplit_once('-').ok_or(Loss::BadBody)?;
    if run.get_or_init(|| name_of_run.to_owned()) == name_of_run { Ok(name) } else { Err(Loss::BadBody) }
}

fn told(half: Half, options: &Options) -> String {
    let tally = half.running.wait();
    let rate = if half.method == "GET" { options.rates[0] } else { options.rates[1] };
    let begun = tally.begun_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let samples: Vec<String> = tally.samples.iter().map(|sample| row(sample, rate)).collect();
    format!(
        "{{\"method\":\"{}\",\"run\":\"{}\",\"begun\":{begun},\"lag_max\":{},\"unasked\":{},\"replicas\":{:?},\"examples\":{:?},\"samples\":[{}]}}",
        half.method,
        half.run.get().map_or("", String::as_str),
        tally.lag_max.as_micros(),
        tally.unasked_answers,
        tally.replicas,
        examples(&tally),
        samples.join(",")
    )
}

/// A sample's number follows from when it was due.
fn row(sample: &lab::Sample, rate: u32) -> String {
    let number = (u128::from(sample.at_us) * u128::from(rate) + 500_000) / 1_000_000;
    let mut row = format!("[{number},{},{},", sample.at_us, sample.latency_us);
    // Writing to a string cannot fail.
    let _ = match sample.outcome {
        Outcome::Answered(replica) => write!(row, "{replica}]"),
        Outcome::Failed(failure) => write!(row, "{:?}]", failure.as_str()),
    };
    row
}

/// The first failures in words, without what JSON could not hold.
fn examples(tally: &Tally) -> Vec<String> {
    let words = |example: &lab::Example| {
        let detail = example.detail.replace(|letter: char| !letter.is_ascii_graphic() && letter != ' ', ".");
        let detail = detail.replace(['"', '\\'], "'");
        format!("{} at {} ms: {}: {detail}", example.request, example.at_ms, example.failure.as_str())
    };
    tally.examples.iter().map(words).collect()
}
