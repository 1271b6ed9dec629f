//! The log: one line for each event, whatever its words hold.
//!
//! Replicas, engines, images and clients have a say in what is logged. The line is made harmless as a whole
//! after it was formatted, so that no place that logs can forget it.

use std::fmt;

use fleet::{harmless, harmless_json};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

/// Log lines that wait for a slow reader; more are dropped, so that nobody is held up by a log.
const LOG_LINES_MAX: usize = 8192;

/// Below this level the engine's library repeats what it is asked for, and the environment of replicas with it.
const QUIET: &str = "bollard=info";

/// Libraries that say so much below this level that nothing of ours is found among it. Who names them hears them.
const LOUD: [&str; 6] = ["h2", "hyper", "hyper_util", "mio", "rustls", "tokio"];

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Words for people.
    Text,
    /// A JSON object for programs.
    Json,
}

/// Begins the log of a balancer, on standard error. What was not written yet is when the guard is dropped.
pub(crate) fn begin(notation: Notation) -> WorkerGuard {
    let (writer, flushes_on_drop) =
        NonBlockingBuilder::default().buffered_lines_limit(LOG_LINES_MAX).finish(std::io::stderr());
    let filter = filter(std::env::var("EVENKEEL_LOG").ok().as_deref());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    match notation {
        Notation::Text => log.with_ansi(false).map_event_format(|inner| OneLine { inner, notation }).init(),
        Notation::Json => log.json().map_event_format(|inner| OneLine { inner, notation }).init(),
    }
    flushes_on_drop
}

/// What is logged, by the value of the variable.
fn filter(asked: Option<&str>) -> EnvFilter {
    let asked = asked.filter(|asked| !asked.trim().is_empty()).unwrap_or("info");
    let filter = EnvFilter::try_new(asked).unwrap_or_else(|_| EnvFilter::new("info"));
    // Where less is asked for, this would be more.
    let is_loud = ["debug", "trace"].iter().any(|level| asked.to_ascii_lowercase().contains(level));
    let loud = LOUD.iter().filter(|library| is_loud && !asked.contains(**library));
    let quiet = loud.map(|library| format!("{library}=info")).chain([QUIET.to_owned()]);
    let quiet = quiet.filter_map(|directive| directive.parse().ok());
    quiet.fold(filter, EnvFilter::add_directive)
}

/// Begins a log of warnings alone, for a command that runs to its end.
pub(crate) fn begin_warnings() {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr);
    let log = log.without_time().with_target(false).with_ansi(false);
    log.map_event_format(|inner| OneLine { inner, notation: Notation::Text }).init();
}

/// Formats an event as another format does, and makes one harmless line of it.
struct OneLine<F> {
    inner: F,
    notation: Notation,
}

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        let line = match self.notation {
            Notation::Text => harmless(line),
            Notation::Json => harmless_json(line),
        };
        writeln!(writer, "{line}")
    }
}
