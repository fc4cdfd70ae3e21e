//! Files and variables, as people write them.

use super::*;
use crate::export::otlp::Protocol;
use crate::selection::{Action, Subject, Verdict};
use crate::trace::{CheckRule, RouteRule, Sampler, Share};

fn sources(variables: &[(&str, &str)]) -> Sources {
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Sources { variables, ..Sources::default() }
}

fn read(text: &str, variables: &[(&str, &str)]) -> Settings {
    sources(variables).read("a.yaml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn wrong(text: &str) -> Vec<String> {
    let problems = sources(&[]).read("a.yaml", text).unwrap_err();
    problems.0.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_set_is_the_default() {
    let settings = read("", &[]);
    assert!(settings.set.is_empty() && settings.warnings.is_empty());
    assert_eq!(settings.sampler, Sampler::default());
    assert!(settings.export.otlp.is_none());
    assert!(settings.table().contains("nothing is set"));
}

#[test]
fn a_whole_file() {
    let text = "
log_level: debug
hooks: syscall
data_ring: 4096
sampling:
  sampler: parentbased_traceidratio
  argument: 0.25
http:
  known_methods: [GET, POST]
  redacted_query_keys: [token]
export:
  endpoint: https://otlp.example:4317
  protocol: grpc
  headers:
    authorization: Bearer a=b,c
  compression: gzip
  timeout: 1500
  spool:
    directory: /var/lib/spanwire/spool
    max_bytes: 1000000
    max_age: 3600
select:
  - exclude: {executable: [curl, /usr/bin/wget]}
    name: tools
  - include: {service: shop, port: [80, 8000-8099], label: {app.kubernetes.io/name: [web, w*]}}
    share: 0.1
  - exclude: all
";
    let settings = read(text, &[]);
    assert_eq!(settings.log_level, log::LevelFilter::Debug);
    assert_eq!(settings.data_ring, 4096);
    assert_eq!(settings.sampler, Sampler::parent_based(Share::ratio(0.25).unwrap()));
    assert_eq!(settings.trace().known_methods, ["GET", "POST"]);
    assert_eq!(settings.trace().redacted_query_keys, ["token"]);
    let otlp = settings.export.otlp.as_ref().unwrap();
    assert_eq!((otlp.protocol, otlp.gzip), (Protocol::Grpc, true));
    assert_eq!(otlp.timeout, std::time::Duration::from_millis(1500));
    assert_eq!(otlp.headers[0].1.as_bytes(), b"Bearer a=b,c");
    let spool = otlp.spool.as_ref().unwrap();
    assert_eq!((spool.max_bytes, spool.max_age.as_secs()), (1_000_000, 3600));
    let rules = settings.selection.rules();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["tools", "include_2", "exclude_3"]);
    assert_eq!(rules[1].action, Action::Include { share: Share::ratio(0.1) });
    let [label] = &rules[1].conditions.labels[..] else { panic!("{rules:?}") };
    assert_eq!((label.key.as_str(), label.values.len()), ("app.kubernetes.io/name", 2));
    let curl = Subject {
        executable: "/usr/bin/curl",
        service: "curl",
        unit: None,
        container: None,
        container_name: "",
        labels: &[],
    };
    assert_eq!(settings.selection.of_process(&curl), Verdict::LeftOut(0));
    // Secrets are shown nowhere.
    let shown = format!("{}{settings:?}", settings.table());
    assert!(!shown.contains("Bearer"), "{shown}");
    assert!(settings.table().contains("export.timeout"));
    assert!(settings.table().contains("a.yaml:17: export.timeout"));
}

#[test]
fn the_environment_beats_the_file_and_options_beat_both() {
    let text = "data_ring: 4096\nexport: {endpoint: 'http://file:1'}\n";
    let variables =
        [("SPANWIRE_DATA_RING", "8192"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:1")];
    let settings = read(text, &variables);
    assert_eq!(settings.data_ring, 8192);
    assert!(settings.export.otlp.unwrap().destination().starts_with("http://env:1/"));
    let mut sources = sources(&variables);
    sources.options = vec![("--data-ring", "SPANWIRE_DATA_RING", "16384".into())];
    assert_eq!(sources.read("a.yaml", text).unwrap().data_ring, 16384);
    // Empty is unset.
    assert_eq!(read(text, &[("SPANWIRE_DATA_RING", " ")]).data_ring, 4096);
}

#[test]
fn what_is_wrong_is_named_by_line_and_what_was_meant() {
    for (text, expected) in [
        (
            "export:\n  endpiont: x\n",
            "a.yaml:2: unknown key `export.endpiont`; did you mean `endpoint`?",
        ),
        ("exports: {}\n", "a.yaml:1: unknown key `exports`; did you mean `export`?"),
        ("zzz: 1\n", "a.yaml:1: unknown key `zzz`"),
        ("hooks: magic\n", "a.yaml:1: hooks: \"magic\" is not auto, locked, length or syscall"),
        (
            "data_ring: 5000\n",
            "a.yaml:1: data_ring: \"5000\" is not a power of two and at least 4096",
        ),
        ("data_ring: [1]\n", "a.yaml:1: data_ring: is not one value"),
        (
            "sampling:\n  argument: 2\n",
            "a.yaml:2: sampling.argument: \"2\" is not a share from 0 to 1",
        ),
        (
            "sampling: {sampler: often}\n",
            "a.yaml:1: sampling.sampler: \"often\" is not always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio",
        ),
        (
            "log_level: loud\n",
            "a.yaml:1: log_level: \"loud\" is not off, error, warn, info, debug or trace",
        ),
        ("export: yes\n", "a.yaml:1: export: has settings below it: to, endpoint"),
        (
            "export:\n  endpoint: ftp://c\n",
            "a.yaml:2: export.endpoint: the scheme is neither http nor https",
        ),
        (
            "export:\n  endpoint: http://c\n  timeout: 10s\n",
            "a.yaml:3: export.timeout: \"10s\" cannot be read",
        ),
        (
            "export:\n  endpoint: http://c\n  headers: [a]\n",
            "a.yaml:3: export.headers: is neither one value nor a mapping",
        ),
        ("select: yes\n", "a.yaml:1: select: is not a list of rules"),
        ("select:\n  - {}\n", "a.yaml:2: select: a rule has `include` or `exclude`"),
        ("select:\n  - x\n", "a.yaml:2: select: a rule is a mapping with `include` or `exclude`"),
        (
            "select:\n  - exclude: {exe: curl}\n",
            "a.yaml:2: select: unknown key `exe`; did you mean `executable`?",
        ),
        (
            "select:\n  - exlude: {}\n",
            "a.yaml:2: select: unknown key `exlude`; did you mean `exclude`?",
        ),
        (
            "select:\n  - exclude: {port: http}\n",
            "a.yaml:2: select: \"http\" is no port and no range of ports",
        ),
        ("select:\n  - exclude: {service: []}\n", "a.yaml:2: select: names nothing"),
        (
            "select:\n  - exclude: {label: a=b}\n",
            "a.yaml:2: select: labels are a mapping of their keys to patterns, such as {app: shop}",
        ),
        (
            "select:\n  - exclude: all\n    share: 0.5\n",
            "a.yaml:3: select: a share is of what is included",
        ),
        (
            "select:\n  - include: all\n    share: 50%\n",
            "a.yaml:3: select: \"50%\" is no share from 0 to 1",
        ),
        (
            "select:\n  - include: all\n    exclude: all\n",
            "a.yaml:3: select: a rule either includes or excludes",
        ),
        (
            "select:\n  - {exclude: {port: 1}, name: a}\n  - {exclude: {port: 2}, name: a}\n",
            "a.yaml:3: select: the name \"a\" is another rule's already",
        ),
    ] {
        let found = wrong(text);
        assert!(
            found[0].starts_with(expected),
            "{text}\n  {}\n  not {expected}",
            found.join("\n  ")
        );
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    assert_eq!(wrong("hooks: magic\nzzz: 1\nselect:\n  - exclude: {port: 0}\n").len(), 3);
    let problems = Problems(vec![
        Problem { place: Place::Option("--hooks"), why: "a".into() },
        Problem { place: Place::Variable("OTEL_X".into()), why: "b".into() },
    ]);
    assert_eq!(problems.to_string(), "--hooks: a\nspanwire: OTEL_X: b");
}

#[test]
fn standard_variables_are_ignored_with_a_warning_and_ours_are_not() {
    let settings = read("", &[("OTEL_TRACES_SAMPLER", "jaeger_remote"), ("OTEL_LOG_LEVEL", "x")]);
    assert_eq!(settings.sampler, Sampler::default());
    assert_eq!(settings.warnings.len(), 2, "{:?}", settings.warnings);
    assert!(settings.warnings.iter().all(|warning| warning.ends_with("; ignored")));
    let fails = |variables| sources(variables).read("a.yaml", "").unwrap_err().to_string();
    assert!(fails(&[("SPANWIRE_HOOKS", "magic")]).starts_with("SPANWIRE_HOOKS: "));
    // But for the endpoint: spans would go elsewhere.
    let endpoint = fails(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4318")]);
    assert!(endpoint.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: "), "{endpoint}");
}

#[test]
fn samplers_by_their_standard_names() {
    let half = Share::ratio(0.5).unwrap();
    for (name, expected) in [
        ("always_on", Sampler::always(Share::ALL)),
        ("always_off", Sampler::always(Share::NONE)),
        ("traceidratio", Sampler::always(half)),
        ("parentbased_always_on", Sampler::parent_based(Share::ALL)),
        ("parentbased_always_off", Sampler::parent_based(Share::NONE)),
        ("ParentBased_TraceIdRatio", Sampler::parent_based(half)),
    ] {
        let variables = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", "0.5")];
        assert_eq!(read("", &variables).sampler, expected, "{name}");
    }
    let all = Share::ratio(1.0).unwrap();
    assert_eq!(read("", &[("OTEL_TRACES_SAMPLER", "traceidratio")]).sampler, Sampler::always(all));
}

#[test]
fn a_variable_that_is_nearly_ours_is_pointed_out() {
    let settings = read("", &[("SPANWIRE_HOOK", "auto"), ("SPANWIRE_SERVICE_HOST", "10.0.0.1")]);
    assert_eq!(settings.warnings, ["SPANWIRE_HOOK means nothing; did you mean `HOOKS`?"]);
}

#[test]
fn what_holds_only_at_the_start_is_told() {
    let before = read("hooks: auto\nexport: {headers: {a: b}}\n", &[]);
    let after = read("hooks: auto\nexport: {headers: {a: c}}\nselect: [{exclude: all}]\n", &[]);
    assert_eq!(after.only_at_start(&before), ["export.headers"]);
    assert_eq!(before.only_at_start(&before), Vec::<&str>::new());
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let missing = Sources { file: Some("/nonexistent/spanwire.yaml".into()), ..Sources::default() };
    let problems = missing.load().unwrap_err().to_string();
    assert!(problems.starts_with("/nonexistent/spanwire.yaml:1: cannot be read"), "{problems}");
}

#[test]
fn the_file_in_the_manifest_can_be_read() {
    let manifest = include_str!("../../../deploy/daemonset.yaml");
    let (_, after) = manifest.split_once("spanwire.yaml: |\n").unwrap();
    let lines = after.lines().map_while(|line| line.strip_prefix("    "));
    let text = lines.collect::<Vec<_>>().join("\n");
    assert_eq!(read(&text, &[]).selection.rules().len(), 1, "{text}");
}

#[test]
fn the_files_in_the_readme_can_be_read() {
    let readme = include_str!("../../../README.md");
    let blocks: Vec<&str> = readme.split("```yaml\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let text = block.split("```").next().unwrap();
        let settings = read(text, &[]);
        let rules = settings.selection.rules().len() + settings.routes.rules.len();
        assert!(rules + settings.headers.len() > 0, "{text}");
    }
}

#[test]
fn checks_are_listed_instead_of_the_defaults() {
    let rule = |user_agent: &str, path: &str| {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        CheckRule { user_agent: text(user_agent), path: text(path) }
    };
    let text =
        "checks:\n  - path: /ping\n  - {user_agent: Nagios/, path: /status*}\n  - defaults\n";
    let checks = read(text, &[]).trace().checks;
    assert_eq!(checks[..2], [rule("", "/ping"), rule("Nagios/", "/status*")]);
    assert_eq!(checks[2..], CheckRule::defaults());
    assert!(read("checks: []\n", &[]).trace().checks.is_empty(), "nothing is a check");
    for text in ["", "checks:\n"] {
        assert_eq!(read(text, &[]).trace().checks, CheckRule::defaults(), "{text:?}");
    }
    assert_eq!(
        wrong("checks:\n  - paht: /x\n  - default\n  - path: ping\n  - {path: [a]}\n"),
        [
            "a.yaml:2: checks: unknown key `paht`; did you mean `path`?",
            "a.yaml:2: checks: a rule has `user_agent` or `path`",
            "a.yaml:3: checks: a rule is `defaults`, or a mapping with `user_agent` or `path`",
            "a.yaml:4: checks: \"ping\" does not begin with `/`",
            "a.yaml:5: checks: is not one value",
            "a.yaml:5: checks: a rule has `user_agent` or `path`",
        ]
    );
}

#[test]
fn routes_are_listed_and_learned_unless_told_not_to() {
    let text =
        "routes:\n  - path: /stock/{item}\n  - {service: shop, path: /static/*, route: ''}\n";
    let routes = read(text, &[]).trace().routes;
    assert!(routes.learn);
    let rule = |service: Option<&str>, path: &str, route: Option<&str>| RouteRule {
        service: service.map(str::to_owned),
        path: path.to_owned(),
        route: route.map(str::to_owned),
    };
    let expected = [rule(None, "/stock/{item}", None), rule(Some("shop"), "/static/*", Some(""))];
    assert_eq!(routes.rules, expected);
    assert!(!read("http: {learn_routes: false}\n", &[]).trace().routes.learn);
    assert!(!read("", &[("SPANWIRE_LEARN_ROUTES", "false")]).trace().routes.learn);
    assert_eq!(
        wrong("routes:\n  - {}\n  - path: stock\n  - path: /a/*/b\n  - x\nroute: []\n"),
        [
            "a.yaml:6: unknown key `route`; did you mean `routes`?",
            "a.yaml:2: routes: a rule has `path`",
            "a.yaml:3: routes: \"stock\" does not begin with `/`",
            "a.yaml:4: routes: `*` stands for a rest, and only at the end",
            "a.yaml:5: routes: a rule is a mapping with `path`",
        ]
    );
}

#[test]
fn lists_that_hold_from_the_next_start_on_are_told() {
    let (before, after) = (read("", &[]), read("checks: []\nroutes: [{path: /a}]\n", &[]));
    assert_eq!(after.only_at_start(&before), ["checks", "routes"]);
    assert!(after.only_at_start(&after).is_empty());
}
