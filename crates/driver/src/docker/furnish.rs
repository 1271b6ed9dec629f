//! Puts into the engine's request what a container has beside.
//!
//! Pure. What it says is the operator's, and the defaults are not here: whoever gives nothing gets nothing.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HostConfig, HostConfigLogConfig, Mount, MountType,
    ResourcesUlimits,
};

use super::fittings::{Device, Fittings, Gpus, Source, Tmpfs, Ulimit, Volume};
use super::secrets;
use super::settings::DockerSettings;
use crate::order::{Endpoint, StartOrder};

/// The engine's usual way to keep logs, which grows without end unless told otherwise.
pub(super) const BOUNDED_LOGGING_DRIVER: &str = "json-file";
const LOG_SIZE_MAX: &str = "10m";
const LOG_FILES_MAX: &str = "3";

/// How much of the output of a container is kept.
pub(super) fn log_bounds() -> HashMap<String, String> {
    let bounds = [("max-size", LOG_SIZE_MAX), ("max-file", LOG_FILES_MAX)];
    bounds.map(|(name, value)| (name.into(), value.into())).into()
}

/// Adds it to a request that has all else.
pub(super) fn furnish(
    body: &mut ContainerCreateBody,
    settings: &DockerSettings,
    order: &StartOrder,
    endpoint: &Endpoint,
) {
    let fittings = &settings.fittings;
    let fill_in = |words: &Vec<String>| words.iter().map(|word| order.fill_in(word, endpoint)).collect();
    body.entrypoint = fittings.entrypoint.as_ref().map(fill_in);
    body.user.clone_from(&fittings.user);
    body.working_dir.clone_from(&fittings.working_dir);
    let labels = body.labels.get_or_insert_default();
    for (name, value) in &fittings.labels {
        // Ours are there already, and stay.
        labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let host = body.host_config.get_or_insert_default();
    files(host, fittings, &secrets::mounts(settings));
    kernel(host, fittings);
    if let Some(driver) = &fittings.log_driver {
        let mut options = match driver == BOUNDED_LOGGING_DRIVER {
            true => log_bounds(),
            false => HashMap::new(),
        };
        options.extend(fittings.log_options.clone());
        host.log_config = Some(HostConfigLogConfig { typ: Some(driver.clone()), config: Some(options) });
    }
    host.extra_hosts = some(fittings.extra_hosts.clone());
}

fn files(host: &mut HostConfig, fittings: &Fittings, secrets: &[Volume]) {
    host.mounts = some(fittings.volumes.iter().chain(secrets).map(mount).collect());
    let tmpfs = |Tmpfs { target, options }: &Tmpfs| (target.clone(), options.clone());
    let tmpfs: HashMap<_, _> = fittings.tmpfs.iter().map(tmpfs).collect();
    host.tmpfs = (!tmpfs.is_empty()).then_some(tmpfs);
    host.readonly_rootfs = fittings.read_only.then_some(true);
}

fn kernel(host: &mut HostConfig, fittings: &Fittings) {
    host.init = fittings.init.then_some(true);
    let ulimit = |(name, Ulimit { soft, hard }): (&String, &Ulimit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(*soft),
        hard: Some(*hard),
    };
    host.ulimits = some(fittings.ulimits.iter().map(ulimit).collect());
    let device = |Device { host, target, rights }: &Device| DeviceMapping {
        path_on_host: Some(host.clone()),
        path_in_container: Some(target.clone()),
        cgroup_permissions: Some(rights.clone()),
    };
    host.devices = some(fittings.devices.iter().map(device).collect());
    host.device_requests = fittings.gpus.as_ref().map(|gpus| {
        let (count, device_ids) = match gpus {
            Gpus::All => (Some(-1), None),
            Gpus::Count(count) => (Some(i64::from(*count)), None),
            Gpus::Named(ids) => (None, Some(ids.clone())),
        };
        let capabilities = Some(vec![vec!["gpu".to_owned()]]);
        vec![DeviceRequest { count, device_ids, capabilities, ..Default::default() }]
    });
}

/// Asked for as a mount: a place of the host that is not there is an error then, and not made by the engine.
fn mount(volume: &Volume) -> Mount {
    let (typ, source) = match &volume.source {
        Source::Named(name) => (MountType::VOLUME, name),
        Source::Host(path) => (MountType::BIND, path),
    };
    Mount {
        typ: Some(typ),
        source: Some(source.clone()),
        target: Some(volume.target.clone()),
        read_only: Some(volume.read_only),
        ..Default::default()
    }
}

/// What is empty is not asked for.
fn some<T>(all: Vec<T>) -> Option<Vec<T>> {
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::fixtures::{order, settings};
    use super::*;

    fn made(fittings: &Fittings) -> ContainerCreateBody {
        let labels = Some(HashMap::from([("evenkeel.owner".to_owned(), "me".to_owned())]));
        let mut body = ContainerCreateBody { labels, ..Default::default() };
        let settings = DockerSettings { fittings: fittings.clone(), ..settings() };
        furnish(&mut body, &settings, &order(), &Endpoint::Port(5000));
        body
    }

    #[test]
    fn whoever_gives_nothing_gets_nothing() {
        let body = made(&Fittings::default());
        assert_eq!((body.entrypoint, body.user, body.working_dir), (None, None, None));
        let host = body.host_config.unwrap();
        assert_eq!((host.mounts, host.tmpfs, host.readonly_rootfs, host.init), (None, None, None, None));
        assert_eq!((host.ulimits, host.devices, host.device_requests), (None, None, None));
        assert_eq!((host.extra_hosts, host.binds, host.privileged), (None, None, None));
    }

    #[test]
    fn volumes_are_mounts_so_that_no_folder_is_made_where_none_is() {
        let volume = |source, read_only| Volume { source, target: "/data".into(), read_only };
        let host = made(&Fittings {
            volumes: vec![
                volume(Source::Named("shop".into()), false),
                volume(Source::Host("/srv".into()), true),
            ],
            tmpfs: vec![Tmpfs { target: "/tmp".into(), options: "size=1m".into() }],
            read_only: true,
            ..Fittings::default()
        })
        .host_config
        .unwrap();
        let told: Vec<_> =
            host.mounts.unwrap().into_iter().map(|one| (one.typ, one.source, one.read_only)).collect();
        let expected = [
            (Some(MountType::VOLUME), Some("shop".to_owned()), Some(false)),
            (Some(MountType::BIND), Some("/srv".to_owned()), Some(true)),
        ];
        assert_eq!((told.as_slice(), host.binds), (expected.as_slice(), None));
        assert_eq!((host.tmpfs.unwrap()["/tmp"].as_str(), host.readonly_rootfs), ("size=1m", Some(true)));
    }

    #[test]
    fn labels_of_ours_stay_ours_and_logs_stay_bounded() {
        let labels = [("evenkeel.owner", "mallory"), ("team", "shop")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let log_options = BTreeMap::from([("max-file".to_owned(), "9".to_owned())]);
        let log_driver = Some("json-file".to_owned());
        let body = made(&Fittings { labels, log_driver, log_options, ..Fittings::default() });
        let labels = body.labels.unwrap();
        assert_eq!((labels["evenkeel.owner"].as_str(), labels["team"].as_str()), ("me", "shop"));
        let options = body.host_config.unwrap().log_config.unwrap().config.unwrap();
        assert_eq!((options["max-size"].as_str(), options["max-file"].as_str()), ("10m", "9"));
        let elsewhere = made(&Fittings { log_driver: Some("journald".into()), ..Fittings::default() });
        assert!(elsewhere.host_config.unwrap().log_config.unwrap().config.unwrap().is_empty());
    }

    #[test]
    fn words_of_an_entrypoint_are_filled_in_and_processors_are_asked_for_by_number_or_name() {
        let entrypoint = Some(vec!["serve".to_owned(), "{port}".to_owned(), "{name}".to_owned()]);
        let gpus = Some(Gpus::All);
        let body = made(&Fittings { entrypoint, gpus, init: true, ..Fittings::default() });
        assert_eq!(body.entrypoint.unwrap(), ["serve", "5000", "web_1"]);
        let host = body.host_config.unwrap();
        assert_eq!((host.device_requests.unwrap()[0].count, host.init), (Some(-1), Some(true)));
        let named = made(&Fittings { gpus: Some(Gpus::Named(vec!["0".into()])), ..Fittings::default() });
        let request = named.host_config.unwrap().device_requests.unwrap().remove(0);
        assert_eq!((request.count, request.device_ids), (None, Some(vec!["0".to_owned()])));
    }
}
