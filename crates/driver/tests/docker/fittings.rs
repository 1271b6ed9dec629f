//! What containers have beside: volumes that outlive them, rights that they keep or lose, further networks.

use std::time::{Duration, Instant};

use driver::{
    Contents, DockerSettings, Driver, Fittings, Recognition, Releases, Source, Spec, StartOrder, Tmpfs,
    Ulimit, Volume,
};
use fleet::StopHow;

use crate::rig::{Guard, PATIENCE, Rig, docker, shell, succeeds};

fn volume(source: Source, target: &str, read_only: bool) -> Volume {
    Volume { source, target: target.into(), read_only }
}

fn removing(what: &str, name: &str) -> Guard {
    Guard(vec![vec![what.into(), "rm".into(), name.into()]])
}

#[tokio::test]
async fn a_named_volume_outlives_its_containers_however_they_go() {
    let script = "trap 'exit 0' TERM; read seen 2>/dev/null </data/seen; echo \"seen ${seen:-nothing}\"; \
                  echo $SERVER_ID >/data/seen; echo up; while :; do sleep 0.05; done";
    let change = |settings: &mut DockerSettings| {
        settings.command = shell(script);
        let source = Source::Named(settings.owner.clone());
        settings.fittings = Fittings { volumes: vec![volume(source, "/data", false)], ..Fittings::default() };
    };
    let Some(rig) = Rig::up("volume", change).await else { return };
    let _guard = removing("volume", &rig.settings.owner);
    let orders = [1, 2, 3].map(|seat| rig.order(seat));
    rig.driver.start(orders[0].clone()).await.unwrap();
    rig.has_written(&orders[0], "up").await;
    docker(&["rm", "-f", &rig.container(&orders[0])]);
    rig.driver.stop(orders[0].life, StopHow::Now).await.unwrap();
    rig.driver.start(orders[1].clone()).await.unwrap();
    rig.has_written(&orders[1], "seen web_1").await;
    rig.has_written(&orders[1], "up").await;
    rig.driver.stop(orders[1].life, StopHow::Graceful).await.unwrap();
    rig.driver.start(orders[2].clone()).await.unwrap();
    rig.has_written(&orders[2], "seen web_2").await;
    rig.driver.stop(orders[2].life, StopHow::Now).await.unwrap();
    rig.driver.tidy_up().await.unwrap();
    assert!(succeeds(&["volume", "inspect", &rig.settings.owner]), "it is the operator's");
}

#[tokio::test]
async fn a_container_has_what_it_was_given_and_writes_nowhere_else() {
    let script = "echo who $(while read k v r; do case $k in Uid:|CapEff:|NoNewPrivs:) echo $v; esac; done </proc/self/status); \
                  for place in / /conf/x /tmp; do (: >$place/new) 2>/dev/null && echo writes $place; done; \
                  read conf </conf/x/conf; echo conf $conf; echo in $PWD files $(ulimit -n); \
                  trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("conf"), "hello\n").unwrap();
    let path = folder.path().display().to_string();
    let change = |settings: &mut DockerSettings| {
        settings.command = Some(vec![script.into()]);
        settings.fittings = Fittings {
            volumes: vec![volume(Source::Host(path), "/conf/x", true)],
            tmpfs: vec![Tmpfs { target: "/tmp".into(), options: "size=1m,mode=1777".into() }],
            read_only: true,
            user: Some("4711:4712".into()),
            entrypoint: Some(["/bin/sh", "-c"].map(str::to_owned).into()),
            working_dir: Some("/conf".into()),
            ulimits: [("nofile".to_owned(), Ulimit { soft: 77, hard: 99 })].into(),
            labels: [("team".to_owned(), "shop".to_owned())].into(),
            extra_hosts: vec!["db.internal:10.0.0.5".into()],
            log_driver: Some("json-file".into()),
            ..Fittings::default()
        };
    };
    let Some(rig) = Rig::up("fitted", change).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    for expected in ["who 4711 0000000000000000 1", "writes /tmp", "conf hello", "in /conf files 77", "up"] {
        rig.has_written(&order, expected).await;
    }
    let written = docker(&["logs", &rig.container(&order)]);
    assert_eq!(written.matches("writes").count(), 1, "{written}");
    let inspect = |template: &str| docker(&["inspect", "-f", template, &rig.container(&order)]);
    assert_eq!(
        inspect("{{index .Config.Labels \"team\"}} {{.HostConfig.ExtraHosts}}"),
        "shop [db.internal:10.0.0.5]"
    );
    assert_eq!(inspect("{{.HostConfig.LogConfig.Config}}"), "map[max-file:3 max-size:10m]");
    let found = rig.driver.list().await.unwrap();
    assert_eq!(found.len(), 1, "its labels are right");
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
}

#[tokio::test]
async fn secrets_are_files_that_whoever_it_runs_as_reads_and_nothing_shows() {
    let script = "read secret </run/secrets/password; echo \"${#secret} characters\"; \
                  (: >/run/secrets/password) 2>/dev/null && echo writes; \
                  trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let change = |settings: &mut DockerSettings| {
        settings.command = shell(script);
        let secrets = [("password".to_owned(), b"s3cr3t-w0rd\n".to_vec())].into();
        let (contents, secrets) = Contents::of(secrets, &settings.records.secret);
        settings.contents = contents;
        let tmpfs = vec![Tmpfs { target: "/run".into(), options: String::new() }];
        settings.fittings = Fittings { secrets, tmpfs, user: Some("4711".into()), ..Fittings::default() };
    };
    let Some(rig) = Rig::up("secrets", change).await else { return };
    let order = rig.order(1);
    rig.driver.start(order.clone()).await.unwrap();
    rig.has_written(&order, "11 characters").await;
    rig.has_written(&order, "up").await;
    let written = docker(&["logs", &rig.container(&order)]);
    assert!(!written.contains("writes"), "{written}");
    let told = docker(&["inspect", &rig.container(&order)]);
    assert!(!told.contains("s3cr3t"), "{told}");
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
    // A driver that has the recipe alone starts them with what was deployed.
    let (later, _events) = rig.sibling(|settings| settings.contents = Contents::default()).await;
    later.prepare().await.unwrap();
    let order = rig.order(2);
    later.start(order.clone()).await.unwrap();
    rig.has_written(&order, "11 characters").await;
    later.stop(order.life, StopHow::Now).await.unwrap();
}

#[tokio::test]
async fn further_networks_are_made_joined_and_removed_and_the_first_is_the_one_to_be_reached_by() {
    let change = |settings: &mut DockerSettings| {
        settings.fittings.networks =
            vec![format!("{}-a", settings.network), format!("a-{}", settings.network)];
    };
    let Some(rig) = Rig::up("networks", change).await else { return };
    let networks = rig.settings.fittings.networks.clone();
    let _guards: Vec<Guard> = networks.iter().map(|name| removing("network", name)).collect();
    let order = rig.order(1);
    let address = crate::rig::tcp(rig.driver.start(order.clone()).await.unwrap());
    let inspect = |template: &str| docker(&["inspect", "-f", template, &rig.container(&order)]);
    let first = format!("{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}", rig.settings.network);
    assert_eq!(inspect(&first), address.ip().to_string());
    assert_eq!(inspect("{{len .NetworkSettings.Networks}}"), "3");
    for name in &networks {
        assert!(succeeds(&["network", "inspect", name]), "{name}");
    }
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
    rig.driver.tidy_up().await.unwrap();
    for name in &networks {
        assert!(!succeeds(&["network", "inspect", name]), "{name}");
    }
}

#[tokio::test]
async fn the_healthcheck_of_an_image_is_a_sign_where_that_is_wanted() {
    let script = "trap 'exit 0' TERM; (: >/sick/well); echo up; while :; do sleep 0.05; done";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let change = |settings: &mut DockerSettings| {
        settings.command = shell(script);
        settings.fittings.volumes = vec![volume(Source::Host(path), "/sick", false)];
    };
    let Some(rig) = Rig::up("healthcheck", change).await else { return };
    let heeding = || {
        let mut settings = rig.settings.clone();
        settings.fittings.image_health = true;
        Spec::Docker(Box::new(settings))
    };
    let refused = rig.driver.learn(heeding()).await.unwrap_err().in_full();
    assert!(refused.contains("has no HEALTHCHECK"), "{refused}");
    let check = "HEALTHCHECK --interval=1s --retries=1 CMD [ ! -e /sick/sick ]";
    let clothe = "printf 'FROM %s\\n%s\\n' \"$0\" \"$1\" | docker build -q -t \"$0\" - >/dev/null";
    let built =
        std::process::Command::new("sh").args(["-c", clothe, &rig.settings.image, check]).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let release = rig.driver.learn(heeding()).await.unwrap();
    let order = StartOrder { release, ..rig.order(1) };
    rig.driver.start(order.clone()).await.unwrap();
    assert_eq!(rig.driver.recognise(order.life).await, Recognition::Itself, "nothing is known yet");
    std::fs::write(folder.path().join("sick"), "").unwrap();
    let becomes = async |is_well: bool| {
        let begun = Instant::now();
        while (rig.driver.recognise(order.life).await == Recognition::Itself) != is_well {
            assert!(begun.elapsed() < PATIENCE, "it never was {is_well}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    becomes(false).await;
    std::fs::remove_file(folder.path().join("sick")).unwrap();
    becomes(true).await;
    rig.driver.stop(order.life, StopHow::Now).await.unwrap();
}

#[tokio::test]
async fn a_place_of_the_host_that_is_not_there_is_refused_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let source = Source::Host(missing.display().to_string());
    let change = |settings: &mut DockerSettings| {
        settings.fittings.volumes = vec![volume(source, "/data", false)];
    };
    let Some(rig) = Rig::up("missing", change).await else { return };
    let refused = rig.driver.start(rig.order(1)).await.unwrap_err().in_full();
    assert!(refused.contains("source path does not exist"), "{refused}");
    assert!(!missing.exists());
    assert_eq!(rig.containers(), "");
}
