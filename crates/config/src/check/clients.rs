//! What clients may send has to fit together, and to let through what services need.

use h1::{HeadLimits, Underscores};
use proxy::KeyRule;

use super::Checker;
use crate::found::Found;
use crate::problem::Wrong;
use crate::settings::Settings;
use crate::value;

impl Checker<'_, '_> {
    /// Settles how long the first line may be, which is a part of the head.
    pub(super) fn fit_head(
        &mut self,
        settings: &mut Settings,
        request_line_max: Option<usize>,
        limits: Option<&Found>,
    ) {
        let head = &mut settings.clients.head;
        if let (Some(line), Some(limits)) = (request_line_max, limits)
            && let Some(at) = limits.value_at("request_line")
            && line > head.head_max
            && limits.is_sound("head")
        {
            let [line, head] = [line, head.head_max].map(|bytes| value::shown_size(bytes as u64));
            let what =
                format!("`request_line`, which is {line}, must not be more than `head`, which is {head}");
            self.note(at, Wrong::new(what).help("the request line is a part of the head"));
        }
        head.request_line_max =
            request_line_max.unwrap_or(head.head_max.min(HeadLimits::default().request_line_max));
    }

    /// Notes keys of services that no request can have, because their header is taken off before.
    pub(super) fn refuse_lost_keys(&mut self, settings: &Settings, found: &Found) {
        if settings.clients.head.underscores == Underscores::Keep {
            return;
        }
        for (service, table) in settings.services.iter().zip(found.tables("service")) {
            if let (KeyRule::Header(name), Some(at)) = (&service.key, table.value_at("key"))
                && name.as_str().contains('_')
            {
                let name = name.as_str();
                let what = format!("`key` is a header with an underscore, {name:?}, which does not pass");
                let help = "set underscores = \"keep\" below [limits], if replicas can tell `_` from `-`";
                self.note(at, Wrong::new(what).help(help));
            }
        }
    }
}
