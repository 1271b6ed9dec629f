//! Another service that is asked whether requests may pass: the keys of that, and of a service that is there for
//! nothing else.

use std::ops::RangeInclusive;
use std::time::Duration;

use proxy::ForwardAuth;

use crate::fields::{FIELDS_MAX, copied_field};
use crate::form::{List, Text, Time};
use crate::keys::{Key, Keys, Level, Told};
use crate::{value, web};

const TIMEOUT_LIMITS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

impl Level for ForwardAuth {
    fn blank() -> Self {
        Self { service: String::new(), path: "/".into(), copy: Vec::new(), timeout: Duration::from_secs(5) }
    }

    fn walk(&mut self, keys: &mut impl Keys) {
        let service = Text::of("string", value::service_name);
        keys.key(
            Key::new("service", service, "the name of the service that is asked, with a GET without a body")
                .default(Told::Instead("required"))
                .limits(Told::Instead("a `[[service]]`, which is no canary")),
            &mut self.service,
        );
        keys.key(
            Key::new(
                "path",
                Text::of("string", web::heartbeat_path),
                "what it is asked for; a query is allowed",
            )
            .limits(Told::Instead("at most 1024 characters, begins with `/`")),
            &mut self.path,
        );
        let (each, example) = (Text::of("string", copied_field), "copy = [\"X-User\"]");
        keys.key(
            Key::new(
                "copy",
                List { each, example, most: Some(FIELDS_MAX) },
                "headers of an answer that lets pass which replicas get, and which nobody else can write",
            )
            .default(Told::Instead("none")),
            &mut self.copy,
        );
        keys.key(
            Key::new(
                "timeout",
                Time(TIMEOUT_LIMITS),
                "how long it may take, all tries together; then the request gets 503",
            ),
            &mut self.timeout,
        );
    }
}
