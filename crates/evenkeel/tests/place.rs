//! `evenkeel place` and `evenkeel simulate` as their users meet them: the answers are the library's, wrong
//! usage says what is wrong.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use placement::{
    Classic, ClassicHash, ClassicSettings, Key, MaglevSize, Member, Named, NamedAlgorithm, Placement, Probe,
    Rendezvous, RingLayout, Seat, SeatNames,
};
use serde_json::{Value, json};

fn start(arguments: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    let (input, output) = (Stdio::piped(), Stdio::piped());
    command.args(arguments.split(' ')).stdin(input).stdout(output).stderr(Stdio::piped()).spawn().unwrap()
}

/// Exit code, standard output, standard error.
fn run(arguments: &str) -> (Option<i32>, String, String) {
    run_with(arguments, String::new())
}

fn run_with(arguments: &str, input: String) -> (Option<i32>, String, String) {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().unwrap();
    // It writes while it reads: whoever only writes would wait for ever.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn answer(arguments: &str) -> String {
    let (code, answer, said) = run(arguments);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{arguments}");
    answer
}

fn json_of(arguments: &str) -> Value {
    serde_json::from_str(&answer(arguments)).unwrap()
}

/// The orders that the program gives for these keys, as numbers or names.
fn orders(arguments: &str, keys: &[&str]) -> Vec<Vec<String>> {
    let answer = answer(&format!("place --json {arguments} --keys {}", keys.join(",")));
    let lines: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let asked: Vec<&str> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    assert_eq!(asked, keys);
    let word = |label: &Value| label.as_str().map_or(label.to_string(), str::to_owned);
    lines
        .iter()
        .map(|line| {
            assert_eq!(line["replica"], line["order"][0]);
            line["order"].as_array().unwrap().iter().map(word).collect()
        })
        .collect()
}

const KEYS: [&str; 8] = ["alice", "bob", "/home", "132574", "237891", "10.0.0.7", "ü", "key-1"];

#[test]
fn in_classic_a_number_is_a_request_id_whatever_its_length() {
    // With 512 slots, r and r + 512 begin at one.
    let orders = orders("--algorithm classic --replicas 1,2,3", &["5", "517", "100357", "1049605", "05"]);
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
    let classic = Classic::new(ClassicSettings::default());
    let mut placement = Placement::Classic(classic);
    for seat in 1..=3 {
        placement.insert(Member::new(Seat::new(seat).unwrap())).unwrap();
    }
    let first = placement.order(Key::from_request_id(5)).next().unwrap();
    assert_eq!(orders[0][0], first.to_string());
}

#[test]
fn every_order_is_the_librarys() {
    let addresses = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];
    let names = || SeatNames::new(addresses.map(str::to_owned).to_vec()).unwrap();
    let named = |algorithm| Placement::Named(Named::new(algorithm, names()));
    let classic = |settings| Placement::Classic(Classic::new(settings));
    let unlike = ClassicSettings {
        slots: 101,
        virtual_servers: 4,
        probe: Probe::Quadratic,
        hash: ClassicHash::Splitmix,
    };
    let (even, uneven) = ([1, 1, 1], [2, 1, 5]);
    let list = |labels: [&str; 3], weights: [u32; 3]| {
        [0, 1, 2].map(|at| format!("{}={}", labels[at], weights[at])).join(",")
    };
    let (by_number, by_name) = (|weights| list(["1", "2", "3"], weights), |weights| list(addresses, weights));
    let maglev = |size| named(NamedAlgorithm::Maglev(MaglevSize::new(size).unwrap()));
    let cases = [
        ("", by_number(even), Placement::Rendezvous(Rendezvous::default()), even),
        ("", by_number(uneven), Placement::Rendezvous(Rendezvous::default()), uneven),
        ("--algorithm classic", "1,2,3".into(), classic(ClassicSettings::default()), even),
        (
            "--algorithm classic --slots 101 --virtual 4 --probe quadratic --hash splitmix",
            "1,2,3".into(),
            classic(unlike),
            even,
        ),
        ("--algorithm ring", by_name(uneven), named(NamedAlgorithm::Ring(RingLayout::Nginx)), uneven),
        (
            "--algorithm ring --layout ketama",
            by_name(uneven),
            named(NamedAlgorithm::Ring(RingLayout::Ketama)),
            uneven,
        ),
        ("--algorithm maglev", by_name(even), maglev(65_537), even),
        ("--algorithm maglev --table-size 101", by_name(uneven), maglev(101), uneven),
    ];
    for (options, replicas, mut placement, weights) in cases {
        for (index, weight) in weights.into_iter().enumerate() {
            placement.insert(Member { seat: Seat::at_index(index), weight }).unwrap();
        }
        let label = |seat: Seat| match placement {
            Placement::Named(_) => addresses[seat.index()].to_owned(),
            _ => seat.to_string(),
        };
        let order = |key: &&str| {
            let order = placement.order(placement.key_hash().key(key.as_bytes()));
            order.map(label).collect::<Vec<_>>()
        };
        let expected: Vec<_> = KEYS.iter().map(order).collect();
        let options = format!("{options} --replicas {replicas}");
        assert_eq!(orders(options.trim(), &KEYS), expected, "{options}");
    }
}

#[test]
fn classic_is_the_contracts() {
    let contract = "--algorithm classic --replicas 1,2,3";
    let text = answer(&format!("place {contract} --keys 132574,237891"));
    assert_eq!(text, "REPLICA  ORDER  KEY\n3        3 1 2  132574\n2        2 1 3  237891\n");
    let table = json_of(&format!("place {contract} --table"));
    assert_eq!((&table["algorithm"], &table["size"]), (&json!("classic"), &json!(512)));
    let slots = table["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 512);
    for (number, expected) in [
        (1, [26, 29, 34, 41, 50, 61, 74, 89, 106]),
        (2, [30, 32, 37, 44, 53, 64, 77, 92, 109]),
        (3, [35, 38, 42, 49, 58, 69, 82, 97, 114]),
    ] {
        let held: Vec<usize> = (0..512).filter(|slot| slots[*slot] == json!(number)).collect();
        assert_eq!(held, expected);
    }
    assert_eq!(slots.iter().filter(|slot| slot.is_null()).count(), 512 - 27);
    let shares = json_of(&format!("place {contract} --shares --json"));
    assert_eq!(shares["sampled_keys"], Value::Null);
    for (at, expected) in [0.84375, 0.046_875, 0.109_375].into_iter().enumerate() {
        assert_eq!(shares["shares"][at]["replica"], json!(at + 1));
        assert_eq!(shares["shares"][at]["share"].as_f64(), Some(expected), "{shares}");
    }
    assert!((shares["largest_over_mean"].as_f64().unwrap() - 2.53125).abs() < 1e-4, "{shares}");
}

#[test]
fn weights_are_shares() {
    for options in ["--replicas 1=2,2=1", "--algorithm maglev --replicas a=2,b=1"] {
        let shares = json_of(&format!("place {options} --shares --json"));
        let share = shares["shares"][0]["share"].as_f64().unwrap();
        assert!((share - 2.0 / 3.0).abs() < 0.01, "{options}: {shares}");
    }
    let sampled = answer("place --replicas 7=2,3=1 --shares --samples 1000");
    let lines: Vec<&str> = sampled.lines().collect();
    assert!(lines[1].starts_with("7 ") && lines[2].starts_with("3 "), "in the order given:\n{sampled}");
    assert!(sampled.contains("counted over 1000 sampled keys"), "{sampled}");
}

#[test]
fn maglev_shows_its_table_by_name() {
    let table = json_of("place --algorithm maglev --table-size 7 --replicas 9,4 --table");
    let slots = table["slots"].as_array().unwrap();
    assert_eq!((&table["algorithm"], slots.len()), (&json!("maglev"), 7));
    assert!(slots.iter().all(|slot| *slot == json!("9") || *slot == json!("4")), "{table}");
}

#[test]
fn a_hundred_thousand_keys_come_from_standard_input() {
    let keys: Vec<String> = (0..100_000).map(|number| format!("key-{number}")).collect();
    let input = keys.join("\r\n\n");
    let (code, text, said) = run_with("place --replicas 1,2,3 --keys first --keys-file - --json", input);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 100_001);
    for (at, key) in [(0, "first"), (1, "key-0"), (100_000, "key-99999")] {
        assert_eq!(serde_json::from_str::<Value>(lines[at]).unwrap()["key"], key);
    }
}

#[test]
fn each_key_is_answered_before_the_next_is_written() {
    let mut child = start("place --replicas 1,2,3 --keys-file - --json");
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answers = BufReader::new(output).lines();
    for key in ["a", "b"] {
        writeln!(input, "{key}").unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["key"], key);
    }
    drop(answers);
    // Nobody reads any more: it ends without a word.
    let _ = writeln!(input, "c");
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}

#[test]
fn wrong_usage_says_what_is_wrong_with_exit_code_2() {
    let cases = [
        ("place --keys a", "--replicas <REPLICAS>"),
        ("place --replicas 1,2", "<--keys <KEYS>|--keys-file <FILE>|--table|--shares>"),
        ("place --replicas 1,2 --keys a --shares", "cannot be used with"),
        ("place --replicas 1,2 --keys-file - --table", "cannot be used with"),
        ("place --replicas 1,2 --table --shares", "cannot be used with"),
        ("place --replicas 1,2,1 --keys a", "--replicas names '1' twice"),
        ("place --algorithm ring --replicas a,b,a --keys a", "--replicas names 'a' twice"),
        ("place --replicas 1,a --keys a", "'a' is not the number of a seat"),
        ("place --replicas 0 --keys a", "'0' is not the number of a seat"),
        ("place --replicas 1=0 --keys a", "a weight is a whole number from 1 to 65536"),
        ("place --replicas 1=x --keys a", "a weight is a whole number from 1 to 65536"),
        ("place --replicas 1,,2 --keys a", "a replica needs a name or a number"),
        ("place --algorithm classic --replicas 1=2 --keys a", "classic knows no weights"),
        ("place --algorithm none --replicas 1 --keys a", "rendezvous, classic, ring, maglev"),
        ("place --replicas 1 --keys a --slots 9", "--slots is for --algorithm classic"),
        ("place --replicas 1 --keys a --virtual 9", "--virtual is for --algorithm classic"),
        ("place --replicas 1 --keys a --probe linear", "--probe is for --algorithm classic"),
        ("place --replicas 1 --keys a --hash xxh3", "--hash is for --algorithm classic"),
        ("place --replicas 1 --keys a --layout nginx", "--layout is for --algorithm ring"),
        ("place --replicas 1 --keys a --table-size 7", "--table-size is for --algorithm maglev"),
        ("place --algorithm classic --replicas 1 --keys a --hash md5", "quadratic, splitmix, xxh3"),
        ("place --algorithm classic --replicas 1 --keys a --slots 0", "0 is not in 1..=65535"),
        ("place --algorithm maglev --replicas a --keys a --table-size 8", "a prime number of slots"),
        ("place --replicas 1 --table", "--table is for classic and maglev: rendezvous has no slots"),
        ("place --algorithm ring --replicas a --table", "--table is for classic and maglev"),
        ("place --algorithm ring --replicas a --shares --samples 9", "the shares of ring are exact"),
        ("place --replicas 1 --keys a --samples 9", "cannot be used with"),
        ("simulate --replicas 1,2", "<--remove <REPLICA>|--add <REPLICA>|--weight <REPLICA=WEIGHT>>"),
        ("simulate --replicas 1,2 --remove 3", "--remove: there is no replica '3'"),
        ("simulate --replicas 1,2 --remove 2 --remove 2", "--remove: there is no replica '2'"),
        ("simulate --algorithm ring --replicas a,b --remove c", "--remove: there is no replica 'c'"),
        ("simulate --replicas 1,2 --add 2", "--add: '2' is there already"),
        ("simulate --algorithm maglev --replicas a,b --add b", "--add: 'b' is there already"),
        ("simulate --replicas 1,2 --weight 3=2", "--weight: there is no replica '3'"),
        ("simulate --replicas 1,2 --weight 2", "say which weight: 2=2"),
        ("simulate --algorithm classic --replicas 1,2 --weight 2=2", "classic knows no weights"),
        ("simulate --replicas 1,2 --add 3 --samples 9 --keys-file -", "cannot be used with"),
    ];
    for (arguments, expected) in cases {
        let (code, answer, said) = run(arguments);
        assert_eq!((code, answer.as_str()), (Some(2), ""), "{arguments}: {said}");
        assert!(said.starts_with("error: ") && said.contains(expected), "{arguments}: {expected}\n{said}");
        assert!(said.contains("try '--help'"), "{arguments}\n{said}");
    }
}

#[test]
fn what_cannot_be_read_or_does_not_fit_is_exit_code_1() {
    let cases = [
        ("place --replicas 1 --keys-file /no/such/keys", "error: /no/such/keys cannot be read: No such file"),
        ("simulate --replicas 1 --add 2 --keys-file /no/such/keys", "/no/such/keys cannot be read"),
        ("place --algorithm classic --slots 20 --replicas 1,2,3 --keys a", "at most 2 replicas"),
        ("simulate --algorithm classic --slots 20 --replicas 1,2 --add 3", "at most 2 replicas"),
        ("place --algorithm ring --replicas a=65536,b=65536 --keys a", "points on the ring"),
    ];
    for (arguments, expected) in cases {
        let (code, answer, said) = run(arguments);
        assert_eq!((code, answer.as_str()), (Some(1), ""), "{arguments}: {said}");
        assert!(said.contains(expected), "{arguments}: {said}");
    }
    let (code, _, said) = run_with("simulate --replicas 1 --add 2 --keys-file -", "x".repeat(70_000));
    assert_eq!(code, Some(1));
    assert!(said.contains("line 1 of standard input is longer than 65536 bytes"), "{said}");
}

#[test]
fn a_removal_moves_what_it_must_and_under_maglev_more() {
    let count = |answer: &Value, field: &str| answer[field].as_u64().unwrap();
    let rendezvous = json_of("simulate --replicas 1,2,3 --remove 2 --json");
    assert_eq!(count(&rendezvous, "keys"), 100_000);
    assert!(count(&rendezvous, "moved") > 30_000, "{rendezvous}");
    assert_eq!(rendezvous["moved"], rendezvous["unavoidable"]);
    let flows = rendezvous["flows"].as_array().unwrap();
    let ways: Vec<_> = flows.iter().map(|flow| (&flow["from"], &flow["to"])).collect();
    assert_eq!(ways, [(&json!(2), &json!(1)), (&json!(2), &json!(3))]);
    let sum: u64 = flows.iter().map(|flow| count(flow, "keys")).sum();
    assert_eq!(sum, count(&rendezvous, "moved"));
    let maglev = json_of("simulate --algorithm maglev --replicas a,b,c --remove b --json");
    assert!(count(&maglev, "moved") > count(&maglev, "unavoidable"), "{maglev}");
    // The others keep their names, so on a ring nothing moves but what the removed one had.
    for names in ["a,b,c", "3,2,1", "9,2,4"] {
        let middle = names.split(',').nth(1).unwrap();
        let ring = json_of(&format!(
            "simulate --algorithm ring --replicas {names} --remove {middle} --add x --json"
        ));
        for flow in ring["flows"].as_array().unwrap() {
            assert!(flow["from"] == middle || flow["to"] == "x", "{names}: {ring}");
        }
    }
}

#[test]
fn changes_are_done_in_order_and_shown_for_people() {
    let text = answer("simulate --replicas 1,2 --remove 1,2 --add 2 --samples 100");
    let moved = text.lines().find(|line| line.starts_with("moved")).unwrap();
    let flow = text.lines().last().unwrap();
    assert_eq!(text.lines().next(), Some("of 100 keys"));
    assert!(moved.split_whitespace().nth(1).is_some_and(|count| flow.contains(count)), "{text}");
    assert!(flow.starts_with("1     2 "), "seat 2 went and came back:\n{text}");
    let nobody = answer("simulate --replicas 1 --remove 1 --samples 100");
    assert!(nobody.ends_with("1     nobody  100   1.000000\n"), "{nobody}");
    let same = json_of("simulate --replicas 1=4,2 --weight 1=4 --samples 100 --json");
    assert_eq!((&same["moved"], &same["flows"]), (&json!(0), &json!([])));
    let (code, text, _) =
        run_with("simulate --replicas 1 --add 2=3 --keys-file - --json", "a\nb\n\nc\n".into());
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["keys"]), (Some(0), &json!(3)));
}
