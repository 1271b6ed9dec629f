//! What files say about services that answer with files.

use proxy::{Coding, Folder};

use super::*;

fn folder(lines: &str) -> Folder {
    match service(&format!("driver = \"files\"\n{lines}")).driver {
        DriverChoice::Files { folder } => folder,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_key_about_files_is_read() {
    let given = folder(
        r#"
        root = "/srv/www"
        index = ["index.htm", "home"]
        suffixes = [".html"]
        fallback = "/app/index.html"
        hidden_files = true
        precompressed = ["gzip", "br"]
        charset = "iso-8859-1"
        content_types = { ".log" = "text/plain; charset=utf-8" }
        cache_control = "no-cache"
        cache_control_of = { "/assets/" = "max-age=60", ".css" = "max-age=5", "/" = "x" }
        "#,
    );
    let table = |pairs: &[[&str; 2]]| pairs.iter().map(|pair| pair.map(str::to_owned).into()).collect();
    let expected = Folder {
        root: "/srv/www".into(),
        index: vec!["index.htm".into(), "home".into()],
        suffixes: vec![".html".into()],
        fallback: Some("/app/index.html".into()),
        has_hidden: true,
        precompressed: vec![Coding::Gzip, Coding::Brotli],
        charset: Some("iso-8859-1".into()),
        content_types: table(&[[".log", "text/plain; charset=utf-8"]]),
        cache_control: Some("no-cache".into()),
        cache_control_of: table(&[["/assets/", "max-age=60"], [".css", "max-age=5"], ["/", "x"]]),
    };
    assert_eq!(given, expected);
    let plain = folder("root = \"www\"");
    assert_eq!(plain, Folder { root: "www".into(), ..Folder::default() });
    assert_eq!(folder("root = \"www\"\ncharset = \"\"").charset, None);
    let service = service("driver = \"files\"\nroot = \"www\"");
    assert_eq!((service.replicas, service.is_owned()), (0, false));
    let settings = accept("[[service]]\nname = \"web\"\ndriver = \"files\"\nroot = \"www\"");
    let DriverChoice::Files { folder } = &settings.in_folder(Path::new("/etc/lb")).services[0].driver else {
        panic!("it has files")
    };
    assert_eq!(folder.root, Path::new("/etc/lb/www"));
}

#[test]
fn what_makes_no_sense_of_files_is_refused_with_its_line() {
    for (lines, what) in [
        ("", "driver = \"files\" needs `root`"),
        ("root = \"\"", "`root` must be the path of a directory"),
        ("root = \"www\"\nindex = [\"a/b\"]", "the name of a file, without a slash"),
        ("root = \"www\"\nindex = [\"..\"]", "the name of a file, without a slash"),
        ("root = \"www\"\nfallback = \"index.html\"", "the path of a file that begins with"),
        ("root = \"www\"\nfallback = \"/../index.html\"", "the path of a file that begins with"),
        ("root = \"www\"\nfallback = \"/a/\"", "the path of a file that begins with"),
        ("root = \"www\"\nprecompressed = [\"zstd\"]", "zstd"),
        ("root = \"www\"\ncharset = \"utf 8\"", "the name of a character set"),
        ("root = \"www\"\ncontent_types = { wasm = \"application/wasm\" }", "how names end, with a dot"),
        ("root = \"www\"\ncontent_types = { \".wasm\" = \"wasm\" }", "must be a media type"),
        ("root = \"www\"\ncache_control = \"a\\r\\nb\"", "printable ASCII"),
        ("root = \"www\"\ncache_control_of = { assets = \"x\" }", "a path that begins with"),
        ("root = \"www\"\ncache_control_of = { \".x\" = \"\" }", "must not be empty"),
        ("root = \"www\"\nreplicas = 2", "`replicas` is about replicas, and driver = \"files\" has none"),
        ("root = \"www\"\nkey = \"path\"", "`key` is about replicas"),
        ("root = \"www\"\nsticky = \"seat\"", "`sticky` is about replicas"),
        ("root = \"www\"\nheartbeat.every = \"1s\"", "`heartbeat` is about replicas"),
        ("root = \"www\"\nenv = { A = \"b\" }", "`env` belongs to"),
        ("root = \"www\"\naddresses = [\"127.0.0.1:1\"]", "`addresses` belongs to driver = \"static\""),
    ] {
        let error = refuse(&format!("[[service]]\nname = \"web\"\ndriver = \"files\"\n{lines}")).to_string();
        assert!(error.contains(what), "{lines}\n{error}");
    }
    let error = refuse("[[service]]\nname = \"web\"\nroot = \"www\"").to_string();
    assert!(error.contains("`root` belongs to driver = \"files\""), "{error}");
}
