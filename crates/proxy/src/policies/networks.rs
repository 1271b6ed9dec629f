//! Which clients may come, by their address. A client is whoever sent the request behind all proxies that are
//! trusted, as in every rule that speaks of one; what strangers claim in `X-Forwarded-For` is nothing here.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policies::mark::Mark;
use crate::policies::refusal::PolicyAnswer;

/// Whom requests are taken from. Networks of IPv4 clients are those of IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// If there are any, from these alone.
    pub allow: Vec<IpNet>,
    /// From none of these, also if they are among the others.
    pub deny: Vec<IpNet>,
}

impl Networks {
    /// Whether everybody may come.
    pub fn are_open(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    /// What a client gets who may not come.
    pub(crate) fn refuse(&self, client: IpAddr) -> Option<PolicyAnswer> {
        let client = client.to_canonical();
        let has = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        let may_come = !has(&self.deny) && (self.allow.is_empty() || has(&self.allow));
        let text = "this is not open to the network that the request comes from";
        let answer = || PolicyAnswer {
            mark: Mark::NetworkRefused,
            status: 403,
            text: Some(text.into()),
            fields: Vec::new(),
        };
        (!may_come).then(answer)
    }
}

/// What is set, in words.
impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |networks: &[IpNet]| networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ");
        match (&*self.deny, &*self.allow) {
            (deny, []) => write!(f, "refuses {}", list(deny)),
            ([], allow) => write!(f, "takes {} and refuses all others", list(allow)),
            (deny, allow) => {
                write!(f, "refuses {}, takes {} and refuses all others", list(deny), list(allow))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(allow: &[&str], deny: &[&str]) -> Networks {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Networks { allow: read(allow), deny: read(deny) }
    }

    #[test]
    fn who_is_denied_is_refused_and_so_is_who_is_not_allowed() {
        let office = &["10.0.0.0/8", "2001:db8::/32"][..];
        for (allow, deny, client, may_come) in [
            (&[][..], &[][..], "192.0.2.1", true),
            (office, &[], "10.1.2.3", true),
            (office, &[], "::ffff:10.1.2.3", true),
            (office, &[], "11.0.0.0", false),
            (office, &[], "9.255.255.255", false),
            (office, &[], "2001:db8:ffff::1", true),
            (office, &[], "2001:db9::", false),
            (office, &[], "::1", false),
            (office, &["10.6.6.0/24"], "10.6.6.255", false),
            (office, &["10.6.6.0/24"], "10.6.7.0", true),
            (office, &["10.6.6.0/24"], "192.0.2.1", false),
            (&["10.6.6.6/32"], &["10.0.0.0/8"], "10.6.6.6", false),
            (&[], &["10.6.6.0/24"], "::ffff:10.6.6.1", false),
            (&[], &["10.6.6.0/24"], "10.6.7.1", true),
            (&[], &["0.0.0.0/0"], "2001:db8::1", true),
            (&[], &["0.0.0.0/0", "::/0"], "2001:db8::1", false),
            (&["0.0.0.0/0"], &[], "::ffff:1.2.3.4", true),
        ] {
            let answer = networks(allow, deny).refuse(client.parse().unwrap());
            assert_eq!(answer.is_none(), may_come, "{client}, allow {allow:?}, deny {deny:?}");
            assert!(answer.is_none_or(|answer| answer.status == 403));
        }
    }
}
