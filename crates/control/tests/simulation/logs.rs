//! What the control plane logs, as lines of the trace. That plans do not come to rest is told nowhere
//! else, and is a broken promise.

use std::fmt::{Debug, Write};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::world::World;

pub(crate) struct Logs(pub(crate) Arc<World>);

impl Subscriber for Logs {
    /// Other threads run other seeds, and may want to see less.
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.target().starts_with("control");
        is_ours && (*metadata.level() == Level::ERROR || self.0.state().trace.is_some())
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut state = self.0.state();
        let level = *event.metadata().level();
        if text.0.contains("do not come to rest") && !state.is_over() {
            state.violate(format!("an error is logged: {}", text.0));
        }
        state.note(|_| format!("log {level}:{}", text.0));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "service" {
            write!(self.0, " {}={value:?}", field.name()).expect("a string takes everything");
        }
    }
}
