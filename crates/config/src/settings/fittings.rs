//! The keys of what containers have beside: volumes, users' rights, labels, logs, devices. Each is declared
//! once, here.

use driver::Fittings;

use crate::container;
use crate::container::tables::{Graphics, StringTable, Ulimits};
use crate::form::{Flag, Form, List, Maybe, Text};
use crate::keys::{Effect, Key, Keys, Told};
use crate::only::OF_DOCKER;
use crate::words;

const VOLUMES_MAX: usize = 64;
const EXTRA_HOSTS_MAX: usize = 256;
const DEVICES_MAX: usize = 64;

/// All of them. Whoever gives none gets none of it.
pub(super) fn walk(keys: &mut impl Keys, it: &mut Fittings) {
    files(keys, it);
    begins(keys, it);
    kernel(keys, it);
    logs(keys, it);
}

/// One that only containers have, and that makes a release what it is.
fn key<F>(name: &'static str, form: F) -> Key<F> {
    Key::new(name, form, "").only(OF_DOCKER).effect(Effect::Deploy)
}

fn files(keys: &mut impl Keys, it: &mut Fittings) {
    let each = Text { kind: "string", parse: container::volume, show: container::shown_volume };
    let example = "volumes = [\"data:/var/lib/app\", \"./app.conf:/etc/app.conf:ro\"]";
    keys.key(key("volumes", List { each, example, most: Some(VOLUMES_MAX) }), &mut it.volumes);
    let each = Text { kind: "string", parse: container::tmpfs, show: container::shown_tmpfs };
    let example = "tmpfs = [\"/tmp:size=64m\"]";
    keys.key(key("tmpfs", List { each, example, most: Some(VOLUMES_MAX) }), &mut it.tmpfs);
    keys.key(key("read_only", Flag), &mut it.read_only);
}

fn begins(keys: &mut impl Keys, it: &mut Fittings) {
    let example = "entrypoint = [\"/entrypoint.sh\"]";
    let words = List { each: Text::of("string", words::command_word), example, most: None };
    let the_images_own = Told::Instead("the image's own");
    keys.key(key("entrypoint", Maybe(words)).default(the_images_own), &mut it.entrypoint);
    let path = Maybe(Text::of("string", container::path_inside));
    keys.key(key("working_dir", path).default(the_images_own), &mut it.working_dir);
    keys.key(key("init", Flag), &mut it.init);
    keys.key(key("image_health", Flag), &mut it.image_health);
    let example = "extra_hosts = [\"host.docker.internal:host-gateway\"]";
    let hosts =
        List { each: Text::of("string", container::extra_host), example, most: Some(EXTRA_HOSTS_MAX) };
    keys.key(key("extra_hosts", hosts), &mut it.extra_hosts);
    keys.key(
        key("labels", StringTable { name: container::label, value: container::table_value }),
        &mut it.labels,
    );
}

fn kernel(keys: &mut impl Keys, it: &mut Fittings) {
    keys.key(key("ulimits", Ulimits), &mut it.ulimits);
    let each = Text { kind: "string", parse: container::device, show: container::shown_device };
    let example = "devices = [\"/dev/ttyUSB0\"]";
    keys.key(key("devices", List { each, example, most: Some(DEVICES_MAX) }), &mut it.devices);
    let kind = Form::<Option<driver::Gpus>>::kind(&Graphics);
    keys.key(key("gpus", Graphics).kind(kind), &mut it.gpus);
}

fn logs(keys: &mut impl Keys, it: &mut Fittings) {
    let name = Maybe(Text::of("string", container::log_driver));
    keys.key(key("log_driver", name).default(Told::Instead("what the engine is set to")), &mut it.log_driver);
    keys.key(
        key("log_options", StringTable { name: container::log_option, value: container::table_value }),
        &mut it.log_options,
    );
}
