//! The language against a store whose answers are known.

use proptest::prelude::*;

use super::*;
use crate::viewer::sample::{Sample, checkout};
use crate::viewer::span::Kind::{Client, Server};
use crate::viewer::store::Trace;

const KEYS: [&str; 9] = [
    "http.response.status_code",
    "http.request.method",
    "user.id",
    "db.system.name",
    "db.query.text",
    "error.type",
    "server.address",
    "rpc.response.status_code",
    "rpc.system.name",
];

/// 1 and 5 are checkouts that fail; 2 a quick success; 3 a billing that times out; 4 a slow page with a slow query.
fn traces() -> Vec<std::sync::Arc<Trace>> {
    let ok = [("http.response.status_code", "200")];
    vec![
        checkout(1).trace(),
        Sample::new(2)
            .span(
                (1, 0),
                Server,
                ("shop", "GET /product/{id}"),
                (0, 20),
                &[("http.response.status_code", "200"), ("user.id", "42")],
            )
            .span((2, 1), Client, ("shop", "SELECT"), (5, 9), &[("db.system.name", "postgresql")])
            .trace(),
        Sample::new(3)
            .span(
                (1, 0),
                Server,
                ("edge", "GET /invoice/{id}"),
                (0, 3000),
                &[("http.response.status_code", "504"), ("error.type", "504")],
            )
            .span((2, 1), Client, ("edge", "GET"), (1, 2999), &[("error.type", "timeout")])
            .span(
                (3, 2),
                Server,
                ("billing-legacy", "GET /invoice/{id}"),
                (2, 3500),
                &[("http.response.status_code", "500"), ("error.type", "500")],
            )
            .trace(),
        Sample::new(4)
            .span((1, 0), Server, ("shop", "GET /search"), (0, 1500), &ok)
            .span((2, 1), Client, ("shop", "SELECT"), (5, 90), &[("db.system.name", "postgresql")])
            .span(
                (3, 1),
                Client,
                ("shop", "GET cart"),
                (95, 99),
                &[("server.address", "redis"), ("error.type", "connection_reset")],
            )
            .trace(),
        checkout(5).trace(),
    ]
}

fn ask(query: &str) -> Vec<u128> {
    let query = read(&parse(query).expect("it is right"), &KEYS).expect("it has a meaning");
    traces().iter().filter(|trace| query.ask(trace).is_match()).map(|trace| trace.id).collect()
}

#[test]
fn each_example_finds_what_it_should() {
    let known: &[(&str, &[u128])] = &[
        ("", &[1, 2, 3, 4, 5]),
        ("service=orders status>=500 duration>200ms user.id=42", &[1, 5]),
        ("service=orders status>=500 duration>200ms user.id=43", &[]),
        ("status=5xx -service=billing-legacy", &[1, 3, 5]),
        ("db=postgres duration>50ms", &[4]),
        ("db=postgres duration<50ms", &[1, 2, 5]),
        (r#"name~"GET /product/*""#, &[2]),
        ("has:retry", &[1, 5]),
        ("error=timeout,connection_reset", &[3, 4]),
        ("trace.duration>1s similar>=20", &[]),
        ("trace.duration>400ms similar>=10", &[1, 5]),
        ("{service=shop} {peer=redis error=*}", &[4]),
        ("00000000000000000000000000000003", &[3]),
        // Beyond the examples.
        ("-service=billing-legacy", &[1, 2, 4, 5]),
        ("-error=*", &[2]),
        ("service=shop OR service=billing-legacy", &[2, 3, 4]),
        ("(service=shop || kind=client) && status=error", &[1, 3, 4, 5]),
        ("cardpay", &[1, 5]),
        ("\"SELECT stock\"", &[1, 5]),
        ("duration=1s..2s", &[4]),
        ("status=UNAVAILABLE", &[1, 5]),
        ("status = 500..504", &[1, 3, 5]),
        ("trace.spans>15", &[1, 5]),
        ("trace.root=\"edge GET /invoice/{id}\"", &[3]),
        ("trace.errors>0 -similar>=10", &[3, 4]),
        ("own>1s", &[3, 4]),
        ("status!=200 kind=server", &[1, 3, 5]),
        ("incomplete=true", &[]),
    ];
    for (query, expected) in known {
        assert_eq!(ask(query), *expected, "{query}");
    }
}

#[test]
fn what_is_pasted_from_elsewhere_is_understood_and_what_was_guessed_is_said() {
    let guess = |query: &str| read(&parse(query).unwrap(), &KEYS).unwrap().guesses;
    assert_eq!(
        ask("{ span.http.response.status_code >= 500 && resource.service.name == \"orders\" }"),
        [1, 5]
    );
    assert_eq!(ask("USER.ID = 42"), [1, 2, 5]);
    assert_eq!(ask(".user.id:42"), [1, 2, 5]);
    assert_eq!(guess("status>=500"), ["status>=500 is read as http.response.status_code>=500"]);
    assert_eq!(guess("method.x=1"), ["No span has method.x yet. The nearest key is method."]);
    assert_eq!(guess("nothing.of.the.kind=1"), Vec::<String>::new());
    assert_eq!(guess("text~stock"), ["text~stock is read as db.query.text~stock"]);
    assert_eq!(guess("duration>200"), ["200 is read as 200ms"]);
    assert_eq!(guess("user.ld=1"), ["No span has user.ld yet. The nearest key is user.id."]);
    // status_code ends two keys: which one is meant is not known.
    assert_eq!(ask("status_code=200"), Vec::<u128>::new());
}

#[test]
fn a_mistake_says_where_and_what() {
    let mistake = |query: &str| match parse(query) {
        Err(mistake) => mistake,
        Ok(node) => read(&node, &KEYS).expect_err("it is wrong"),
    };
    for (query, at, says) in [
        ("duration>abc", 9..12, "duration"),
        ("service=", 8..8, "value"),
        ("(service=a", 0..1, "not closed"),
        ("service=a)", 9..10, "no bracket open"),
        ("=5", 0..1, "key"),
        ("{a=1} >> {b=2}", 6..7, "key"),
        ("a >> b", 2..4, "structural"),
        ("{a=1} | rate()", 6..7, "Pipelines"),
        ("user.id>\"x", 8..10, "not closed"),
        ("has:", 4..4, "has:"),
        ("user.id>x", 8..9, "number"),
    ] {
        let mistake = mistake(query);
        assert_eq!(mistake.at, at, "{query}: {}", mistake.text);
        assert!(mistake.text.contains(says), "{query}: {}", mistake.text);
    }
    assert!(parse(&"(".repeat(1_000)).is_err());
    assert!(parse(&"-".repeat(1_000)).is_err());
    assert!(parse(&"a ".repeat(4_000)).is_err());
}

/// Pieces that queries are made of.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z.]{1,6}".prop_map(|key| format!("{key}=")),
        "[a-z]{1,4}(=|!=|>=|<|~|:| = |==)[a-z0-9*.]{1,5}",
        Just("service=orders".to_owned()),
        Just("duration>200ms".to_owned()),
        Just("has:retry".to_owned()),
        Just("status=5xx".to_owned()),
        Just("\"a b\\\"c\"".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("(".to_owned()),
        Just(")".to_owned()),
        Just("OR".to_owned()),
        Just("AND".to_owned()),
        Just("NOT".to_owned()),
        Just("-".to_owned()),
        Just("!".to_owned()),
        Just("||".to_owned()),
        Just(",".to_owned()),
        "\\PC{0,3}",
    ];
    prop::collection::vec((piece, prop::bool::ANY), 0..12).prop_map(|pieces| {
        pieces.into_iter().map(|(piece, space)| if space { piece + " " } else { piece }).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn what_was_read_is_written_back(query in prop_oneof![pieces(), ".{0,60}"]) {
        match parse(&query) {
            Ok(node) => {
                let written = node.to_string();
                prop_assert_eq!(parse(&written), Ok(node.clone()), "{}", written);
                let _ = read(&node, &KEYS);
            }
            Err(mistake) => {
                prop_assert!(mistake.at.start <= mistake.at.end && mistake.at.end <= query.len());
                prop_assert!(!mistake.text.is_empty());
            }
        }
    }
}
