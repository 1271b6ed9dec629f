//! What is legal in the forms of what containers have beside, and what is said of what is not.

use super::tables::ulimit;
use super::*;

/// What a text comes to, as it would be written, or what is wrong with it.
fn told<T>(parsed: Parsed<T>, show: impl Fn(&T) -> String) -> String {
    parsed.map_or_else(|wrong| wrong.in_one_line(), |it| show(&it))
}

#[test]
fn a_volume_has_a_name_or_a_path_and_a_place_inside() {
    for (text, expected) in [
        ("data:/var/lib/app", "data:/var/lib/app"),
        ("data:/var/lib/app/", "data:/var/lib/app"),
        ("./app.conf:/etc/app.conf:ro", "./app.conf:/etc/app.conf:ro"),
        ("/srv:/srv:rw", "/srv:/srv"),
        ("../a b:/c", "../a b:/c"),
        ("/data", "a volume without a name would go with its container"),
        ("data", "must be what is mounted, a colon and the path inside"),
        ("~/x:/x", "cannot begin with `~`"),
        ("a/b:/x", "neither the name of a volume nor a path"),
        ("x:/y", "neither the name of a volume nor a path"),
        ("data:var", "must be a path inside"),
        ("data:/", "must be a path inside"),
        ("data:/a/../b", "must be a path inside"),
        ("data:/x:z", "SELinux"),
        ("data:/x:nocopy", "has no option `nocopy`"),
        ("data:/x:ro:y", "must be SOURCE:TARGET"),
    ] {
        let told = told(volume(text), shown_volume);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn folders_in_memory_have_options_of_the_kernel() {
    for (text, expected) in [
        ("/tmp", "/tmp"),
        ("/tmp:size=64m,mode=1777,noexec", "/tmp:size=64m,mode=1777,noexec"),
        ("/run:size=10%", "/run:size=10%"),
        ("tmp", "must be a path inside"),
        ("/tmp:suid", "has no option `suid`"),
        ("/tmp:size=", "has a wrong value in `size=`"),
        ("/tmp:mode=10k", "has a wrong value in `mode=10k`"),
        ("/tmp:size=1;x", "has a wrong value"),
    ] {
        let told = told(tmpfs(text), shown_tmpfs);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn hosts_devices_and_limits_are_read_as_compose_writes_them() {
    for (text, expected) in [
        ("db:10.0.0.5", "db:10.0.0.5"),
        ("db=10.0.0.5", "db:10.0.0.5"),
        ("six:[::1]", "six:::1"),
        ("host.docker.internal:host-gateway", "host.docker.internal:host-gateway"),
        ("db", "must be NAME:ADDRESS"),
        ("db:elsewhere", "must be NAME:ADDRESS"),
        (":10.0.0.5", "must be NAME:ADDRESS"),
    ] {
        let told = told(extra_host(text), String::clone);
        assert!(told.contains(expected), "{text}: {told}");
    }
    for (text, expected) in [
        ("/dev/fuse", "/dev/fuse:/dev/fuse:rwm"),
        ("/dev/a:/dev/b:r", "/dev/a:/dev/b:r"),
        ("fuse", "must be a device by its path"),
        ("/dev/a:/dev/b:rx", "with rights out of \"rwm\""),
        ("/dev/a:/dev/b:r:x", "must be a device"),
    ] {
        let told = told(device(text), shown_device);
        assert!(told.contains(expected), "{text}: {told}");
    }
    for (text, expected) in [
        ("5", "Ulimit { soft: 5, hard: 5 }"),
        ("5:-1", "Ulimit { soft: 5, hard: -1 }"),
        ("6:5", "the first not above the second"),
        ("-1:5", "the first not above the second"),
        ("-2", "from -1"),
        ("x", "from -1"),
    ] {
        let told = told(ulimit(text), |it| format!("{it:?}"));
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn labels_of_ours_are_nobodys_to_give() {
    for (name, is_legal) in [
        ("team", true),
        ("com.example/x", true),
        ("evenkeel.owner", false),
        ("Evenkeel.x", false),
        ("", false),
        ("a b", false),
    ] {
        assert_eq!(label(name).is_ok(), is_legal, "{name}");
    }
}
