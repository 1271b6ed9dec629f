//! What happened, in the words of the API: the one place where they are chosen.

use api::EventShape;
use control::{Departure, Happening, Journal, Record};

/// What the journal holds, the oldest first.
pub(crate) fn events(journal: &Journal) -> Vec<EventShape> {
    journal.records().iter().map(|record| event(record)).collect()
}

fn event(record: &Record) -> EventShape {
    let replica = record.replica.as_ref();
    EventShape {
        number: record.number,
        at: humantime::format_rfc3339_millis(record.at).to_string(),
        service: record.service.to_string(),
        seat: replica.map(|replica| replica.seat.number()),
        incarnation: replica.map(|replica| replica.life.incarnation),
        life: replica.map(|replica| replica.life.to_string()),
        replica: replica.and_then(|replica| replica.name.as_ref()).map(ToString::to_string),
        event: word(&record.happening).to_string(),
        reason: reason(&record.happening),
        last_output: last_output(&record.happening),
    }
}

fn word(happening: &Happening) -> &'static str {
    match happening {
        Happening::Starting => "starting",
        Happening::Ready => "ready",
        Happening::OutOfTable(_) => "out of the table",
        Happening::HalfOpen => "half-open",
        Happening::Replaced { .. } => "replaced",
        Happening::SeatTaken => "takes the seat",
        Happening::CrashLooping { .. } => "crash-looping",
        Happening::Draining => "draining",
        Happening::Stopping => "stopping",
        Happening::Ended { .. } => "ended",
        Happening::Abandoned { .. } => "abandoned",
        Happening::Passed => "has its seat",
        Happening::CannotStart { .. } => "cannot start",
        Happening::CanStart => "can start",
        Happening::RollingBack { .. } => "rolling back",
        Happening::RolloutGivenUp { .. } => "rollout given up",
        Happening::RolloutEnded => "rollout ended",
        Happening::Paused { .. } => "paused",
        Happening::Resumed { .. } => "resumed",
        Happening::CannotStore { .. } => "cannot store",
        Happening::CanStoreAgain => "can store again",
    }
}

fn reason(happening: &Happening) -> Option<String> {
    match happening {
        Happening::OutOfTable(Departure::Ill { signs, .. }) => Some(signs.clone()),
        Happening::OutOfTable(Departure::Dead(death)) => death.as_ref().map(ToString::to_string),
        Happening::Replaced { death } | Happening::Abandoned { death } => Some(death.to_string()),
        Happening::CrashLooping { failures, death, .. } => {
            Some(format!("{failures} failures in a row; the last one {death}"))
        }
        Happening::Ended { exit } => Some(exit.to_string()),
        Happening::RollingBack { failure } | Happening::RolloutGivenUp { failure } => {
            Some(failure.to_string())
        }
        Happening::Paused { length } => Some(format!("for {length:?}")),
        Happening::Resumed { end } => Some(end.to_string()),
        Happening::CannotStore { why } | Happening::CannotStart { why } => Some(why.clone()),
        Happening::OutOfTable(Departure::Meant)
        | Happening::Starting
        | Happening::Ready
        | Happening::HalfOpen
        | Happening::SeatTaken
        | Happening::Draining
        | Happening::Stopping
        | Happening::Passed
        | Happening::RolloutEnded
        | Happening::CanStart
        | Happening::CanStoreAgain => None,
    }
}

fn last_output(happening: &Happening) -> Vec<String> {
    match happening {
        Happening::CrashLooping { last_output, .. } => last_output.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use control::{PauseEnd, Subject};
    use fleet::{Death, Exit, Life, ReplicaName, Sign};
    use placement::Seat;

    use super::*;

    fn line(replica: Option<Subject>, happening: Happening) -> String {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_234);
        serde_json::to_string(&event(&Record {
            number: 1,
            at,
            service: Arc::from("web"),
            replica,
            happening,
        }))
        .unwrap()
    }

    #[test]
    fn what_happened_to_a_replica_is_told_with_its_seat_and_life() {
        let seat = Seat::new(2).unwrap();
        let life = Life { seat: Seat::new(10_001).unwrap(), incarnation: 3 };
        let name = Some(ReplicaName::parse("web_2").unwrap());
        let exit = Exit { code: Some(1), ..Exit::default() };
        let cases = [
            (Happening::Ready, r#""event":"ready","reason":null,"last_output":[]"#.to_string()),
            (
                Happening::OutOfTable(Departure::Ill { sign: Sign::ALL[0], signs: "two signs".into() }),
                r#""event":"out of the table","reason":"two signs","last_output":[]"#.into(),
            ),
            (
                Happening::OutOfTable(Departure::Dead(None)),
                r#""event":"out of the table","reason":null,"last_output":[]"#.into(),
            ),
            (
                Happening::CrashLooping {
                    failures: 4,
                    death: Death::Exited(exit.clone()),
                    last_output: vec!["no disk".into()],
                },
                format!(
                    r#""event":"crash-looping","reason":"4 failures in a row; the last one {exit}","last_output":["no disk"]"#
                ),
            ),
        ];
        for (happening, expected) in cases {
            let subject = Subject { seat, life, name: name.clone() };
            let head = r#"{"number":1,"at":"1970-01-01T00:00:01.234Z","service":"web","seat":2,"incarnation":3,"life":"10001.3","replica":"web_2","#;
            assert_eq!(line(Some(subject), happening), format!("{head}{expected}}}"));
        }
    }

    #[test]
    fn what_happened_to_a_service_has_no_replica() {
        let head = r#"{"number":1,"at":"1970-01-01T00:00:01.234Z","service":"web","replica":null,"#;
        let cases = [
            (Happening::Paused { length: Duration::from_secs(30) }, "paused", "for 30s"),
            (Happening::Resumed { end: PauseEnd::InTime }, "resumed", "its time is over"),
            (Happening::Resumed { end: PauseEnd::Asked }, "resumed", "it was asked for"),
        ];
        for (happening, event, reason) in cases {
            let expected = format!(r#"{head}"event":"{event}","reason":"{reason}","last_output":[]}}"#);
            assert_eq!(line(None, happening), expected);
        }
    }
}
