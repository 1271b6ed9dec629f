//! `evenkeel explain`: which replica a request would get, who would be next, and why any are passed
//! over. The question is answered inside the running balancer, from the very table that it routes by.

use std::net::{IpAddr, Ipv4Addr};

use admin::Explainer;
use api::ExplainShape;
use control::Registry;
use h1::{BadHead, HeadEnd, HeadLimits, RequestHead};
use placement::Key;

use crate::services::Begun;

/// Key rules and tables of all services. Heads are read with these limits.
pub(crate) fn explainer(registry: Registry<Begun>, limits: HeadLimits) -> Explainer {
    Box::new(move |name, question| {
        let found = registry.find(name).ok_or_else(|| format!("there is no service '{name}'"))?;
        let service = &found.attached.settings;
        let head = head_of(question, &limits)?;
        let client = question.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let table = found.control.table.load();
        let key = service.key.key(&head, client, table.key_hash());
        let choices = table.explain(key.unwrap_or_else(|| Key::from_number(fastrand::u64(..))));
        Ok(admin::explanation(config::key_rule_in_words(&service.key), key.is_none(), &choices))
    })
}

/// The head that such a request would have, read as the data plane reads it.
fn head_of(question: &ExplainShape, limits: &HeadLimits) -> Result<RequestHead, String> {
    let path = question.path.as_deref().unwrap_or("/");
    if !path.starts_with('/') {
        return Err(format!("a path begins with a slash: {path:?}"));
    }
    let mut text = format!("GET {path} HTTP/1.0\r\n");
    for (name, value) in &question.headers {
        text = text + name + ": " + value + "\r\n";
    }
    text += "\r\n";
    let mut head = RequestHead::default();
    let end = HeadEnd::default().find(text.as_bytes(), limits);
    // Whoever smuggles an empty line into a value has written more than a head.
    let is_whole = |end: Option<usize>| end == Some(text.len());
    let parsed = end.and_then(|end| {
        if is_whole(end) { head.parse(text.as_bytes(), limits) } else { Err(BadHead::ControlCharacter) }
    });
    parsed.map_err(|fault| format!("this is no request: {fault}"))?;
    Ok(head)
}
