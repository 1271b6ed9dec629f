//! Rates as clients meet them, with times that are given, and with many threads at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::buckets::BUCKETS_MAX;
use super::*;

fn limit(requests: u32, per: RatePeriod, burst: u32, by: RateKey) -> RateLimit {
    RateLimit { requests, per, burst, by }
}

fn head(fields: &[(&str, &[u8])]) -> RequestHead {
    let mut head = RequestHead::default();
    head.start(b"GET", b"/", None).unwrap();
    fields.iter().for_each(|(name, value)| head.push(name.as_bytes(), value));
    head
}

fn asking<'a>(head: &'a RequestHead, client: &str) -> Asking<'a> {
    Asking { head, client: client.parse().unwrap(), rule: &KeyRule::Random }
}

impl RateLimiter {
    /// Whether a request passes so many milliseconds after the beginning.
    fn passes(&self, asking: Asking<'_>, millis: u64) -> bool {
        self.take(asking, self.begun + Duration::from_millis(millis)).is_ok()
    }
}

#[test]
fn a_full_bucket_has_the_burst_and_then_the_rate() {
    let limiter = RateLimiter::new(limit(10, RatePeriod::Second, 5, RateKey::Client));
    let head = head(&[]);
    let at = |millis| limiter.passes(asking(&head, "192.0.2.1"), millis);
    let all_at = |millis| (0..100).filter(|_| at(millis)).count();
    for (millis, pass) in [
        (0, 5),
        (99, 0),
        (100, 1),
        (350, 2),
        (399, 0),
        (400, 1),
        // However long the pause, of the process or of the client, the bucket holds no more than the burst.
        (100_000, 5),
        (86_400_000_000, 5),
        // A worker whose look at the clock was earlier gets nothing for it.
        (100_000, 0),
    ] {
        assert_eq!(all_at(millis), pass, "at {millis} ms");
    }
}

#[test]
fn an_odd_rate_is_never_faster_than_it_says() {
    for (requests, per, burst) in [
        (3, RatePeriod::Second, 1),
        (7, RatePeriod::Minute, 2),
        (1, RatePeriod::Day, 1),
        (1_000_000, RatePeriod::Second, 1),
        (1, RatePeriod::Day, 50_000),
        (u32::MAX, RatePeriod::Second, 100_000),
    ] {
        let pace = Pace::of(&limit(requests, per, burst, RateKey::Service));
        let period = u64::from(per.seconds()) * 1_000_000_000;
        assert!(pace.interval * u64::from(requests) >= period, "{requests} in a {}", per.name());
        let (mut full_at, mut passed) = (0, 0u64);
        while let Ok(after) = pace.take(full_at, 0) {
            (full_at, passed) = (after, passed + 1);
            assert!(passed <= u64::from(burst), "more than {burst} at once");
        }
        assert_eq!(passed, u64::from(burst));
    }
}

#[test]
fn a_bucket_that_never_fills_is_no_endless_one() {
    for (requests, per, burst) in [(1, RatePeriod::Day, u32::MAX), (1, RatePeriod::Hour, u32::MAX)] {
        let pace = Pace::of(&limit(requests, per, burst, RateKey::Service));
        // A hundred years after the beginning.
        let now = 100 * 366 * 86_400 * 1_000_000_000;
        assert!(pace.take(now + pace.depth, now).is_err(), "an empty one has nothing");
        assert!(pace.take(now + pace.depth - pace.interval, now).is_ok());
    }
}

#[test]
fn who_is_told_to_wait_passes_then_and_not_before() {
    let limiter = RateLimiter::new(limit(30, RatePeriod::Minute, 1, RateKey::Client));
    let head = head(&[]);
    let asking = asking(&head, "192.0.2.1");
    let at = |millis| limiter.take(asking, limiter.begun + Duration::from_millis(millis));
    assert_eq!(at(0), Ok(()));
    assert_eq!(at(700), Err(Empty { wait: Duration::from_millis(1300) }));
    let answer = limiter.answer(Empty { wait: Duration::from_millis(1300) }, "shop");
    let fields: Vec<_> = answer.fields.iter().map(|field| (field.name, field.value.as_slice())).collect();
    let expected = [
        ("retry-after", &b"2"[..]),
        ("ratelimit-policy", b"\"shop\";q=30;w=60"),
        ("ratelimit", b"\"shop\";r=0;t=2"),
    ];
    assert_eq!((answer.status, &fields[..]), (429, &expected[..]));
    assert!(at(1999).is_err() && at(2000).is_ok());
}

#[test]
fn each_client_has_its_own_bucket_however_it_writes_its_address() {
    let limiter = RateLimiter::new(limit(1, RatePeriod::Day, 1, RateKey::Client));
    let head = head(&[]);
    for (client, passes) in [
        ("192.0.2.1", true),
        ("::ffff:192.0.2.1", false),
        ("192.0.2.2", true),
        ("2001:db8::1", true),
        ("2001:db8::ffff:1", false),
        ("2001:db8:0:1::1", true),
    ] {
        assert_eq!(limiter.passes(asking(&head, client), 0), passes, "{client}");
    }
}

#[test]
fn a_header_is_counted_by_its_value_and_who_sends_none_by_the_client() {
    let by = RateKey::Header(HeaderName::from_static("x-api-key"));
    let limiter = RateLimiter::new(limit(1, RatePeriod::Day, 1, by));
    let (long, other) = (vec![b'a'; 8 << 10], [vec![b'a'; (8 << 10) - 1], vec![b'b']].concat());
    for (value, client, passes) in [
        (Some(&b"alice"[..]), "192.0.2.1", true),
        (Some(b"alice"), "192.0.2.2", false),
        (Some(b"bob"), "192.0.2.1", true),
        (Some(b"Bob"), "192.0.2.1", true),
        (Some(&long), "192.0.2.1", true),
        (Some(&other), "192.0.2.1", true),
        (Some(&long), "192.0.2.1", false),
        (Some(b"\xff\xfe"), "192.0.2.1", true),
        // An empty value is none, and an address as a value is not that client.
        (Some(b"192.0.2.1"), "192.0.2.9", true),
        (None, "192.0.2.1", true),
        (Some(b""), "192.0.2.1", false),
        (None, "192.0.2.1", false),
        (Some(b""), "192.0.2.2", true),
    ] {
        let fields: Vec<_> = value.iter().map(|value| ("x-api-key", *value)).collect();
        let head = head(&fields);
        let shown = value.map(|value| String::from_utf8_lossy(&value[..value.len().min(12)]).into_owned());
        assert_eq!(limiter.passes(asking(&head, client), 0), passes, "{shown:?} from {client}");
    }
    // The first of several counts, as for everybody who looks for one.
    let twice = head(&[("x-api-key", b"alice"), ("x-api-key", b"fresh")]);
    assert!(!limiter.passes(asking(&twice, "192.0.2.3"), 0));
}

#[test]
fn the_key_of_the_service_and_the_service_itself_can_be_counted() {
    let limiter = RateLimiter::new(limit(1, RatePeriod::Day, 1, RateKey::Key));
    let rule = KeyRule::Cookie("session".into());
    let mut heads = ["session=a", "session=a", "session=b", "session=", ""]
        .map(|cookie| head(&[("cookie", cookie.as_bytes())]));
    let passed = heads
        .each_mut()
        .map(|head| limiter.passes(Asking { head, client: "192.0.2.1".parse().unwrap(), rule: &rule }, 0));
    assert_eq!(passed, [true, false, true, true, false]);
    let limiter = RateLimiter::new(limit(1, RatePeriod::Day, 2, RateKey::Service));
    let passed =
        ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|client| limiter.passes(asking(&heads[0], client), 0));
    assert_eq!(passed, [true, true, false]);
}

#[test]
fn a_million_keys_stay_within_the_bound_and_forget_nobody_who_keeps_coming() {
    let by = RateKey::Header(HeaderName::from_static("x-api-key"));
    let limiter = RateLimiter::new(limit(1, RatePeriod::Day, 1, by));
    let regular = head(&[("x-api-key", b"regular")]);
    assert!(limiter.passes(asking(&regular, "192.0.2.1"), 0));
    for number in 0..1_000_000u32 {
        let stranger = head(&[("x-api-key", &number.to_be_bytes())]);
        assert!(limiter.passes(asking(&stranger, "192.0.2.1"), 0), "{number}");
        if number % 10_000 == 0 {
            assert!(!limiter.passes(asking(&regular, "192.0.2.1"), 0), "forgotten after {number}");
            assert!(limiter.buckets.count() <= BUCKETS_MAX);
        }
    }
    assert!(limiter.buckets.count() <= BUCKETS_MAX, "{} buckets", limiter.buckets.count());
}

#[test]
fn sixteen_threads_get_no_more_than_the_rate_and_the_burst() {
    const THREADS: usize = 16;
    const RATE: u32 = 20_000;
    const BURST: u32 = 50;
    let limiter = RateLimiter::new(limit(RATE, RatePeriod::Second, BURST, RateKey::Client));
    let (passed, asked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let head = head(&[]);
                let asking = asking(&head, "192.0.2.1");
                while begun.elapsed() < Duration::from_millis(200) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    if limiter.take(asking, Instant::now()).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let most = begun.elapsed().as_secs_f64() * f64::from(RATE) + f64::from(BURST);
    let (passed, asked) = (passed.into_inner(), asked.into_inner());
    assert!(passed as f64 <= most, "{passed} of {asked} passed, {most} may");
    assert!(passed >= BURST as usize, "{passed} of {asked} passed");
}
