//! One reading of a path, for routing and for the replica. A path that servers read in different ways is
//! brought into its normal form, or refused; where a service wants paths as they were sent, none may pass that
//! another service is for in any reading. So no rule about paths can be walked round.

use h1::{OddPath, RequestHead, normal_path, widest_path};

use crate::travel::path_form::PathForm;
use crate::travel::path_rule::Reading;
use crate::travel::routes::Routes;
use crate::travel::routes::rules::{Arrival, Way};

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) way: Option<Way>,
    /// The place of its location among those of its service.
    pub(crate) location: Option<usize>,
    /// Why it does not get there.
    pub(crate) odd: Option<OddPath>,
    /// The target as it was sent, if it is not what is sent on.
    pub(crate) sent: Option<Vec<u8>>,
}

impl Destination {
    /// Finds it for a request that came in by this listener, and brings the path into its form.
    pub(crate) fn of(head: &mut RequestHead, routes: &Routes, listener: &str) -> Self {
        let target = |head: &RequestHead, path: &[u8], reading| {
            let way = routes.find(Arrival::of(head, listener), path, reading);
            (way, routes.location(way, path, reading))
        };
        if head.has_plain_path() {
            let (way, location) = target(head, head.path(), Reading::Narrow);
            return Self { way, location, odd: None, sent: None };
        }
        let mut sent = Vec::new();
        head.write_origin(&mut sent);
        let widest = target(head, &widest_path(head.path()), Reading::Widest);
        let (way, location) = widest;
        let form = routes.settings(way).map(|settings| settings.path_form).unwrap_or_default();
        let leads_there = |path: &[u8]| target(head, path, Reading::Narrow) == widest;
        let odd = if is_certain(head.path(), form, leads_there) {
            form.apply(head).err()
        } else {
            Some(OddPath::TwoServices)
        };
        Self { way, location, odd, sent: Some(sent) }
    }
}

/// All readings of a path that is sent on must lead the same way.
fn is_certain(path: &[u8], form: PathForm, leads_there: impl Fn(&[u8]) -> bool) -> bool {
    let mut normal = Vec::new();
    let has_normal = normal_path(path, &mut normal).is_ok();
    (form != PathForm::AsSent || leads_there(path)) && (!has_normal || leads_there(&normal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::travel::routes::Common;
    use crate::travel::routes::tests::service;

    /// What a path becomes, and who gets it.
    fn sent_on(path: &str) -> Result<(String, String), OddPath> {
        let services = [
            ("open", "/", PathForm::Normalize),
            ("admin", "/admin", PathForm::Normalize),
            ("strict", "/strict", PathForm::Refuse),
            ("raw", "/raw", PathForm::AsSent),
        ];
        let services = services.map(|(name, path, paths)| {
            let mut settings = service(name, "*", path);
            settings.path_form = paths;
            settings
        });
        let routes = Routes::new(services.to_vec().into(), None, &Common::default());
        let mut head = RequestHead::default();
        head.start(b"GET", path.as_bytes(), Some(b"h")).unwrap();
        let destination = Destination::of(&mut head, &routes, "");
        if let Some(odd) = destination.odd {
            return Err(odd);
        }
        let mut origin = Vec::new();
        head.write_origin(&mut origin);
        let name = routes.settings(destination.way).unwrap().name.clone();
        Ok((name, String::from_utf8(origin).unwrap()))
    }

    #[test]
    fn no_spelling_of_a_path_leads_round_a_rule() {
        for path in [
            "/admin",
            "//admin",
            "/./admin",
            "/x/../admin",
            "/%61dmin",
            "/%61%64min",
            "/x/%2e%2e/admin",
            "/x/%2E./admin",
            "/open//../admin",
            "/raw/../admin",
            "/strict/..//admin",
            "/raw/..%2f../admin",
        ] {
            match sent_on(path) {
                Ok((service, sent)) => {
                    assert_eq!((service.as_str(), sent.as_str()), ("admin", "/admin"), "{path}");
                }
                Err(_) => assert!(path.contains("%2f"), "{path}"),
            }
        }
        for path in ["/admin/../open", "/admin/%2e%2e/open", "/admin/./../open"] {
            assert_eq!(sent_on(path), Ok(("open".into(), "/open".into())), "{path}");
        }
        for path in [
            "/admin%2fx",
            "/x%2f..%2fadmin",
            "/x/..%5cadmin",
            "/..;/admin",
            "/x/..;a=b/admin",
            "/admin;x/y",
            "/admin%3bx/y",
            "/raw/..%2fadmin",
            "/raw/%2e%2e%2fadmin",
            "/raw/..;/admin",
            "/raw/%2e%2e;/admin",
            "/%2fadmin",
            "/%00admin",
            "/%c0%afadmin",
        ] {
            assert!(sent_on(path).is_err(), "{path}: {:?}", sent_on(path));
        }
    }

    #[test]
    fn each_service_has_its_rule() {
        let ok = |service: &str, sent: &str| Ok((service.to_owned(), sent.to_owned()));
        assert_eq!(sent_on("/a//b/%7ec?d=//%61"), ok("open", "/a/b/~c?d=//%61"));
        assert_eq!(sent_on("/caf%c3%a9"), ok("open", "/caf%C3%A9"));
        assert_eq!(sent_on("/a;v=1/b"), ok("open", "/a;v=1/b"));
        assert_eq!(sent_on("/.well-known/x"), ok("open", "/.well-known/x"));
        assert_eq!(sent_on("/a%2fb"), Err(OddPath::EncodedSlash));
        assert_eq!(sent_on("/strict//b"), Err(OddPath::NotNormal));
        assert_eq!(sent_on("/strict/%c3%a9"), Err(OddPath::NotNormal));
        assert_eq!(sent_on("/strict/%C3%A9"), ok("strict", "/strict/%C3%A9"));
        for path in ["/raw/a%2fb", "/raw//b/../%61", "/raw/%zz", "/raw/a%00"] {
            assert_eq!(sent_on(path), ok("raw", path));
        }
        assert_eq!(sent_on("//raw/x"), Err(OddPath::TwoServices));
        assert_eq!(sent_on("/raw/../open"), ok("open", "/open"));
    }
}
