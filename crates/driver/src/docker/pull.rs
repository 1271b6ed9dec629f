//! Fetches an image: asks the engine for it, tells how far it has come, and gives up on silence.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::CreateImageInfo;
use futures_util::stream::StreamExt;
use tokio::time::{Instant, timeout, timeout_at};

use super::credentials;
use super::engine::Engine;
use super::errors::CallError;
use crate::DriverError;

/// How long an image may take as a whole, and how long nothing may come of it.
const PULL_LIMIT: Duration = Duration::from_hours(1);
const SILENCE_LIMIT: Duration = Duration::from_mins(2);

/// How often the log tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// The layers whose progress is counted; an image has fewer.
const LAYERS_MAX: usize = 512;

const MEBIBYTE: i64 = 1 << 20;

/// Fetches it. What is here already under its name is not touched if that fails.
pub(super) async fn pull(engine: &Engine, image: &str) -> Result<(), DriverError> {
    let registry = credentials::registry(image);
    let found = match credentials::usual_file() {
        Some(file) => credentials::find(&file, registry).await?,
        None => None,
    };
    let Reference { name, tag } = Reference::of(image);
    let begun = Instant::now();
    tracing::info!(image, as_somebody = found.is_some(), "pulling the image");
    let mut steps = Box::pin(engine.pull(&name, &tag, found));
    let (mut progress, mut told_at) = (Progress::default(), begun);
    loop {
        let step = timeout_at(begun + PULL_LIMIT, timeout(SILENCE_LIMIT, steps.next())).await;
        let step = match step {
            Ok(Ok(step)) => step,
            Ok(Err(_)) => return Err(failed(image, CallError::NoAnswer(SILENCE_LIMIT))),
            Err(_) => return Err(failed(image, CallError::NoAnswer(PULL_LIMIT))),
        };
        match step {
            None => break,
            Some(Err(error)) => return Err(failed(image, error.into())),
            Some(Ok(step)) => progress.take(step),
        }
        if told_at.elapsed() >= TELL_EVERY {
            told_at = Instant::now();
            tracing::info!(image, "pulling the image: {}", progress.in_words());
        }
    }
    tracing::info!(image, took = ?begun.elapsed(), "the image was pulled");
    Ok(())
}

fn failed(image: &str, error: CallError) -> DriverError {
    error.during(format!("cannot pull image '{image}'"))
}

/// What an image is asked for by. Without a tag the engine would fetch all that there are.
#[derive(Debug, PartialEq, Eq)]
struct Reference {
    name: String,
    tag: String,
}

impl Reference {
    fn of(image: &str) -> Self {
        let both = |name: &str, tag: &str| Self { name: name.to_owned(), tag: tag.to_owned() };
        if let Some((name, digest)) = image.split_once('@') {
            return both(name, digest);
        }
        match image.rsplit_once(':') {
            // Behind it is a port.
            Some((_, rest)) if rest.contains('/') => both(image, "latest"),
            Some((name, tag)) => both(name, tag),
            None => both(image, "latest"),
        }
    }
}

/// How far each layer is.
#[derive(Default)]
struct Progress(BTreeMap<String, Layer>);

#[derive(Default)]
struct Layer {
    is_here: bool,
    bytes: i64,
    all_bytes: i64,
}

impl Progress {
    fn take(&mut self, step: CreateImageInfo) {
        let (Some(id), Some(status)) = (step.id, step.status) else { return };
        if !self.0.contains_key(&id) && (self.0.len() == LAYERS_MAX || status.starts_with("Pulling from")) {
            return;
        }
        let layer = self.0.entry(id).or_default();
        layer.is_here |= matches!(status.as_str(), "Already exists" | "Pull complete");
        let detail = step.progress_detail.filter(|_| status == "Downloading").unwrap_or_default();
        layer.bytes = detail.current.unwrap_or(layer.bytes);
        layer.all_bytes = detail.total.unwrap_or(layer.all_bytes);
        if matches!(status.as_str(), "Download complete" | "Pull complete") {
            layer.bytes = layer.all_bytes;
        }
    }

    fn in_words(&self) -> String {
        let here = self.0.values().filter(|layer| layer.is_here).count();
        let sum = |bytes: fn(&Layer) -> i64| {
            let sum = self.0.values().fold(0_i64, |sum, layer| sum.saturating_add(bytes(layer)));
            sum / MEBIBYTE
        };
        let (bytes, all_bytes) = (sum(|layer| layer.bytes), sum(|layer| layer.all_bytes));
        format!(
            "{here} of {} layers, {bytes} of {all_bytes} MiB of those that are on their way",
            self.0.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn an_image_is_asked_for_by_its_tag_or_digest_and_never_by_all_tags() {
        for (image, name, tag) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1.2", "nginx", "1.2"),
            ("example:5000/shop", "example:5000/shop", "latest"),
            ("example:5000/shop:3", "example:5000/shop", "3"),
            ("shop@sha256:ab", "shop", "sha256:ab"),
        ] {
            assert_eq!(Reference::of(image), Reference { name: name.into(), tag: tag.into() }, "{image}");
        }
    }

    #[test]
    fn progress_is_told_in_layers_and_bytes() {
        let mut progress = Progress::default();
        let mut take = |id: &str, status: &str, bytes: Option<i64>| {
            let detail = bytes.map(|bytes| ProgressDetail { current: Some(bytes), total: Some(8 << 20) });
            let (id, status) = (Some(id.to_owned()), Some(status.to_owned()));
            progress.take(CreateImageInfo { id, status, progress_detail: detail, ..Default::default() });
        };
        take("latest", "Pulling from library/nginx", None);
        take("a", "Already exists", None);
        take("b", "Downloading", Some(2 << 20));
        take("c", "Downloading", Some(1 << 20));
        take("c", "Download complete", None);
        take("c", "Extracting", Some(1));
        assert_eq!(progress.in_words(), "1 of 3 layers, 10 of 16 MiB of those that are on their way");
    }
}
